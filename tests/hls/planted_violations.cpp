// What the lint must find; the name of the rule stands behind each line that breaks it. Never compiled.
// The kernels are included so that one parse serves both tests.
#include "fastcar.cpp"

#include <cstdlib>

namespace planted {

using fastcar::activation_t;
using fastcar::weight_t;

inline int heap(int n) {
    int* p = new int[4];  // unsupported pointer
    const int value = p[n % 4];
    delete[] p;  // unsupported
    return value + std::abs(n);  // call
}

inline int factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }  // recursion product

inline int even(int n);
inline int odd(int n) { return n == 0 ? 0 : even(n - 1); }  // recursion
inline int even(int n) { return n == 0 ? 1 : odd(n - 1); }  // recursion

inline int half(int n) {
    const float h = 0.5F;  // unsupported
    return n < h ? 0 : n;
}

inline int remember(int n) {
    static int calls = 0;  // unsupported
    const std::string text = "ever longer";  // unsupported
    calls += n;
    return calls;
}

struct Shape {
    virtual int area() { return 0; }  // unsupported
};

inline int apply(int (*function)(int), int n) { return function(n); }  // unsupported

inline int bounds(int n) {
    int sum = 0;
    for (int i = 0; i < n; ++i) {  // bound
        sum += i;
    }
    while (sum > 7) sum -= 7;  // bound
    return sum;
}

inline int pragmas(int n) {
    int table[8] = {};
#pragma HLS ARRAY_PARTITION variable=tabel complete dim=1  // name
#pragma HLS ARRAY_PARTITION variable=table cyclic dim=1  // pragma
#pragma HLS PIPELYNE II=1  // pragma
    for (int i = 0; i < 8; ++i) {
#pragma HLS PIPELINE  // pragma
#pragma HLS LOOP_TRIPCOUNT min=1 max=8 often=3  // pragma
        table[i] = n;
        for (int j = 0; j < 4; ++j) {  // nesting
            table[i] += j;
        }
    }
    return table[n % 8];
}

inline int lane(weight_t weight, activation_t activation) {
    return weight * activation;  // product
}

inline int area(int width, int height) {
    int sum = width * fastcar::BYTES;
    sum *= height;  // product
    return sum + (width + 1) * height;  // product
}

inline void produce(hls::stream<int>& out) { out.write(1); }
inline void consume(hls::stream<int>& in, int& sum) { sum += in.read(); }

inline void region(int& sum) {  // dataflow
#pragma HLS DATAFLOW
    hls::stream<int, 2> once("once");
    hls::stream<int, 2> thrice("thrice");
    produce(once);
    consume(once, sum);
    produce(thrice);
    consume(thrice, sum);
    consume(thrice, sum);
    if (sum) sum = 0;  // dataflow
}

}  // namespace planted

extern "C" void top(const int* memory, hls::stream<int>& out, int n, int forgotten) {  // interface
#pragma HLS INTERFACE m_axi port=memory offset=slave  // interface
#pragma HLS INTERFACE s_axilite port=out  // interface
#pragma HLS INTERFACE s_axilite port=n
#pragma HLS INTERFACE s_axilite port=m  // name
    out.write(memory[n] + forgotten);
}
