// Replay ring: the MLP's output of the last frame at each place of it, in DRAM, frame_tokens deep.
//
// For each layer DRS says who computes. Replayed rows leave for the decoder at once, rows computed come later and
// overwrite their place.
#pragma once

#include "lane_array.hpp"
#include "products.hpp"
#include "records.hpp"

namespace fastcar {

inline void run_ring(Int16Word* ring, const Shape& shape, hls::stream<std::uint32_t>& index,
                     hls::stream<Int16Word>& computed, hls::stream<Int16Word>& replayed) {
    const int width_words = words(shape.width, SHORTS);
    const int stride = times<14, 9>(shape.frame_tokens, width_words);  // of a row
    std::int64_t first = times<14, 9>(shape.position % shape.frame_tokens, width_words);
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const std::uint32_t computes = index.read();
        std::int64_t line = first;
    replay_rows:
        for (int row = 0; row < shape.rows; ++row, line += stride) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            if (bit(computes, row)) continue;
        replay:
            for (int word = 0; word < width_words; ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
                replayed.write(ring[line + word]);
            }
        }
        line = first;
    refresh_rows:
        for (int row = 0; row < shape.rows; ++row, line += stride) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            if (!bit(computes, row)) continue;
        refresh:
            for (int word = 0; word < width_words; ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
                ring[line + word] = computed.read();
            }
        }
        first = line;  // behind the last row: the next layer's first
    }
}

}  // namespace fastcar
