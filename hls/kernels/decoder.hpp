// Decoder: the row-wise unit, which holds the residual stream and runs the program of a step: norm, RoPE, SwiGLU,
// residual sums. It asks for every row of every matrix; DRS decides which of it happens.
#pragma once

#include "lane_array.hpp"
#include "records.hpp"
#include "rms_norm.hpp"
#include "rope.hpp"
#include "swiglu.hpp"
#include "tas.hpp"
#include "weight_streamer.hpp"

namespace fastcar {

using Residual = std::int16_t[MAX_ROWS][MAX_WIDTH];
using Activations = std::int8_t[MAX_ROWS][MAX_FFN];

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
void send_rows(std::uint32_t index, int count, const ELEMENT (&rows_in)[MAX_ROWS][LENGTH],
               hls::stream<hls::vector<ELEMENT, LANES>>& out) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    segments:
        for (int segment = 0; segment < words(count, int(LANES)); ++segment) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=172
            hls::vector<ELEMENT, LANES> word;
        elements:
            for (std::size_t i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
                const int at = segment * int(LANES) + int(i);
                word[i] = at < count ? rows_in[row][at] : ELEMENT(0);
            }
            out.write(word);
        }
    }
}

inline void collect(std::uint32_t index, int outputs, hls::stream<TileWord>& results, Residual& out) {
tiles:
    for (int tile = 0; tile < tiles(outputs); ++tile) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
    rows:
        for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
            if (!bit(index, row)) continue;
            const TileWord word = results.read();
        elements:
            for (int i = 0; i < TILE; ++i) {
#pragma HLS UNROLL
                const int at = tile * TILE + i;
                if (at < outputs) out[row][at] = word[i];
            }
        }
    }
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
    heads:
        for (int head = 0; head < shape.heads; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            round_head(q[row], head * shape.head_dim, shape.head_dim, before);
            rope(q[row], head * shape.head_dim, shape.head_dim, turns, after);
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
    std::int8_t after[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=after complete dim=1
    std::int8_t old_place[MAX_HEAD_DIM];
#pragma HLS ARRAY_PARTITION variable=old_place complete dim=1
rows:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
    heads:
        for (int head = 0; head < shape.kv_heads; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            rope(k[row], head * shape.head_dim, shape.head_dim, turns, after);
            if (shape.position >= shape.frame_tokens && chooser == KEY) {
                rope(k[row], head * shape.head_dim, shape.head_dim, old_turns, old_place);
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
    heads:
        for (int head = 0; head < shape.kv_heads; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        elements:
            for (int i = 0; i < shape.head_dim; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
                value[i] = sat8(v[row][head * shape.head_dim + i]);
            }
            if (shape.position >= shape.frame_tokens && chooser == VALUE) send_head(value, shape.head_dim, tas);
            send_head(value, shape.head_dim, attention);
        }
    }
}

// One loop over the words of all heads of all rows.
inline void receive_heads(const Shape& shape, hls::stream<Int8Word>& attended, Activations& out) {
    const int head_words = words(shape.head_dim, BYTES);
    int row = 0, head = 0, word = 0;
words:
    for (int n = 0; n < shape.rows * shape.heads * head_words; ++n) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
        const Int8Word elements = attended.read();
    elements:
        for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
            const int at = word * BYTES + i;
            if (at < shape.head_dim) out[row][head * shape.head_dim + at] = elements[i];
        }
        if (++word == head_words) {
            word = 0;
            if (++head == shape.heads) {
                head = 0;
                ++row;
            }
        }
    }
}

// The residual takes a projection's output; `ring` gets a copy when it is the MLP's.
inline void add_rows(std::uint32_t index, int width, const Residual& delta, Residual& x) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    elements:
        for (int i = 0; i < width; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
            x[row][i] = sat16(std::int32_t(x[row][i]) + delta[row][i]);
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
            const Int16Word elements = in.read();
        elements:
            for (int i = 0; i < SHORTS; ++i) {
#pragma HLS UNROLL
                const int at = word * SHORTS + i;
                if (at < width) rows_out[row][at] = elements[i];
            }
        }
    }
}

