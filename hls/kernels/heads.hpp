// Heads between the decoder's rows and attention and the score: queries and keys turned, values rounded, what comes back.
#pragma once

#include "products.hpp"
#include "rope.hpp"
#include "rows.hpp"
#include "tas.hpp"

namespace fastcar {

inline void send_head(const std::int8_t (&head)[MAX_HEAD_DIM], int head_dim, hls::stream<Int8Word>& out) {
words:
    for (int word = 0; word < words(head_dim, BYTES); ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2
        Int8Word elements;
    elements:
        for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
            const int at = word * BYTES + i;
            elements[i] = at < head_dim ? head[at] : std::int8_t(0);
        }
        out.write(elements);
    }
}

// Queries of all rows: to attention after RoPE, and to the score when it is one of queries, as it wants them.
inline void send_queries(const Shape& shape, int chooser, const std::int16_t (&turns)[MAX_HEAD_DIM], const Residual& q,
                         hls::stream<Int8Word>& attention, hls::stream<Int8Word>& tas) {
    std::int8_t before[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=before complete dim=1
    std::int8_t after[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=after complete dim=1
rows:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        int at = 0;
    heads:
        for (int head = 0; head < shape.heads; ++head, at += shape.head_dim) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            round_head(q[row], at, shape.head_dim, before);
            rope(q[row], at, shape.head_dim, turns, after);
            if (shape.position >= shape.frame_tokens && !is_distance(chooser)) {
                if (chooser == PUBLISHED) send_head(before, shape.head_dim, tas);
                else send_head(after, shape.head_dim, tas);
            }
            send_head(after, shape.head_dim, attention);
        }
    }
}

// `old_turns`: those of the position one frame earlier.
inline void send_keys(const Shape& shape, int chooser, const std::int16_t (&turns)[MAX_HEAD_DIM],
                      const std::int16_t (&old_turns)[MAX_HEAD_DIM], const Residual& k,
                      hls::stream<Int8Word>& attention, hls::stream<Int8Word>& tas) {
#pragma HLS ALLOCATION function instances=rope limit=1
    std::int8_t after[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=after complete dim=1
    std::int8_t old_place[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=old_place complete dim=1
rows:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        int at = 0;
    heads:
        for (int head = 0; head < shape.kv_heads; ++head, at += shape.head_dim) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            rope(k[row], at, shape.head_dim, turns, after);
            if (shape.position >= shape.frame_tokens && chooser == KEY) {
                rope(k[row], at, shape.head_dim, old_turns, old_place);
                send_head(old_place, shape.head_dim, tas);
            }
            send_head(after, shape.head_dim, attention);
        }
    }
}

inline void send_values(const Shape& shape, int chooser, const Residual& v, hls::stream<Int8Word>& attention,
                        hls::stream<Int8Word>& tas) {
    std::int8_t value[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=value complete dim=1
rows:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        int at = 0;
    heads:
        for (int head = 0; head < shape.kv_heads; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        elements:
            for (int i = 0; i < shape.head_dim; ++i, ++at) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
                value[i] = sat8(v[row][at / SHORTS][at % SHORTS]);
            }
            if (shape.position >= shape.frame_tokens && chooser == VALUE) send_head(value, shape.head_dim, tas);
            send_head(value, shape.head_dim, attention);
        }
    }
}

// One loop over the words of all heads of all rows, and an iteration a row for its last word. Invariant: the row's bytes
// so far are its words before `next` and the first `filled` of `held`.
inline void receive_heads(const Shape& shape, hls::stream<Int8Word>& attended, Activations& out) {
    const int head_words = words(shape.head_dim, BYTES);
    const int row_words = times_in_luts<13, 3>(shape.heads, head_words);
    const int all_words = times_in_luts<14, 7>(row_words + 1, shape.rows);
    Int8Word held(0);
    int row = 0, at = 0, word = 0, filled = 0, next = 0;
words:
    for (int n = 0; n < all_words; ++n) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2080
        Int8Word elements(0);
        int count = 0;
        if (at < row_words) {
            elements = attended.read();
            const int left = shape.head_dim - word * BYTES;
            count = left < BYTES ? left : BYTES;
        }
        Int8Word whole;
        Int8Word rest;
    elements:
        for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
            const int from = i - filled;
            const int behind = BYTES - filled + i;
            whole[i] = from < 0 ? held[i] : from < count ? elements[from] : std::int8_t(0);
            rest[i] = behind < count ? elements[behind] : std::int8_t(0);
        }
        const bool leaves = filled + count >= BYTES || (at == row_words && filled > 0);
        if (leaves) out[row][next] = whole;
        const bool full = filled + count >= BYTES;
        held = full ? rest : whole;
        filled += full ? count - BYTES : count;
        next += full ? 1 : 0;
        word = word + 1 == head_words ? 0 : word + 1;
        if (++at > row_words) {
            at = word = filled = next = 0;
            ++row;
        }
    }
}

}  // namespace fastcar
