// Replay ring: the MLP's output of the last frame at each place of it, in DRAM, frame_tokens deep.
//
// For each layer DRS says who computes. Replayed rows leave for the decoder at once, rows computed come later and
// overwrite their place.
#pragma once

#include "lane_array.hpp"
#include "records.hpp"

namespace fastcar {

inline std::int64_t ring_word(const Shape& shape, int layer, int row, int width_words) {
#pragma HLS INLINE
    const std::int64_t line = (std::int64_t(layer) * shape.rows + row) * shape.frame_tokens;
    return (line + shape.position % shape.frame_tokens) * width_words;
}

inline void run_ring(Int16Word* ring, const Shape& shape, hls::stream<std::uint32_t>& index,
                     hls::stream<Int16Word>& computed, hls::stream<Int16Word>& replayed) {
    const int width_words = words(shape.width, SHORTS);
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const std::uint32_t computes = index.read();
    replay_rows:
        for (int row = 0; row < shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            if (bit(computes, row)) continue;
        replay:
            for (int word = 0; word < width_words; ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
                replayed.write(ring[ring_word(shape, layer, row, width_words) + word]);
            }
        }
    refresh_rows:
        for (int row = 0; row < shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            if (!bit(computes, row)) continue;
        refresh:
            for (int word = 0; word < width_words; ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
                ring[ring_word(shape, layer, row, width_words) + word] = computed.read();
            }
        }
    }
}

}  // namespace fastcar
