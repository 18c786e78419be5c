// SPDX-License-Identifier: Apache-2.0
// Stores rows of a memory: of every row `chunks` chunks of `words` words, each to its own place (a head's cache, a row of
// the residual), `stride` words behind the one before. Bytes beyond `bytes` of a chunk are written as zeros.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module store_walk
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              start_i,
    output logic              done_o,        // for a cycle: all is with the writer
    input  count_t            rows_i,
    input  logic  [      7:0] chunks_i,
    input  logic  [      9:0] words_i,
    input  logic  [     15:0] bytes_i,
    input  addr_t             base_i,
    input  place_t            first_i,
    input  place_t            stride_i,
    output logic              re_o,
    output row_t              row_o,         // what to read,
    output logic  [     11:0] at_o,          // word of the row's part
    input  word_t             data_i,
    output logic              cmd_valid_o,
    input  logic              cmd_ready_i,
    output addr_t             cmd_addr_o,
    output logic  [     15:0] cmd_words_o,
    output logic              word_valid_o,
    input  logic              word_ready_i,
    output word_t             word_o
);
  typedef enum logic [1:0] {
    Idle,
    Command,
    Read,
    Send
  } state_e;

  state_e state_d, state_q;
  logic [9:0] word;
  place_t place_d, place_q;
  logic sent, chunk_ends, ends, unused_ends;
  logic [7:0] unused_chunk;

  assign sent = word_valid_o && word_ready_i;
  walk_counter u_walk (
      .clk_i,
      .rst_ni,
      .start_i,
      .step_i      (sent),
      .rows_i,
      .chunks_i,
      .words_i,
      .row_o,
      .chunk_o     (unused_chunk),
      .word_o      (word),
      .at_o,
      .chunk_ends_o(chunk_ends),
      .row_ends_o  (unused_ends),
      .ends_o      (ends)
  );

  assign cmd_valid_o  = state_q == Command;
  assign cmd_addr_o   = base_i + {place_q, 6'd0};
  assign cmd_words_o  = 16'(words_i);
  assign re_o         = state_q == Read;
  assign word_valid_o = state_q == Send;
  assign word_o       = mask_word(data_i, tail_bytes(12'(word), {2'd0, bytes_i}));

  always_comb begin
    state_d = state_q;
    place_d = place_q;
    done_o  = 1'b0;
    unique case (state_q)
      Idle:
      if (start_i) begin
        state_d = Command;
        place_d = first_i;
      end
      Command: if (cmd_ready_i) state_d = Read;
      Read: state_d = Send;
      default:
      if (sent) begin
        state_d = Read;
        if (chunk_ends) begin
          state_d = ends ? Idle : Command;
          place_d = place_q + stride_i;
          done_o  = ends;
        end
      end
    endcase
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(place_q, place_d, start_i || state_q != Idle)

  `ASSERT_STABLE(WordStable, word_valid_o, word_ready_i, word_o)
endmodule

`default_nettype wire
