// SPDX-License-Identifier: Apache-2.0
// Four engine queues and their token counts; the test plays the engines.

`default_nettype none

module bench_queues #(
    parameter int unsigned Queue    = 2,
    parameter int unsigned InFlight = 4
) (
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              begin_i,
    input  logic              stop_i,
    input  logic [ 3:0]       push_valid_i,
    output logic [ 3:0]       push_ready_o,
    input  logic [511:0]      push_instr_i,
    input  logic [19:0]       push_pc_i,
    output logic [ 3:0]       instr_valid_o,
    input  logic [ 3:0]       instr_ready_i,
    output logic [511:0]      instr_o     [4],
    output logic [ 3:0]       token_wait_o,
    input  logic [ 3:0]       retire_i,
    output logic [ 3:0]       issue_o,
    output logic [ 3:0][19:0] issue_pc_o,
    output logic [ 3:0]       busy_o,
    output logic [ 3:0][19:0] oldest_pc_o,
    output logic [ 3:0][15:0] tokens_o
);
  tokens u_tokens (
      .clk_i,
      .rst_ni,
      .begin_i,
      .retire_i,
      .tokens_o
  );

  for (genvar e = 0; e < 4; e++) begin : gen_queue
    engine_queue #(
        .Queue(Queue),
        .InFlight(InFlight)
    ) u_queue (
        .clk_i,
        .rst_ni,
        .stop_i,
        .push_valid_i (push_valid_i[e]),
        .push_ready_o (push_ready_o[e]),
        .push_instr_i (push_instr_i),
        .push_pc_i,
        .tokens_i     (tokens_o),
        .instr_valid_o(instr_valid_o[e]),
        .instr_ready_i(instr_ready_i[e]),
        .instr_o      (instr_o[e]),
        .token_wait_o (token_wait_o[e]),
        .retire_i     (retire_i[e]),
        .issue_o      (issue_o[e]),
        .issue_pc_o   (issue_pc_o[e]),
        .busy_o       (busy_o[e]),
        .oldest_pc_o  (oldest_pc_o[e])
    );
  end
endmodule

`default_nettype wire
