// Loops whose stated II cannot be, for tests of the audit: what bounds it stands behind each, or "clean".
#include <hls_stream.h>
#include <hls_vector.h>
#include <cstdint>

#include "audit.hpp"

namespace planted {

struct Pair {
    std::int8_t even[16];
    std::int8_t odd[16];
};

struct WidePair {
    hls::vector<std::int8_t, 16> even;
    hls::vector<std::int8_t, 16> odd;
};

struct Memory {
    std::int32_t words[64];
};

inline int struct_of_arrays(int n) {
    Pair pairs[8];
#pragma HLS ARRAY_PARTITION variable=pairs complete dim=1
    int sum = 0;
fill_arrays:
    for (int i = 0; i < 8; ++i) {
#pragma HLS PIPELINE II=1
        for (int j = 0; j < 16; ++j) {
#pragma HLS UNROLL
            pairs[i].even[j] = std::int8_t(n + j);  // fill_arrays res 8
            pairs[i].odd[j] = std::int8_t(j);
        }
    }
    WidePair wide[8];
#pragma HLS ARRAY_PARTITION variable=wide complete dim=1
fill_words:
    for (int i = 0; i < 8; ++i) {
#pragma HLS PIPELINE II=1
        for (int j = 0; j < 16; ++j) {
#pragma HLS UNROLL
            wide[i].even[j] = pairs[i].even[j];  // fill_words res 8
            sum += wide[i].even[j];
        }
    }
    return sum;
}

inline int lanes_on_a_bank(int n) {
    std::int32_t sums[32][16];
#pragma HLS ARRAY_PARTITION variable=sums complete dim=2
    std::int32_t apart[4][32];
#pragma HLS ARRAY_PARTITION variable=apart complete dim=1
lanes_meet:
    for (int step = 0; step < 16; ++step) {
#pragma HLS PIPELINE II=1
        for (int lane = 0; lane < 4; ++lane) {
#pragma HLS UNROLL
            sums[lane][step] = n;  // lanes_meet res 2
        }
    }
lanes_apart:
    for (int step = 0; step < 16; ++step) {
#pragma HLS PIPELINE II=1
        for (int lane = 0; lane < 4; ++lane) {
#pragma HLS UNROLL
            apart[lane][step] = n;  // lanes_apart clean
        }
    }
    return sums[n & 31][3] + apart[n & 3][7];
}

inline int carried(int n) {
    std::int32_t table[64] = {};
    std::int32_t few[4] = {};
#pragma HLS ARRAY_PARTITION variable=few complete dim=1
    std::int32_t words[64] = {};
#pragma HLS BIND_STORAGE variable=words type=ram_2p impl=uram
histogram:
    for (int i = 0; i < 40; ++i) {
#pragma HLS PIPELINE II=1
        table[n & 63] += i;  // histogram rec 2
    }
accumulate:
    for (int i = 0; i < 40; ++i) {
#pragma HLS PIPELINE II=1
        few[n & 3] += i;  // accumulate clean
    }
claimed:
    for (int i = 0; i < 40; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=words inter false
        words[i / 2] += i;  // claimed false
    }
far:
    for (int i = 0; i < 40; ++i) {
#pragma HLS PIPELINE II=1
        words[i & 3] += i;  // far clean
    }
    return table[0] + few[0] + words[1];
}

inline int strided(int n) {
    std::int16_t rows[64];
#pragma HLS ARRAY_PARTITION variable=rows cyclic factor=4 dim=1
    std::int16_t blocks[64];
#pragma HLS ARRAY_PARTITION variable=blocks block factor=4 dim=1
    int sum = 0;
neighbours:
    for (int i = 0; i < 16; ++i) {
#pragma HLS PIPELINE II=1
        for (int j = 0; j < 4; ++j) {
#pragma HLS UNROLL
            rows[4 * i + j] = std::int16_t(n);  // neighbours clean
        }
    }
columns:
    for (int i = 0; i < 4; ++i) {
#pragma HLS PIPELINE II=2
        for (int j = 0; j < 16; ++j) {
#pragma HLS UNROLL
            sum += rows[4 * j + i];  // columns res 8
        }
    }
in_blocks:
    for (int i = 0; i < 16; ++i) {
#pragma HLS PIPELINE II=1
        for (int j = 0; j < 4; ++j) {
#pragma HLS UNROLL
            blocks[16 * j + i] = std::int16_t(n);  // in_blocks clean
        }
    }
    return sum + blocks[n & 63];
}

inline int copies(int n) {
    Pair taken[4];
    Pair together[4];
#pragma HLS AGGREGATE variable=together
    Pair one = {};
copy_of_arrays:
    for (int i = 0; i < 4; ++i) {
#pragma HLS PIPELINE II=1
        one.even[0] = std::int8_t(n);
        taken[i] = one;  // copy_of_arrays res 8
    }
copy_of_words:
    for (int i = 0; i < 4; ++i) {
#pragma HLS PIPELINE II=1
        together[i] = one;  // copy_of_words clean
    }
    return taken[n & 3].odd[1] + together[n & 3].even[2];
}

inline int memory_port(const std::int32_t* memory, int n) {
    int sum = 0;
two_reads:
    for (int i = 0; i < n; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=8
        sum += memory[i] + memory[i + 16];  // two_reads res 2
    }
    return sum;
}

}  // namespace planted

extern "C" int planted_run(const std::int32_t* memory) {
    int sum = 0;
    fibers::Scheduler::get().spawn("planted", [&] {
        sum = planted::struct_of_arrays(3) + planted::lanes_on_a_bank(5) + planted::carried(7) + planted::strided(2) +
              planted::copies(6) + planted::memory_port(memory, 8);
    });
    fibers::Scheduler::get().run();
    return sum;
}

extern "C" void audit_report(const char* path) { audit::report(path); }
