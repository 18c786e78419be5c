// Words, sizes and exact arithmetic of the FastCar kernels (docs/fastcar.md, Numerics).
//
// Shapes are run-time parameters up to the maxima here. Every bus and every wide stream carries words of 512 bits.
#pragma once

#include <ap_int.h>
#include <hls_stream.h>
#include <hls_vector.h>

#include <cstdint>

#ifndef __SYNTHESIS__
#include <cassert>
#define FASTCAR_ASSERT(condition) assert(condition)
#else
#define FASTCAR_ASSERT(condition)
#endif

// Lanes are the one size that is chosen at build time: a board's bandwidth and DSPs decide how many are worth their place.
#ifndef FASTCAR_LANES
#define FASTCAR_LANES 16
#endif

// Query heads that share one pass over their keys: 4 for models that group them, 1 where multipliers are few.
#ifndef FASTCAR_HEAD_GROUP
#define FASTCAR_HEAD_GROUP 4
#endif

namespace fastcar {

constexpr int LANES = FASTCAR_LANES;
constexpr int MAX_LANES = 32;
constexpr int MAX_ROWS = 32;
constexpr int MAX_WIDTH = 4096;     // of the residual stream, of all query heads, of all key heads
constexpr int MAX_FFN = 11008;
constexpr int MAX_HEAD_DIM = 128;
constexpr int MAX_CONTEXT = 4096;

constexpr int BYTES = 64;           // of a word: as many inputs, the length of a lane's dot products
constexpr int SHORTS = 32;          // int16 of a word
constexpr int WINDOW = LANES;       // weight words that are on chip together; each holds 64 inputs of two outputs
constexpr int TILE = 2 * WINDOW;    // outputs of a window
constexpr int SCALE_WORDS = (3 * TILE + BYTES - 1) / BYTES;  // a tile's int16 multipliers and uint8 shifts
constexpr int HEAD_GROUP = FASTCAR_HEAD_GROUP;
constexpr int MAX_SEGMENTS = (MAX_FFN + BYTES - 1) / BYTES;
constexpr int MAX_HEAD_WORDS = MAX_HEAD_DIM / BYTES;
constexpr int ROW_WORDS = (MAX_WIDTH + SHORTS - 1) / SHORTS;

static_assert(LANES >= 1 && LANES <= MAX_LANES, "1 to 32 lanes");

using Word = hls::vector<std::uint8_t, BYTES>;
using Int8Word = hls::vector<std::int8_t, BYTES>;
using Int16Word = hls::vector<std::int16_t, SHORTS>;
using TileWord = hls::vector<std::int16_t, TILE>;
using HiddenWord = hls::vector<std::int8_t, TILE>;

// |sum| <= 128 * 8 * MAX_FFN: the accumulator holds any legal dot product.
constexpr int ACC_BITS = 25;
static_assert((std::int64_t(1) << (ACC_BITS - 1)) > std::int64_t(128) * 8 * MAX_FFN, "accumulators can overflow");

// What the lanes multiply. C simulation takes the machine's integers, which vectorise; synthesis the exact widths,
// and so does C simulation when it is asked to (FASTCAR_EXACT_WIDTHS), at a fiftieth of the speed.
#if defined(__SYNTHESIS__) || defined(FASTCAR_EXACT_WIDTHS)
#define FASTCAR_WIDTHS
using weight_t = ap_int<4>;
using activation_t = ap_int<8>;
using acc_t = ap_int<ACC_BITS>;
#else
using weight_t = std::int8_t;
using activation_t = std::int8_t;
using acc_t = std::int32_t;
#endif

inline bool fits(std::int64_t value, int bits) {
#pragma HLS INLINE
    return value >= -(std::int64_t(1) << (bits - 1)) && value < (std::int64_t(1) << (bits - 1));
}

// Rounding shift, ties towards plus infinity; counts 0..47.
inline std::int64_t rs(std::int64_t value, int shift) {
#pragma HLS INLINE
    const int count = shift < 0 ? 0 : shift > 47 ? 47 : shift;
    return (value + ((std::int64_t(1) << count) >> 1)) >> count;
}

inline std::int16_t sat16(std::int64_t value) {
#pragma HLS INLINE
    return std::int16_t(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

inline std::int8_t sat8(std::int64_t value) {
#pragma HLS INLINE
    return std::int8_t(value < -128 ? -128 : value > 127 ? 127 : value);
}

inline int words(int elements, int of_a_word) {
#pragma HLS INLINE
    return (elements + of_a_word - 1) / of_a_word;
}

}  // namespace fastcar
