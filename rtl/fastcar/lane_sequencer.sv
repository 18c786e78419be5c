// SPDX-License-Identifier: Apache-2.0
// Walks the lanes through a job: tile by tile, segment by segment, each window of words in the passes of the plan. Waits
// for the window to be filled and, at a tile's beginning, for one of the two sets of accumulators.

`default_nettype none
`include "registers.svh"

module lane_sequencer
  import fastcar_pkg::*;
#(
    parameter int unsigned Words = 16  // of a window
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        start_i,         // of a job with a row to compute
    output logic        busy_o,
    input  logic [ 9:0] segments_i,      // 1 or more
    input  logic [15:0] tiles_i,         // 1 or more
    input  count_t      full_i,
    input  count_t      left_i,
    input  count_t      steps_i,
    input  logic        window_valid_i,
    output logic        window_done_o,   // its last word is read in this cycle
    input  logic        sums_free_i,     // a set of accumulators is free
    output logic        tile_begin_o,    // takes it
    output logic        tile_end_o,      // its last product is issued in this cycle
    output logic        issue_o,
    output logic        wait_words_o,
    output logic        wait_sums_o,
    output logic        split_o,         // last pass: each lane its share; else all lanes the same word
    output count_t      step_o,          // word of a full pass, or word of each share
    output count_t      pass_o,
    output logic [ 9:0] segment_o
);
  logic busy_d, begun_d, begun_q, pass_ends, window_ends, segment_last, tile_last;
  count_t step_d, pass_d, passes;
  logic [9:0] segment_d;
  logic [15:0] tile_d, tile_q;

  assign passes = full_i + count_t'(left_i != '0);
  assign split_o = pass_o == full_i;
  assign pass_ends = step_o == (split_o ? steps_i : count_t'(Words)) - 1'b1;
  assign window_ends = pass_ends && pass_o == passes - 1'b1;
  assign segment_last = segment_o == segments_i - 1'b1;
  assign tile_last = tile_q == tiles_i - 1'b1;

  assign wait_sums_o = busy_o && window_valid_i && !begun_q && !sums_free_i;
  assign wait_words_o = busy_o && !window_valid_i;
  assign issue_o = busy_o && !wait_words_o && !wait_sums_o;
  assign window_done_o = issue_o && window_ends;
  assign tile_begin_o = issue_o && !begun_q;
  assign tile_end_o = window_done_o && segment_last;

  always_comb begin
    busy_d    = busy_o;
    begun_d   = begun_q;
    step_d    = step_o;
    pass_d    = pass_o;
    segment_d = segment_o;
    tile_d    = tile_q;
    if (issue_o) begin
      begun_d = !tile_end_o;
      step_d  = pass_ends ? '0 : step_o + 1'b1;
      if (pass_ends) pass_d = window_ends ? '0 : pass_o + 1'b1;
      if (window_ends) segment_d = segment_last ? '0 : segment_o + 1'b1;
      if (tile_end_o) tile_d = tile_last ? '0 : tile_q + 1'b1;
      if (tile_end_o && tile_last) busy_d = 1'b0;
    end
    if (start_i) busy_d = 1'b1;
  end

  `FF(busy_o, busy_d, 1'b0)
  `FFL(begun_q, begun_d, issue_o, 1'b0)
  `FFL(step_o, step_d, issue_o, '0)
  `FFL(pass_o, pass_d, issue_o, '0)
  `FFL(segment_o, segment_d, issue_o, '0)
  `FFL(tile_q, tile_d, issue_o, '0)
endmodule

`default_nettype wire
