// SPDX-License-Identifier: Apache-2.0
// Decides, from the scores of a batch in row order, who computes: the index register (0 replays, 1 computes).
// A group (a row, a guidance pair, the batch) replays when each of its rows may and its mean score exceeds the
// threshold; with PolicyAll, when each score does. The decision is offered in the cycle after the last score.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module drs_policy
  import fastcar_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  policy_e                    policy_i,
    input  logic signed [        31:0] threshold_i,
    input  count_t                     rows_i,        // 1..32; these three stand still in a batch
    input  logic                       valid_i,
    output logic                       ready_o,
    input  logic signed [        31:0] tas_i,
    input  logic                       may_replay_i,  // a frame behind it, chain below the cap
    output logic                       valid_o,
    input  logic                       ready_i,
    output logic        [MaxRows-1:0] index_o
);
  count_t row_d, row_q;
  logic done_d, done_q, all_d, all_q, may_d, may_q;
  logic [MaxRows-1:0] index_d, index_q, members;
  logic signed [38:0] sum_d, sum_q;  // of 32 differences of 33 bits
  logic signed [32:0] excess;
  logic take, first, closes, replay, final_row;

  assign ready_o   = !done_q;
  assign valid_o   = done_q;
  assign index_o   = index_q;
  assign take      = valid_i && ready_o;
  assign final_row = row_q == rows_i - 1'b1;
  assign excess    = 33'(tas_i) - 33'(threshold_i);

  always_comb begin
    unique case (policy_i)
      PolicyPerSample: begin
        first   = 1'b1;
        closes  = 1'b1;
        members = MaxRows'(1) << row_q;
      end
      PolicyPair: begin
        first   = !row_q[0];
        closes  = row_q[0] || final_row;
        members = (row_q[0] ? MaxRows'(3) : MaxRows'(1)) << {row_q[5:1], 1'b0};
      end
      default: begin
        first   = row_q == '0;
        closes  = final_row;
        members = ~({MaxRows{1'b1}} << rows_i);
      end
    endcase
    sum_d   = (first ? '0 : sum_q) + 39'(excess);
    all_d   = (first || all_q) && excess > 0;
    may_d   = (first || may_q) && may_replay_i;
    replay  = may_d && ((policy_i == PolicyAll) ? all_d : sum_d > 0);
    index_d = (row_q == '0) ? '0 : index_q;
    if (closes && !replay) index_d |= members;
    row_d  = final_row ? '0 : row_q + 1'b1;
    done_d = done_q ? !ready_i : (take && final_row);
  end

  `FFL(row_q, row_d, take, '0)
  `FFL(index_q, index_d, take, '0)
  `FFL(sum_q, sum_d, take, '0)
  `FFL(all_q, all_d, take, 1'b0)
  `FFL(may_q, may_d, take, 1'b0)
  `FF(done_q, done_d, 1'b0)

  `ASSERT_STABLE(DecisionStable, valid_o, ready_i, index_o)
endmodule

`default_nettype wire
