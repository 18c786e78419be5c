// SPDX-License-Identifier: Apache-2.0
// Walks over the words of rows: of every row `chunks_i` chunks of `words_i` words, one word a step, from the first after
// a start. `at_o` counts a row's words. The limits stand still during a walk.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module walk_counter
  import fastcar_pkg::*;
#(
    parameter int unsigned WordW = 10  // bits of a chunk's word
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             start_i,
    input  logic             step_i,        // the word is done
    input  count_t           rows_i,
    input  logic [      7:0] chunks_i,
    input  logic [WordW-1:0] words_i,
    output row_t             row_o,
    output logic [      7:0] chunk_o,
    output logic [WordW-1:0] word_o,        // of the chunk
    output logic [     11:0] at_o,          // of the row
    output logic             chunk_ends_o,  // the word is its chunk's last,
    output logic             row_ends_o,    // its row's,
    output logic             ends_o         // the last of all
);
  row_t row_d;
  logic [7:0] chunk_d;
  logic [WordW-1:0] word_d;
  logic [11:0] at_d;

  assign chunk_ends_o = word_o == words_i - WordW'(1);
  assign row_ends_o   = chunk_ends_o && chunk_o == chunks_i - 8'd1;
  assign ends_o       = row_ends_o && count_t'(row_o) == rows_i - 1'b1;

  always_comb begin
    word_d  = chunk_ends_o ? '0 : word_o + 1'b1;
    chunk_d = row_ends_o ? '0 : chunk_o + 8'(chunk_ends_o);
    at_d    = row_ends_o ? '0 : at_o + 1'b1;
    row_d   = row_o + row_t'(row_ends_o);
    if (start_i) begin
      word_d  = '0;
      chunk_d = '0;
      at_d    = '0;
      row_d   = '0;
    end
  end
  `FFLNR(word_o, word_d, start_i || step_i)
  `FFLNR(chunk_o, chunk_d, start_i || step_i)
  `FFLNR(at_o, at_d, start_i || step_i)
  `FFLNR(row_o, row_d, start_i || step_i)

  `ASSERT_ALWAYS(SomeWords, !step_i || (rows_i != '0 && chunks_i != '0 && words_i != '0))
  `CHECK_PARAMETER(WordsInRange, WordW >= 1 && WordW <= 12)
endmodule

`default_nettype wire
