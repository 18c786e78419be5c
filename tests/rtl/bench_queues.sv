// SPDX-License-Identifier: Apache-2.0
// The engines' queues and the token counts; the test plays the engines.

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
    output logic [511:0]      instr_o,
    output logic [ 3:0]       token_wait_o,
    input  logic [ 3:0]       retire_i,
    output logic [ 3:0]       issue_o,
    output logic [ 3:0][19:0] issue_pc_o,
    output logic [ 3:0]       busy_o,
    output logic [ 3:0][19:0] oldest_pc_o,
    output logic [ 3:0][15:0] tokens_o
);
  chip_pkg::token_t [3:0] tokens_next;
  sram_pkg::status_t unused_status;

  tokens u_tokens (
      .clk_i,
      .rst_ni,
      .begin_i,
      .retire_i,
      .tokens_o,
      .next_o(tokens_next)
  );

  engine_queues #(
      .Queue(Queue),
      .InFlight(InFlight)
  ) u_queues (
      .clk_i,
      .rst_ni,
      .sram_pins_i  ('0),
      .sram_status_o(unused_status),
      .stop_i,
      .push_valid_i,
      .push_ready_o,
      .push_instr_i,
      .push_pc_i,
      .tokens_i     (tokens_next),
      .instr_valid_o,
      .instr_ready_i,
      .instr_o,
      .token_wait_o,
      .retire_i,
      .issue_o,
      .issue_pc_o,
      .busy_o,
      .oldest_pc_o
  );
endmodule

`default_nettype wire
