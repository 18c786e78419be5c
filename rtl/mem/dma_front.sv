// SPDX-License-Identifier: Apache-2.0
// What LOAD and STORE share: takes an instruction, checks its range and offers its two sides, the bursts of the memory
// and, in order, the words of the box on chip. Of the next instruction the bursts may come while words of the one before
// are walked.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module dma_front #(
    parameter int unsigned Depth    = 16,  // bytes of a word = of a beat: 16, 32 or 64
    parameter int unsigned MaxBurst = 256  // beats of a burst, 1 to 256
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    stop_i,
    input  logic                    instr_valid_i,
    output logic                    instr_ready_o,
    input  dma_pkg::copy_t          copy_i,
    output logic             [ 1:0] checked_o,      // space whose limit is asked for
    input  logic             [23:0] limit_i,        // words in it
    // memory side
    output logic                    burst_valid_o,
    input  logic                    burst_ready_i,
    output logic             [31:0] addr_o,
    output logic             [ 8:0] beats_o,
    output logic                    burst_last_o,   // of the instruction
    // side of the chip
    output logic                    word_valid_o,
    input  logic                    word_step_i,    // it is done with
    output logic             [ 1:0] space_o,
    output dma_pkg::word_t          word_o,
    output logic                    word_first_o,
    output logic                    word_last_o,
    output logic                    box_waits_o,    // another instruction's words come behind these
    output logic                    range_fault_o,  // until stop_i
    output logic                    idle_o          // takes an instruction; bursts and words are told apart
);
  import dma_pkg::*;

  logic setup_valid, setup_ready, bursts_ready, box_ready, walk_ready;
  stream_t stream;
  box_t box, next;

  dma_setup #(
      .Depth(Depth)
  ) u_setup (
      .clk_i,
      .rst_ni,
      .stop_i,
      .instr_valid_i,
      .instr_ready_o,
      .copy_i,
      .space_o    (checked_o),
      .limit_i,
      .valid_o    (setup_valid),
      .ready_i    (setup_ready),
      .stream_o   (stream),
      .box_o      (box),
      .range_fault_o,
      .idle_o
  );

  assign setup_ready = bursts_ready && box_ready;

  dma_bursts #(
      .Depth   (Depth),
      .MaxBurst(MaxBurst)
  ) u_bursts (
      .clk_i,
      .rst_ni,
      .stop_i,
      .valid_i (setup_valid && box_ready),
      .ready_o (bursts_ready),
      .stream_i(stream),
      .valid_o (burst_valid_o),
      .ready_i (burst_ready_i),
      .addr_o,
      .beats_o,
      .last_o  (burst_last_o)
  );

  // One box is walked, two wait.
  fifo #(
      .Width($bits(box_t)),
      .Depth(2)
  ) u_boxes (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(setup_valid && bursts_ready),
      .ready_o(box_ready),
      .data_i (box),
      .valid_o(box_waits_o),
      .ready_i(walk_ready),
      .data_o (next)
  );

  dma_walk u_walk (
      .clk_i,
      .rst_ni,
      .stop_i,
      .valid_i(box_waits_o),
      .ready_o(walk_ready),
      .box_i  (next),
      .valid_o(word_valid_o),
      .step_i (word_step_i),
      .space_o,
      .word_o,
      .first_o(word_first_o),
      .last_o (word_last_o)
  );

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
endmodule

`default_nettype wire
