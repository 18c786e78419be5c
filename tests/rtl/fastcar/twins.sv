// SPDX-License-Identifier: Apache-2.0
// The blocks whose HLS counterparts the bench holds beside them: mapping, decision, score, one lane.

`default_nettype none

module twins
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes = 4,
    localparam int unsigned Width = 64,
    localparam int unsigned WordW = $clog2(2 * Lanes),
    localparam int unsigned Entries = 32,
    localparam int unsigned EntryW = $clog2(2 * Entries)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    // mapping
    input  logic                      load_i,
    input  logic        [MaxRows-1:0] index_i,
    output logic                      ready_o,
    output count_t                    count_o,
    output row_t                      row_o      [MaxRows],
    output row_t                      place_o    [MaxRows],
    output count_t                    full_o,
    output count_t                    left_o,
    output count_t                    steps_o,
    output share_t                    share_o    [Lanes],
    // decision
    input  policy_e                   policy_i,
    input  logic signed [       31:0] threshold_i,
    input  count_t                    rows_i,
    input  logic                      tas_valid_i,
    input  logic signed [       31:0] tas_i,
    input  logic                      may_i,
    output logic                      decided_o,
    output logic        [MaxRows-1:0] decision_o,
    // lane
    input  logic                      word_we_i,
    input  logic        [  WordW-1:0] word_addr_i,
    input  logic        [8*Width-1:0] word_i,
    input  logic                      input_we_i,
    input  logic        [        1:0] segment_i,
    input  logic        [8*Width-1:0] input_i,
    input  logic                      issue_i,
    input  logic                      first_i,
    input  logic        [ EntryW-1:0] entry_i,
    output logic signed [       31:0] even_o,
    output logic signed [       31:0] odd_o
);
  logic [9*Width-1:0] packed_word;
  logic [MaxRows-1:0] unused_index;
  logic unused_ready;

  drs #(
      .Lanes(Lanes),
      .Words(Lanes)
  ) u_drs (
      .clk_i,
      .rst_ni,
      .load_i,
      .index_i,
      .ready_o,
      .index_o(unused_index),
      .count_o,
      .row_o,
      .place_o,
      .full_o,
      .left_o,
      .steps_o,
      .share_o
  );

  drs_policy u_policy (
      .clk_i,
      .rst_ni,
      .policy_i,
      .threshold_i,
      .rows_i,
      .valid_i     (tas_valid_i),
      .ready_o     (unused_ready),
      .tas_i,
      .may_replay_i(may_i),
      .valid_o     (decided_o),
      .ready_i     (1'b1),
      .index_o     (decision_o)
  );

  lane_pack #(
      .Width(Width)
  ) u_pack (
      .word_i,
      .packed_o(packed_word)
  );

  lane #(
      .Width  (Width),
      .Words  (Lanes),
      .Inputs (4),
      .Entries(Entries)
  ) u_lane (
      .clk_i,
      .rst_ni,
      .word_we_i,
      .word_waddr_i (word_addr_i),
      .word_i       (packed_word),
      .input_we_i,
      .input_waddr_i(segment_i),
      .input_i,
      .valid_i      (issue_i),
      .word_addr_i,
      .input_addr_i (segment_i),
      .entry_i,
      .first_i,
      .sum_addr_i   (entry_i),
      .even_o,
      .odd_o
  );
endmodule

`default_nettype wire
