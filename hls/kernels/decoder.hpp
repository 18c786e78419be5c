// Decoder: the row-wise unit, which holds the residual stream and runs the program of a step: norm, RoPE, SwiGLU,
// residual sums. It asks for every row of every matrix; DRS decides which of it happens.
#pragma once

#include "lane_array.hpp"
#include "products.hpp"
#include "records.hpp"
#include "rms_norm.hpp"
#include "rope.hpp"
#include "swiglu.hpp"
#include "tas.hpp"
#include "weight_streamer.hpp"

namespace fastcar {

// Rows lie in words of 512 bits: a memory is as wide as what enters and leaves it.
using Residual = Int16Word[MAX_ROWS][ROW_WORDS];
using Activations = Int8Word[MAX_ROWS][MAX_SEGMENTS];

inline void command_rows(const Shape& shape, Matrix matrix, int matrix_tiles, int inputs, bool loads, bool droppable,
                         hls::stream<RowCommand>& commands) {
rows:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const RowCommand command = {std::uint8_t(matrix), std::uint8_t(row), std::uint16_t(matrix_tiles),
                                    std::uint16_t(words(inputs, BYTES)), loads, droppable};
        commands.write(command);
    }
}

// The computing rows, in order, in words that end with zeros.
template <class ELEMENT, std::size_t LANES, std::size_t LENGTH>
void send_rows(std::uint32_t index, int count, const hls::vector<ELEMENT, LANES> (&rows_in)[MAX_ROWS][LENGTH],
               hls::stream<hls::vector<ELEMENT, LANES>>& out) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    segments:
        for (int segment = 0; segment < words(count, int(LANES)); ++segment) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=172
            const hls::vector<ELEMENT, LANES> stored = rows_in[row][segment];
            hls::vector<ELEMENT, LANES> word;
        elements:
            for (std::size_t i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
                word[i] = segment * int(LANES) + int(i) < count ? stored[i] : ELEMENT(0);
            }
            out.write(word);
        }
    }
}

// Puts a tile behind the `filled` elements that a row still holds, of `first`, its next word in memory: words that become
// whole leave, up to the row's `count`, what is left is held.
template <class ELEMENT, std::size_t LANES, std::size_t LENGTH>
void append(const hls::vector<ELEMENT, TILE>& tile, int filled, int first, int count,
            hls::vector<ELEMENT, LANES>& held, hls::vector<ELEMENT, LANES> (&out)[LENGTH]) {
#pragma HLS INLINE
    constexpr unsigned SPAN = TILE / LANES + 2;
    hls::vector<ELEMENT, LANES> rest(0);
spans:
    for (unsigned span = 0; span < SPAN; ++span) {
#pragma HLS UNROLL
        const int begin = int(span * LANES);
        hls::vector<ELEMENT, LANES> word;
    elements:
        for (std::size_t i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
            const int at = begin + int(i);
            word[i] = at < filled ? held[i] : at - filled < TILE ? tile[at - filled] : ELEMENT(0);
        }
        const int end = begin + int(LANES);
        if (end <= filled + TILE && first + int(span) < count) out[first + int(span)] = word;
        if (begin <= filled + TILE && filled + TILE < end) rest = word;
    }
    held = rest;
}

// The last words of rows that do not end with a word.
template <class ELEMENT, std::size_t LANES, std::size_t LENGTH>
void flush(std::uint32_t index, int first, int count, const hls::vector<ELEMENT, LANES> (&held)[MAX_ROWS],
           hls::vector<ELEMENT, LANES> (&out)[MAX_ROWS][LENGTH]) {
    if (first >= count) return;
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
        if (bit(index, row)) out[row][first] = held[row];
    }
}

inline void collect(std::uint32_t index, int outputs, hls::stream<TileWord>& results, Residual& out) {
    Int16Word held[MAX_ROWS];
#pragma HLS ARRAY_PARTITION variable=held complete dim=1
    int filled = 0, first = 0;
tiles:
    for (int tile = 0; tile < tiles(outputs); ++tile) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
    rows:
        for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
            if (!bit(index, row)) continue;
            Int16Word mine = held[row];
            append(results.read(), filled, first, words(outputs, SHORTS), mine, out[row]);
            held[row] = mine;
        }
        first += (filled + TILE) / SHORTS;
        filled = (filled + TILE) % SHORTS;
    }
    flush(index, first, words(outputs, SHORTS), held, out);
}

inline void norm_rows(std::uint32_t index, const Residual& x, const std::int16_t (&gain)[MAX_WIDTH], int width,
                      int norm_shift, Activations& out) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
        rms_norm(x[row], gain, width, norm_shift, out[row]);
    }
}

inline void load_gain(const std::int16_t* gains, std::int64_t first, int width, std::int16_t (&gain)[MAX_WIDTH]) {
gain:
    for (int i = 0; i < width; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
        gain[i] = gains[first + i];
    }
}

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

// The residual takes a projection's output, a word a cycle.
inline void add_rows(std::uint32_t index, int width, const Residual& delta, Residual& x) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    words:
        for (int word = 0; word < words(width, SHORTS); ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
            const Int16Word before = x[row][word];
            const Int16Word more = delta[row][word];
            Int16Word after;
        elements:
            for (int i = 0; i < SHORTS; ++i) {
#pragma HLS UNROLL
                after[i] = sat16(std::int32_t(before[i]) + more[i]);
            }
            x[row][word] = after;
        }
    }
}

inline void receive_rows(std::uint32_t index, int width, hls::stream<Int16Word>& in, Residual& rows_out) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    words:
        for (int word = 0; word < words(width, SHORTS); ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
            rows_out[row][word] = in.read();
        }
    }
}

