// SPDX-License-Identifier: Apache-2.0
// What follows from a shape: sizes in words, tiles and beats, one product after the other through one multiplier, and
// the position's place in its frame. `done_o` for a cycle; `bad_o` then says that the shape is beyond what was built.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_setup
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Words     = 16,    // weight words of a window, a power of two
    parameter int unsigned RowWords  = 128,   // words that a row of x may have
    parameter int unsigned HeadWords = 64,    // words that a row's heads may have
    parameter int unsigned Segments  = 172,   // segments that a product's inputs may have
    parameter int unsigned KeyWords  = 2,     // words that a head may have
    parameter int unsigned Tokens    = 4096   // positions that attention may see
) (
    input  logic     clk_i,
    input  logic     rst_ni,
    input  logic     start_i,
    input  shape_t   shape_i,
    output logic     done_o,
    output logic     bad_o,
    output derived_t derived_o  // from `done_o` on
);
  localparam int unsigned Steps = 14;  // products
  localparam int unsigned Bits = 13;  // of a position
  localparam int unsigned TileShift = $clog2(2 * Words);
  localparam int unsigned WindowShift = $clog2(Words);
  localparam int unsigned ScaleWords = (6 * Words + Bytes - 1) / Bytes;

  logic run_d, run_q, store_q, last, shared;
  logic [7:0] heads_d, heads_q;  // that no key head has yet
  logic [3:0] step_d, step_q;
  logic [15:0] a;
  logic [12:0] b, rest_d, rest_q;
  logic [13:0] rest;
  logic [33:0] product_q;
  logic [12:0] earlier;
  logic [3:0] turn_words;
  derived_t now_d, now_q;
  logic over_heads_d, over_heads_q;
  logic [23:0] sum_d, sum_q;  // of windows: of the inward products of attention, then of the MLP

  assign earlier     = shape_i.position - shape_i.frame_tokens;
  assign turn_words = 4'((32'(shape_i.head_dim) + Shorts - 1) / Shorts);
  assign derived_o  = now_q;

  // The position by the frame's tokens, bit by bit from the top: what is left is the slot.
  assign rest   = {rest_q, shape_i.position[4'(Bits-1)-step_q]};
  assign rest_d = start_i ? '0 :
      13'((rest >= 14'(shape_i.frame_tokens)) ? rest - 14'(shape_i.frame_tokens) : rest);
  `FFL(rest_q, rest_d, start_i || (run_q && store_q && step_q < 4'(Bits)), '0)

  // Query heads a key head, by counting.
  assign shared  = run_q && heads_q >= shape_i.kv_heads;
  assign heads_d = start_i ? shape_i.heads : (shared ? heads_q - shape_i.kv_heads : heads_q);
  `FFLNR(heads_q, heads_d, 1'b1)

  assign last = step_q == 4'(Steps - 1) && store_q && (!shared || shape_i.kv_heads == '0);
  always_comb begin
    run_d  = start_i || (run_q && !last);
    step_d = step_q;
    if (start_i) step_d = '0;
    else if (run_q && store_q && step_q != 4'(Steps - 1)) step_d = step_q + 1'b1;
  end
  `FF(run_q, run_d, 1'b0)
  `FF(store_q, run_q && !store_q && !start_i, 1'b0)
  `FF(step_q, step_d, '0)
  `FFLNR(product_q, 34'(a) * 34'(b), run_q && !store_q)
  `FFLNR(now_q, now_d, start_i || run_q)
  `FFLNR(sum_q, sum_d, run_q && store_q)
  `FFLNR(over_heads_q, over_heads_d, run_q && store_q)
  `FF(done_o, run_q && last, 1'b0)

  always_comb begin
    a = '0;
    b = '0;
    unique case (step_q)
      4'd0: begin
        a = 16'(shape_i.heads);
        b = 13'(shape_i.head_dim);
      end
      4'd1: begin
        a = 16'(shape_i.kv_heads);
        b = 13'(shape_i.head_dim);
      end
      4'd2: begin
        a = 16'(shape_i.tokens);
        b = 13'(now_q.head_words);
      end
      4'd3: begin
        a = 16'(shape_i.position);
        b = 13'(now_q.head_words);
      end
      4'd4: begin
        a = 16'(earlier);
        b = 13'(now_q.head_words);
      end
      4'd5: begin
        a = 16'(shape_i.frame_tokens);
        b = 13'(now_q.row_words);
      end
      4'd6: begin
        a = 16'(now_q.q_tiles) + {3'd0, now_q.kv_tiles, 1'b0};
        b = 13'(now_q.width_segments);
      end
      4'd7: begin
        a = 16'(now_q.o_tiles);
        b = 13'(now_q.q_segments);
      end
      4'd8: begin
        a = {3'd0, now_q.ffn_tiles, 1'b0};
        b = 13'(now_q.width_segments);
      end
      4'd9: begin
        a = 16'(now_q.o_tiles);
        b = 13'(now_q.ffn_segments);
      end
      4'd10: begin
        a = 16'(shape_i.position);
        b = 13'(turn_words);
      end
      4'd11: begin
        a = 16'(earlier);
        b = 13'(turn_words);
      end
      4'd12: begin  // of the heads, for the check
        a = 16'(shape_i.heads);
        b = 13'(now_q.head_words);
      end
      default: begin
        a = 16'(rest_q);
        b = 13'(now_q.row_words);
      end
    endcase
  end

  always_comb begin
    now_d = now_q;
    sum_d = sum_q;
    over_heads_d = over_heads_q;
    if (shared) now_d.heads_each = now_q.heads_each + 1'b1;
    if (start_i) begin
      now_d.heads_each     = '0;
      now_d.replays        = shape_i.position >= shape_i.frame_tokens;
      now_d.head_words     = 3'((32'(shape_i.head_dim) + Bytes - 1) / Bytes);
      now_d.row_words      = 10'((32'(shape_i.width) + Shorts - 1) / Shorts);
      now_d.width_segments = 10'((32'(shape_i.width) + Bytes - 1) / Bytes);
      now_d.ffn_segments   = 10'((32'(shape_i.ffn) + Bytes - 1) / Bytes);
      now_d.o_tiles        = 12'((32'(shape_i.width) + 2 * Words - 1) >> TileShift);
      now_d.ffn_tiles      = 12'((32'(shape_i.ffn) + 2 * Words - 1) >> TileShift);
    end else if (run_q && store_q) begin
      unique case (step_q)
        4'd0: begin
          now_d.q_width    = product_q[14:0];
          now_d.q_segments = 10'((product_q + 34'(Bytes - 1)) >> $clog2(Bytes));
          now_d.q_tiles    = 12'((product_q + 34'(2 * Words - 1)) >> TileShift);
        end
        4'd1: begin
          now_d.kv_width = product_q[14:0];
          now_d.kv_tiles = 12'((product_q + 34'(2 * Words - 1)) >> TileShift);
        end
        4'd2: now_d.head_stride = product_q;
        4'd3: now_d.now = product_q;
        4'd4: now_d.earlier = product_q;
        4'd5: now_d.ring_stride = product_q;
        4'd6: sum_d = product_q[23:0];
        4'd7: begin
          now_d.attention_beats  = (sum_q + product_q[23:0]) << WindowShift;
          now_d.attention_scales = 24'(ScaleWords) *
              (24'(now_q.q_tiles) + 24'({now_q.kv_tiles, 1'b0}) + 24'(now_q.o_tiles));
        end
        4'd8: sum_d = product_q[23:0];
        4'd9: begin
          now_d.mlp_beats  = (sum_q + product_q[23:0]) << WindowShift;
          now_d.mlp_scales = 24'(ScaleWords) * (24'({now_q.ffn_tiles, 1'b0}) + 24'(now_q.o_tiles));
        end
        4'd10: now_d.turn_now = product_q;
        4'd11: now_d.turn_before = product_q;
        4'd12: over_heads_d = product_q > 34'(HeadWords);
        default: begin
          now_d.slot      = rest_q;
          now_d.ring_slot = product_q;
        end
      endcase
    end
  end

  logic shape_bad;
  assign shape_bad = shape_i.rows == '0 || shape_i.rows > count_t'(MaxRows) || shape_i.layers == '0 ||
      shape_i.width == '0 || shape_i.ffn == '0 || shape_i.kv_heads == '0 || shape_i.frame_tokens == '0 ||
      shape_i.head_dim == '0 || shape_i.head_dim[0] || heads_q != '0 || shape_i.heads == '0 ||
      32'(now_q.row_words) > RowWords || 32'(now_q.ffn_segments) > Segments ||
      32'(now_q.q_segments) > Segments ||
      32'(now_q.head_words) > KeyWords || 32'(shape_i.tokens) > Tokens || shape_i.position >= shape_i.tokens;
  assign bad_o = shape_bad || over_heads_q;

  logic unused_shape;
  assign unused_shape = ^shape_i;

  `CHECK_PARAMETER(WordsArePowerOfTwo, Words == 1 << WindowShift && Words <= MaxWords)
  `CHECK_PARAMETER(MemoriesInRange, RowWords >= 1 && HeadWords >= 1 && KeyWords >= 1 && KeyWords <= 4)
endmodule

`default_nettype wire