// Gate and up come as alternate tiles, each for all computing rows.
inline void receive_hidden(std::uint32_t index, int ffn, int shift, hls::stream<TileWord>& results, Activations& hidden) {
    TileWord gate[MAX_ROWS];
#pragma HLS ARRAY_PARTITION variable=gate complete dim=1
    std::int8_t out[TILE];
#pragma HLS ARRAY_PARTITION variable=out complete dim=1
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
#pragma HLS PIPELINE II=1
            if (!bit(index, row)) continue;
            swiglu(gate[row], results.read(), shift, out);
        elements:
            for (int i = 0; i < TILE; ++i) {
#pragma HLS UNROLL
                const int at = tile * TILE + i;
                if (at < ffn) hidden[row][at] = out[i];
            }
        }
    }
}

inline void run_decoder(const LayerRegisters* registers, const std::int16_t* gains, const std::int16_t* turns,
                        const Shape& shape, hls::stream<Int16Word>& x_in, hls::stream<Int16Word>& y_out,
                        hls::stream<RowCommand>& commands, hls::stream<Int8Word>& activations,
                        hls::stream<TileWord>& results, hls::stream<Int8Word>& tas_queries,
                        hls::stream<Int8Word>& attention_heads, hls::stream<Int8Word>& attended,
                        hls::stream<std::uint32_t>& index_in, hls::stream<Int16Word>& computed,
                        hls::stream<Int16Word>& replayed) {
    Residual x;
#pragma HLS BIND_STORAGE variable=x type=ram_2p impl=uram
#pragma HLS ARRAY_PARTITION variable=x cyclic factor=32 dim=2
    Residual delta;
#pragma HLS BIND_STORAGE variable=delta type=ram_2p impl=uram
#pragma HLS ARRAY_PARTITION variable=delta cyclic factor=32 dim=2
    Activations inputs;
#pragma HLS BIND_STORAGE variable=inputs type=ram_2p impl=uram
#pragma HLS ARRAY_PARTITION variable=inputs cyclic factor=64 dim=2
    std::int16_t gain[MAX_WIDTH];
    std::int16_t turn[MAX_HEAD_DIM];
    std::int16_t old_turn[MAX_HEAD_DIM];
    const int q_width = shape.heads * shape.head_dim;
    const int kv_width = shape.kv_heads * shape.head_dim;
    const std::uint32_t all = shape.rows == MAX_ROWS ? 0xFFFFFFFFU : (std::uint32_t(1) << shape.rows) - 1;
    receive_rows(all, shape.width, x_in, x);
turns:
    for (int i = 0; i < shape.head_dim; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
        turn[i] = turns[shape.position * shape.head_dim + i];
    }
    const int before = shape.position < shape.frame_tokens ? 0 : shape.position - shape.frame_tokens;
old_turns:
    for (int i = 0; i < shape.head_dim; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=2 max=128
        old_turn[i] = turns[before * shape.head_dim + i];
    }
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const LayerRegisters scalars = registers[layer];
        command_rows(shape, Q, tiles(q_width), shape.width, true, false, commands);
        command_rows(shape, K, tiles(kv_width), shape.width, false, false, commands);
        command_rows(shape, V, tiles(kv_width), shape.width, false, false, commands);
        load_gain(gains, std::int64_t(layer) * 2 * shape.width, shape.width, gain);
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
            load_gain(gains, (std::int64_t(layer) * 2 + 1) * shape.width, shape.width, gain);
            norm_rows(index, x, gain, shape.width, scalars.mlp_norm_shift, inputs);
            send_rows(index, shape.width, inputs, activations);
            receive_hidden(index, shape.ffn, scalars.swiglu_shift, results, inputs);
            send_rows(index, shape.ffn, inputs, activations);
            collect(index, shape.width, results, delta);
            send_rows(index, shape.width, delta, computed);
        }
        add_rows(all, shape.width, delta, x);
    }
    send_rows(all, shape.width, x, y_out);
}

}  // namespace fastcar