// Gate and up come as alternate tiles, each for all computing rows. A row's tile leaves the lanes in WINDOW cycles, so that
// sixteen for one leave two SwiGLU units on sixteen lanes where all at once would take TILE.
inline void receive_hidden(std::uint32_t index, int ffn, int shift, hls::stream<TileWord>& results, Activations& hidden) {
    TileWord gate[MAX_ROWS];
#pragma HLS ARRAY_PARTITION variable=gate complete dim=1
    Int8Word held[MAX_ROWS];
#pragma HLS ARRAY_PARTITION variable=held complete dim=1
    int filled = 0, first = 0;
tiles:
    for (int tile = 0; tile < tiles(ffn); ++tile) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=344
    gates:
        for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
            if (bit(index, row)) gate[row] = results.read();
        }
    ups:
        for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=16
            if (!bit(index, row)) continue;
            HiddenWord out;
            swiglu(gate[row], results.read(), shift, out);
            Int8Word mine = held[row];
            append(out, filled, first, words(ffn, BYTES), mine, hidden[row]);
            held[row] = mine;
        }
        first += (filled + TILE) / BYTES;
        filled = (filled + TILE) % BYTES;
    }
    flush(index, first, words(ffn, BYTES), held, hidden);
}

inline void run_decoder(const LayerRegisters* registers, const std::int16_t* gains, const std::int16_t* turns,
                        const Shape& shape, hls::stream<Int16Word>& x_in, hls::stream<Int16Word>& y_out,
                        hls::stream<RowCommand>& commands, hls::stream<Int8Word>& activations,
                        hls::stream<TileWord>& results, hls::stream<Int8Word>& tas_queries,
                        hls::stream<Int8Word>& attention_heads, hls::stream<Int8Word>& attended,
                        hls::stream<std::uint32_t>& index_in, hls::stream<Int16Word>& computed,
                        hls::stream<Int16Word>& replayed) {
#pragma HLS ALLOCATION function instances=norm_rows limit=1
    Residual x;
#pragma HLS BIND_STORAGE variable=x type=ram_2p impl=uram
    Residual delta;
#pragma HLS BIND_STORAGE variable=delta type=ram_2p impl=uram
    Activations inputs;
#pragma HLS BIND_STORAGE variable=inputs type=ram_2p impl=uram
    std::int16_t gain[MAX_WIDTH];
#pragma HLS BIND_STORAGE variable=gain type=ram_2p impl=uram
    std::int16_t turn[MAX_HEAD_DIM];
    std::int16_t old_turn[MAX_HEAD_DIM];
    const int turn_stride = words(shape.head_dim, SHORTS) * SHORTS;
    const int gain_stride = words(shape.width, SHORTS) * SHORTS;
    const int q_width = times<13, 10>(shape.heads, shape.head_dim);
    const int kv_width = times<13, 10>(shape.kv_heads, shape.head_dim);
    const std::uint32_t all = shape.rows == MAX_ROWS ? 0xFFFFFFFFU : (std::uint32_t(1) << shape.rows) - 1;
    receive_rows(all, shape.width, x_in, x);
    const int now = times<14, 10>(shape.position, turn_stride);
turns:
    for (int i = 0; i < shape.head_dim; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
        turn[i] = turns[now + i];
    }
    const int old_position = shape.position < shape.frame_tokens ? 0 : shape.position - shape.frame_tokens;
    const int before = times<14, 10>(old_position, turn_stride);
old_turns:
    for (int i = 0; i < shape.head_dim; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
        old_turn[i] = turns[before + i];
    }
    std::int64_t gain_at = 0;
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const LayerRegisters scalars = registers[layer];
        command_rows(shape, Q, tiles(q_width), shape.width, true, false, commands);
        command_rows(shape, K, tiles(kv_width), shape.width, false, false, commands);
        command_rows(shape, V, tiles(kv_width), shape.width, false, false, commands);
        load_gain(gains, gain_at, shape.width, gain);
        norm_rows(all, x, gain, shape.width, scalars.attention_norm_shift, inputs);
        send_rows(all, shape.width, inputs, activations);
        collect(all, q_width, results, delta);
        send_queries(shape, scalars.chooser, turn, delta, attention_heads, tas_queries);
        collect(all, kv_width, results, delta);
        send_keys(shape, scalars.chooser, turn, old_turn, delta, attention_heads, tas_queries);
        collect(all, kv_width, results, delta);
        send_values(shape, scalars.chooser, delta, attention_heads, tas_queries);

        command_rows(shape, O, tiles(shape.width), q_width, true, false, commands);
        receive_heads(shape, attended, inputs);
        send_rows(all, q_width, inputs, activations);
        collect(all, shape.width, results, delta);
        add_rows(all, shape.width, delta, x);

        command_rows(shape, GATE_UP, 2 * tiles(shape.ffn), shape.width, true, true, commands);
        command_rows(shape, DOWN, tiles(shape.width), shape.ffn, true, true, commands);
        const std::uint32_t index = index_in.read();
        receive_rows(all & ~index, shape.width, replayed, delta);
        if (index) {
            load_gain(gains, gain_at + gain_stride, shape.width, gain);
            norm_rows(index, x, gain, shape.width, scalars.mlp_norm_shift, inputs);
            send_rows(index, shape.width, inputs, activations);
            receive_hidden(index, shape.ffn, scalars.swiglu_shift, results, inputs);
            send_rows(index, shape.ffn, inputs, activations);
            collect(index, shape.width, results, delta);
            send_rows(index, shape.width, delta, computed);
        }
        add_rows(all, shape.width, delta, x);
        gain_at += 2 * gain_stride;
    }
    send_rows(all, shape.width, x, y_out);
}

}  // namespace fastcar
