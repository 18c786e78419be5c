// Decoder: the row-wise unit, which holds the residual stream and runs the program of a step: norm, RoPE, SwiGLU,
// residual sums. It asks for every row of every matrix; DRS decides which of it happens.
#pragma once

#include "heads.hpp"
#include "products.hpp"
#include "records.hpp"
#include "rms_norm.hpp"
#include "rows.hpp"
#include "swiglu.hpp"
#include "weight_streamer.hpp"

namespace fastcar {

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
