// Weight streamer: every word of the weights that a step needs, in the order in which the lanes take them, and the scales
// of their outputs.
//
// DRAM holds a layer as the matrices Q, K, V, O, gate and up (their tiles alternate), down. A tile is TILE outputs: for
// each segment of 64 inputs a window of TILE / 2 words, of a pair of outputs each. Byte i of a word holds the weights of
// the segment's input i, the even output's in the low nibble. Scales lie apart: a tile's multipliers, then its shifts.
//
// DRS says once a layer whether any row needs the MLP. That is known while K, V and O still stream, so when none does,
// the next words are those of the next layer: the skip leaves no bubble, and the FIFO's depth is the prefetch.
#pragma once

#include "dataflow.hpp"
#include "products.hpp"
#include "records.hpp"

namespace fastcar {

inline int tiles(int outputs) {
#pragma HLS INLINE
    return words(outputs, TILE);
}

// Words of a layer in both memories: of Q, K, V and O, and of gate, up and down.
struct LayerSizes {
    std::int64_t attention;
    std::int64_t mlp;
    std::int32_t attention_scales;
    std::int32_t mlp_scales;
};

inline LayerSizes layer_sizes(const Shape& shape) {
#pragma HLS INLINE
    const int q_width = times<13, 10>(shape.heads, shape.head_dim);
    const int kv_width = times<13, 10>(shape.kv_heads, shape.head_dim);
    const int outward = tiles(shape.width);
    const int q_tiles = tiles(q_width) + 2 * tiles(kv_width);
    const int up_tiles = 2 * tiles(shape.ffn);
    const int inputs = words(shape.width, BYTES);
    const std::int64_t attention =
        std::int64_t(times<15, 9>(q_tiles, inputs)) + times<13, 9>(outward, words(q_width, BYTES));
    const std::int64_t mlp =
        std::int64_t(times<15, 9>(up_tiles, inputs)) + times<13, 9>(outward, words(shape.ffn, BYTES));
    return {attention * WINDOW, mlp * WINDOW, (q_tiles + outward) * SCALE_WORDS, (up_tiles + outward) * SCALE_WORDS};
}

inline void stream_words(const Word* memory, std::int64_t first, std::int64_t count, hls::stream<Word>& stream) {
words:
    for (std::int64_t i = 0; i < count; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=100 max=2200000
        stream.write(memory[first + i]);
    }
}

// All layers of one memory: `attention` words of each, `mlp` words more when they are wanted.
inline void stream_layers(const Word* memory, int layers, std::int64_t attention, std::int64_t mlp,
                          hls::stream<bool>& wanted, hls::stream<Word>& stream, StreamCounters& counters) {
    std::int64_t streamed = 0;
    std::int64_t skipped = 0;
    std::int64_t base = 0;
layers:
    for (int layer = 0; layer < layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        stream_words(memory, base, attention, stream);
        streamed += attention;
        if (wanted.read()) {
            stream_words(memory, base + attention, mlp, stream);
            streamed += mlp;
        } else {
            skipped += mlp;
        }
        base += attention + mlp;
    }
    counters.streamed = streamed;
    counters.skipped = skipped;
}

inline void stream_weights(const Word* weight_memory, const Word* scale_memory, int layers, const LayerSizes& sizes,
                           hls::stream<bool>& weights_wanted, hls::stream<bool>& scales_wanted,
                           hls::stream<Word>& weights, hls::stream<Word>& scales, StreamCounters& weight_counters,
                           StreamCounters& scale_counters) {
#pragma HLS DATAFLOW
    FASTCAR_REGION;
    FASTCAR_PROCESS(stream_layers, weight_memory, layers, sizes.attention, sizes.mlp, weights_wanted, weights,
                    weight_counters);
    FASTCAR_PROCESS(stream_layers, scale_memory, layers, sizes.attention_scales, sizes.mlp_scales, scales_wanted, scales,
                    scale_counters);
}

}  // namespace fastcar
