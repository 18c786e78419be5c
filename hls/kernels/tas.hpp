// The score that chooses who replays, a row: TAS, the temporal attention score, or minus a squared distance.
//
// TAS: sum over heads of q . k', k' the key at the same place one frame earlier, of the query head's own group; each head
// may have a weight. Distance: of the value from the cached one, or of the key, turned to the old place, from the cached
// one. All of them are `sum over heads of weight * sum of a * b`, with a = b = now - before and weight -1 in a distance.
// A score needs one old key or value a head and no weight behind V: it is known before O has begun.
#pragma once

#include "attention.hpp"
#include "products.hpp"
#include "records.hpp"

namespace fastcar {

// Of a word: sum of a * b, or in a distance of (a - b)^2, by the same multipliers, which are logic.
inline std::int32_t compare(const Int8Word& a, const Int8Word& b, bool distance) {
#pragma HLS INLINE
    std::int32_t sum = 0;
elements:
    for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
        const std::int16_t left = distance ? std::int16_t(a[i] - b[i]) : std::int16_t(a[i]);
        const std::int16_t right = distance ? left : std::int16_t(b[i]);
        sum += times_in_luts<9, 9>(left, right);
    }
    return sum;
}

// -7..7, as the registers hold it.
inline int head_weight(const LayerRegisters& registers, int head) {
#pragma HLS INLINE
    const int nibble = registers.head_weights[head / 2] >> (head % 2 * 4) & 15;
    return nibble < 8 ? nibble : nibble - 16;
}

inline bool is_distance(int chooser) {
#pragma HLS INLINE
    return chooser == VALUE || chooser == KEY;
}

// One loop over the words of a layer's heads: row, head and word count up together. first: the word of the first head one
// frame earlier; stride: words from a head to the next.
inline void score_layer(const LayerRegisters& registers, const Shape& shape, std::int64_t first, int stride,
                        const Int8Word* key_cache, const Int8Word* value_cache, hls::stream<Int8Word>& queries,
                        hls::stream<std::int32_t>& scores) {
    const bool distance = is_distance(registers.chooser);
    const int head_words = words(shape.head_dim, BYTES);
    const int heads = distance ? shape.kv_heads : shape.heads;
    const int heads_each = distance ? 1 : shape.heads / shape.kv_heads;
    std::int64_t base = first;
    int head = 0, member = 0, word = 0;
    std::int32_t sum = 0;
    const int all_words = times_in_luts<18, 3>(times_in_luts<7, 13>(shape.rows, heads), head_words);
words:
    for (int i = 0; i < all_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
        const Int8Word now = queries.read();
        const Int8Word before = registers.chooser == VALUE ? value_cache[base + word] : key_cache[base + word];
        const std::int32_t part = compare(now, before, distance);
        const int weight = distance ? -1 : registers.chooser == HEADS ? head_weight(registers, head) : 1;
        sum += times_in_luts<24, 4>(part, weight);
        const bool head_ends = ++word == head_words;
        if (head_ends) {
            word = 0;
            if (++member == heads_each) {
                member = 0;
                base += stride;
            }
            if (++head == heads) {
                head = 0;
                scores.write(sum);
                sum = 0;
            }
        }
    }
}

inline void run_tas(const LayerRegisters* registers, const Int8Word* key_cache, const Int8Word* value_cache,
                    const Shape& shape, hls::stream<Int8Word>& queries, hls::stream<std::int32_t>& scores) {
    if (shape.position < shape.frame_tokens) return;
    const int head_words = words(shape.head_dim, BYTES);
    const int stride = times_in_luts<14, 3>(shape.context, head_words);
    const std::int64_t layer_words = times<18, 16>(times_in_luts<7, 13>(shape.rows, shape.kv_heads), stride);
    std::int64_t first = times_in_luts<14, 3>(shape.position - shape.frame_tokens, head_words);
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const LayerRegisters scalars = registers[layer];
        score_layer(scalars, shape, first, stride, key_cache, value_cache, queries, scores);
        first += layer_words;
    }
}

}  // namespace fastcar
