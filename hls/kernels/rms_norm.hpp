// RMSNorm of one row: int16 in, int8 out, the sum of squares exact.
#pragma once

#include "functions.hpp"

namespace fastcar {

inline void rms_norm(const Int16Word (&x)[ROW_WORDS], const std::int16_t (&gain)[MAX_WIDTH], int width, int norm_shift,
                     Int8Word (&normed)[MAX_SEGMENTS]) {
    std::int64_t squares = 0;
sum:
    for (int i = 0; i < width; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
        const std::int16_t value = x[i / SHORTS][i % SHORTS];
        squares += times<16, 16>(value, value);
    }
    const int bits = squares ? log2_floor(squares) + 1 : 0;
    const int half = bits > 31 ? (bits - 30) / 2 : 0;  // pairs of bits that the sum loses to fit in 31
    const Scale scale = rsqrt(std::int32_t(squares >> (2 * half)));
    Int8Word word(0);
scale:
    for (int i = 0; i < width; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
        const std::int16_t value = x[i / SHORTS][i % SHORTS];
        word[i % BYTES] = sat8(rs(times<32, 16>(times<16, 16>(value, scale.m), gain[i]), scale.e + half + norm_shift));
        if (i % BYTES == BYTES - 1 || i == width - 1) normed[i / BYTES] = word;
    }
}

}  // namespace fastcar
