// SPDX-License-Identifier: Apache-2.0
// Which head's pair a sum of queries, keys and values is. Sums come tile by tile, in a tile row by row, in a row pair by
// pair; a matrix begins with a tile, and behind its last pair is padding to the tile's end.

`default_nettype none
`include "registers.svh"

module head_cursor
  import step_pkg::*;
#(
    parameter int unsigned Words = 16,  // pairs of a tile
    localparam int unsigned PlaceW = (Words > 1) ? $clog2(Words) : 1
) (
    input  logic              clk_i,
    input  logic              start_i,
    input  logic       [ 7:0] heads_i,
    input  logic       [ 7:0] kv_heads_i,
    input  logic       [ 8:0] head_dim_i,
    input  logic       [ 2:0] head_words_i,
    input  logic              taken_i,
    input  logic              tile_begins_i,
    input  logic [PlaceW-1:0] place_i,
    // of the sum that is taken
    output logic       [ 1:0] matrix_o,      // 0 queries, 1 keys, 2 values
    output logic              padding_o,
    output logic       [ 6:0] pair_o,        // in its head
    output logic       [11:0] word_o         // of the row: the head's first
);
  typedef struct packed {
    logic [1:0]  matrix;
    logic [7:0]  head;
    logic [6:0]  pair;
    logic [11:0] word;
  } cursor_t;

  cursor_t base_d, base_q, run_q, here, next;
  logic [7:0] heads;

  assign here      = (place_i == '0) ? base_q : run_q;
  assign heads     = (here.matrix == '0) ? heads_i : kv_heads_i;
  assign padding_o = here.head == heads;
  assign matrix_o  = here.matrix;
  assign pair_o    = here.pair;
  assign word_o    = here.word;

  always_comb begin
    next = here;
    if (!padding_o) begin
      next.pair = here.pair + 1'b1;
      if ({8'(here.pair) + 8'd1, 1'b0} == head_dim_i) begin
        next.pair = '0;
        next.head = here.head + 1'b1;
        next.word = here.word + 12'(head_words_i);
      end
    end
    // A tile begins where the one before ended, or with the next matrix.
    base_d = run_q;
    if (run_q.head == ((run_q.matrix == '0) ? heads_i : kv_heads_i)) begin
      base_d = '0;
      base_d.matrix = run_q.matrix + 1'b1;
    end
    if (start_i) base_d = '0;
  end
  `FFLNR(run_q, next, taken_i)
  `FFLNR(base_q, base_d, start_i || tile_begins_i)
endmodule

`default_nettype wire
