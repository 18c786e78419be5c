// RoPE: pairs (2i, 2i+1) of a head turn by cos[i], sin[i] in Q14; int16 with seven guard bits in, int8 out.
#pragma once

#include "products.hpp"

namespace fastcar {

constexpr int ROPE_FRACTION = 14;
constexpr int ROPE_GUARD = 7;

// turns: the cosines of all pairs, then the sines. head: where the head begins in `row`.
inline void rope(const Int16Word (&row)[ROW_WORDS], int head, int head_dim, const std::int16_t (&turns)[MAX_HEAD_DIM],
                 std::int8_t (&turned)[MAX_HEAD_DIM]) {
pairs:
    for (int i = 0; i < head_dim / 2; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
        const int at = head + 2 * i;
        const Int16Word word = row[at / SHORTS];
        const std::int32_t even = word[at % SHORTS];
        const std::int32_t odd = word[at % SHORTS + 1];
        const std::int32_t cosine = turns[i];
        const std::int32_t sine = turns[head_dim / 2 + i];
        const std::int64_t turned_even = std::int64_t(times<16, 16>(even, cosine)) - times<16, 16>(odd, sine);
        const std::int64_t turned_odd = std::int64_t(times<16, 16>(even, sine)) + times<16, 16>(odd, cosine);
        turned[2 * i] = sat8(rs(turned_even, ROPE_FRACTION + ROPE_GUARD));
        turned[2 * i + 1] = sat8(rs(turned_odd, ROPE_FRACTION + ROPE_GUARD));
    }
}

// The same rounding without the turn: what the published variant of TAS takes.
inline void round_head(const Int16Word (&row)[ROW_WORDS], int head, int head_dim,
                       std::int8_t (&rounded)[MAX_HEAD_DIM]) {
elements:
    for (int i = 0; i < head_dim; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
        const int at = head + i;
        const std::int16_t value = row[at / SHORTS][at % SHORTS];
        rounded[i] = sat8(rs(value, ROPE_GUARD));
    }
}

}  // namespace fastcar
