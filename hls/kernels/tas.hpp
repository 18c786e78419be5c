// TAS, the temporal attention score: for each row the sum over heads of q . k', k' the key at the same place one frame
// earlier, of the query head's own group. It needs the queries and one old key a head: it is known before most of the
// layer's weights have come.
#pragma once

#include "attention.hpp"
#include "records.hpp"

namespace fastcar {

inline void run_tas(const Int8Word* key_cache, const Shape& shape, hls::stream<Int8Word>& queries,
                    hls::stream<std::int32_t>& scores) {
    const int head_words = words(shape.head_dim, BYTES);
    const int heads_each = shape.heads / shape.kv_heads;
    const int before = shape.position - shape.frame_tokens;
    if (before >= 0) {
    rows:
        for (int row = 0; row < shape.layers * shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
            std::int32_t sum = 0;
        heads:
            for (int head = 0; head < shape.heads; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
                const std::int64_t kv_head = std::int64_t(row) * shape.kv_heads + head / heads_each;
                const std::int64_t base = (kv_head * shape.context + before) * head_words;
            words:
                for (int word = 0; word < head_words; ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2
                    sum += dot(queries.read(), key_cache[base + word]);
                }
            }
            scores.write(sum);
        }
    }
}

}  // namespace fastcar
