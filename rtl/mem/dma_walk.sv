// SPDX-License-Identifier: Apache-2.0
// Walks the words of a box, row by row, one a step. Takes the next box with the last word.

`default_nettype none
`include "registers.svh"

module dma_walk (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  stop_i,   // forget the box
    input  logic                  valid_i,
    output logic                  ready_o,
    input  dma_pkg::box_t         box_i,
    output logic                  valid_o,  // `word_o` is a word of the box
    input  logic                  step_i,   // it is done with
    output logic            [1:0] space_o,
    output dma_pkg::word_t        word_o,
    output logic                  first_o,  // first word of the box
    output logic                  last_o    // last word of the box
);
  import dma_pkg::*;

  logic active_d, active_q, first_q;
  logic [1:0] space_q;
  word_t spad_row_q, words_q;
  word_t word_d, word_q, row_d, row_q, left_d, left_q;
  logic [15:0] rows_d, rows_q;
  logic load, step, fresh, row_ends;

  assign ready_o  = !active_q || (step_i && last_o);
  assign load     = valid_i && ready_o;
  assign fresh    = !active_q || last_o;  // what comes next is the next box's
  assign step     = step_i || (valid_i && !active_q);
  assign valid_o  = active_q;
  assign word_o   = word_q;
  assign space_o  = space_q;
  assign first_o  = first_q;
  assign row_ends = left_q == word_t'(1);
  assign last_o   = row_ends && rows_q == 16'd1;

  // What is next is known before it is: a step is a grant, and comes late.
  always_comb begin
    word_d = word_q + 1'b1;
    row_d  = row_q;
    left_d = left_q - 1'b1;
    rows_d = rows_q;
    if (row_ends) begin
      row_d  = row_q + spad_row_q;
      word_d = row_d;
      left_d = words_q;
      rows_d = rows_q - 1'b1;
    end
    if (fresh) begin
      word_d   = box_i.spad;
      row_d    = box_i.spad;
      left_d   = box_i.words;
      rows_d   = box_i.rows;
    end
  end

  assign active_d = !stop_i && (load || (active_q && !(step_i && last_o)));

  `FF(active_q, active_d, 1'b0)
  `FFLNR(space_q, box_i.space, load)
  `FFLNR(spad_row_q, box_i.spad_row, load)
  `FFLNR(words_q, box_i.words, load)
  `FFLNR(first_q, fresh, step)
  `FFLNR(word_q, word_d, step)
  `FFLNR(row_q, row_d, step)
  `FFLNR(left_q, left_d, step)
  `FFLNR(rows_q, rows_d, step)
endmodule

`default_nettype wire
