// The functions of docs/numerics.md and SILU of docs/fastcar.md: piecewise quadratics in integers.
#pragma once

#include "function_tables.hpp"
#include "products.hpp"

namespace fastcar {

// v = c0 + (c1 + rs(c2 t, h_shift)) t, with c2 within 10 bits, t within 14 and the slope within 16.
inline std::int64_t quadratic(const std::int32_t (&c)[3], int t, int h_shift) {
#pragma HLS INLINE
    return c[0] + std::int64_t(times<16, 14>(c[1] + rs(times_in_luts<10, 14>(c[2], t), h_shift), t));
}

// 2^-u in Q0.15, u = max(0, -y) in Q5.10.
inline std::int32_t exp2n(std::int16_t y) {
#pragma HLS INLINE
    const int u = y < 0 ? -int(y) : 0;
    const int fraction = u & 1023;
    const std::int64_t v = quadratic(LANE[EXP2N_BASE + (fraction >> 6)], (fraction & 63) << 2, LANE_H_SHIFT);
    const std::int64_t power = rs(v, LANE_V_SHIFT + (u >> 10));
    return std::int32_t(power < 32767 ? power : 32767);
}

// SILU of Q4.11.
inline std::int32_t silu(std::int16_t y) {
#pragma HLS INLINE
    const int magnitude = y < 0 ? -int(y) : int(y);
    const int positive = y < 0 ? 0 : int(y);
    const int segment = magnitude >> SILU_T_BITS;
    if (segment >= SILU_SEGMENTS) return positive;
    const std::int64_t v = quadratic(SILU[segment], magnitude & ((1 << SILU_T_BITS) - 1), SILU_H_SHIFT);
    return std::int32_t(positive - rs(v, SILU_V_SHIFT));
}

// x * m >> e
struct Scale {
    std::int32_t m;
    std::int32_t e;
};

inline int log2_floor(std::uint64_t value) {
#pragma HLS INLINE
    int n = 0;
halves:
    for (int step = 32; step > 0; step >>= 1) {
#pragma HLS UNROLL
        if (value >> step) {
            value >>= step;
            n += step;
        }
    }
    return n;
}

inline std::int32_t mantissa(std::int64_t v) {
#pragma HLS INLINE
    const std::int64_t m = rs(v, ROW_V_SHIFT);
    return std::int32_t(m < 16384 ? 16384 : m > 32767 ? 32767 : m);
}

inline Scale recip(std::int32_t y) {
#pragma HLS INLINE
    const std::uint32_t positive = y < 1 ? 1 : y;
    const int n = log2_floor(positive);
    const std::uint32_t behind = (positive << (31 - n)) & 0x7FFFFFFF;
    return {mantissa(quadratic(ROW[behind >> 26], (behind >> 13) & 8191, ROW_H_SHIFT)), 15 + n};
}

inline Scale rsqrt(std::int32_t y) {
#pragma HLS INLINE
    const std::uint32_t positive = y < 1 ? 1 : y;
    const int n = log2_floor(positive);
    const std::uint32_t behind = (positive << (31 - n)) & 0x7FFFFFFF;
    const int segment = RSQRT_BASE + ((n & 1) << 4) + int(behind >> 27);
    return {mantissa(quadratic(ROW[segment], (behind >> 14) & 8191, ROW_H_SHIFT)), 15 + (n >> 1)};
}

}  // namespace fastcar
