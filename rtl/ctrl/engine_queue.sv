// SPDX-License-Identifier: Apache-2.0
// The queue in front of an engine: holds instructions until their tokens are there, hands them over in order, and
// remembers the place in the program of each that the engine has taken but not retired.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module engine_queue #(
    parameter int unsigned Queue = 4,  // instructions that wait, a power of two
    parameter int unsigned InFlight = chip_pkg::InFlight  // that the engine may hold, a power of two
) (
    input  logic                               clk_i,
    input  logic                               rst_ni,
    input  logic                               stop_i,  // forget everything
    input  logic                               push_valid_i,
    output logic                               push_ready_o,
    input  isa_pkg::header_t                   push_instr_i,
    input  chip_pkg::pc_t                      push_pc_i,
    input  chip_pkg::token_t [chip_pkg::Engines-1:0] tokens_i,  // instructions retired by each engine
    output logic                               instr_valid_o,
    input  logic                               instr_ready_i,
    output isa_pkg::header_t                   instr_o,
    output logic                               token_wait_o,  // the head's tokens are missing
    input  logic                               retire_i,
    output logic                               issue_o,
    output chip_pkg::pc_t                      issue_pc_o,
    output logic                               busy_o,  // an instruction waits or is executed
    output chip_pkg::pc_t                      oldest_pc_o  // of these, the one that retires next
);
  import chip_pkg::*;
  import isa_pkg::*;

  logic head_valid, tokens_met, flight_ready, flight_valid;
  header_t head;
  pc_t head_pc, flight_pc;

  fifo #(
      .Width(PcW + $bits(header_t)),
      .Depth(Queue)
  ) u_waiting (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(push_valid_i),
      .ready_o(push_ready_o),
      .data_i ({push_pc_i, push_instr_i}),
      .valid_o(head_valid),
      .ready_i(issue_o),
      .data_o ({head_pc, head})
  );

  assign tokens_met = tokens_i[EngineLoad] >= head.wait_load &&
                      tokens_i[EngineMxu] >= head.wait_mxu &&
                      tokens_i[EngineVpu] >= head.wait_vpu &&
                      tokens_i[EngineStore] >= head.wait_store;

  assign instr_valid_o = head_valid && tokens_met && flight_ready && !stop_i;
  assign instr_o       = head;
  assign token_wait_o  = head_valid && !tokens_met;
  assign issue_o       = instr_valid_o && instr_ready_i;
  assign issue_pc_o    = head_pc;

  fifo #(
      .Width(PcW),
      .Depth(InFlight)
  ) u_in_flight (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(issue_o),
      .ready_o(flight_ready),
      .data_i (head_pc),
      .valid_o(flight_valid),
      .ready_i(retire_i),
      .data_o (flight_pc)
  );

  assign busy_o      = head_valid || flight_valid;
  assign oldest_pc_o = flight_valid ? flight_pc : head_pc;

  `ASSERT_ALWAYS(RetireWhatWasIssued, !retire_i || flight_valid || stop_i)

  `CHECK_PARAMETER(QueueInRange, chip_pkg::legal_queue(Queue))
endmodule

`default_nettype wire
