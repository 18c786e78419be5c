// Softmax without its division: powers of two relative to the largest score, 12 bits; the sum divides after P.V.
//
// The scores of all keys wait in their FIFO until the largest is known: its depth is the longest context.
#pragma once

#include "functions.hpp"

namespace fastcar {

constexpr int PROBABILITY_MAX = 4095;

using ScoreWord = hls::vector<std::int32_t, HEAD_GROUP>;
using ProbabilityWord = hls::vector<std::int16_t, HEAD_GROUP>;

inline std::int16_t probability(std::int32_t score, std::int32_t largest, int multiplier, int shift) {
#pragma HLS INLINE
    const std::int64_t behind = std::int64_t(score) - largest;
    const std::int64_t p = rs(exp2n(sat16(rs(times<33, 16>(behind, multiplier), shift))), 3);
    return std::int16_t(p < PROBABILITY_MAX ? p : PROBABILITY_MAX);
}

// One group of heads over `seen` keys.
inline void softmax(int seen, int multiplier, int shift, hls::stream<ScoreWord>& scores, hls::stream<ScoreWord>& largest,
                    hls::stream<ProbabilityWord>& probabilities) {
    const ScoreWord top = largest.read();
keys:
    for (int key = 0; key < seen; ++key) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
        const ScoreWord score = scores.read();
        ProbabilityWord word;
    heads:
        for (int head = 0; head < HEAD_GROUP; ++head) {
#pragma HLS UNROLL
            word[head] = probability(score[head], top[head], multiplier, shift);
        }
        probabilities.write(word);
    }
}

}  // namespace fastcar
