// SPDX-License-Identifier: Apache-2.0
// First stage of a copy: checks its range and, where rows lie end to end in memory, joins them into one run.
// Takes an instruction when it is free and offers the two geometries three cycles later; a copy beyond `limit_i`
// words is never offered but held as `range_fault_o` until `stop_i`.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module dma_setup #(
    parameter int unsigned Depth = 16  // bytes of a word: 16, 32 or 64
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    stop_i,
    input  logic                    instr_valid_i,
    output logic                    instr_ready_o,
    input  dma_pkg::copy_t          copy_i,
    output logic             [ 1:0] space_o,        // of the copy that is checked
    input  logic             [23:0] limit_i,        // words in that space
    output logic                    valid_o,
    input  logic                    ready_i,
    output dma_pkg::stream_t        stream_o,
    output dma_pkg::box_t           box_o,
    output logic                    range_fault_o,
    output logic                    idle_o
);
  import dma_pkg::*;

  localparam int unsigned Shift = $clog2(Depth);

  typedef enum logic [2:0] {
    Idle,
    Extent,  // multiply: words from the first row to the last
    Check,  // multiply: words in all rows
    Offer,
    Fault
  } state_e;

  typedef logic [37:0] extent_t;

  state_e state_d, state_q;
  logic        [31:0] dram_q, dram_row_q;
  box_t box_d, box_q;
  logic [15:0] factor;
  word_t other;
  run_t product_q;
  extent_t end_word;
  logic take, contiguous;

  assign instr_ready_o = state_q == Idle;
  assign take          = instr_valid_i && instr_ready_o && !stop_i;

  always_comb begin
    box_d.space    = copy_i.space;
    box_d.spad     = word_t'(copy_i.spad >> Shift);
    box_d.spad_row = word_t'(copy_i.spad_row >> Shift);
    box_d.rows     = copy_i.rows;
    box_d.words    = word_t'(copy_i.row_bytes >> Shift);
  end

  // One multiplier for both products.
  assign factor   = (state_q == Extent) ? box_q.rows - 1'b1 : box_q.rows;
  assign other    = (state_q == Extent) ? box_q.spad_row : box_q.words;
  assign end_word = extent_t'(product_q) + extent_t'(box_q.spad) + extent_t'(box_q.words);

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Idle:    if (take) state_d = Extent;
      Extent:  state_d = Check;
      Check:   state_d = (end_word > extent_t'(limit_i)) ? Fault : Offer;
      Offer:   if (ready_i) state_d = Idle;
      Fault:   state_d = Fault;
      default: state_d = Idle;
    endcase
    if (stop_i) state_d = Idle;
  end

  `FF(state_q, state_d, Idle)
  `FFLNR(dram_q, copy_i.dram, take)
  `FFLNR(dram_row_q, copy_i.dram_row, take)
  `FFLNR(box_q, box_d, take)
  `FFLNR(product_q, run_t'(factor) * run_t'(other), state_q == Extent || state_q == Check)

  assign space_o    = box_q.space;
  assign contiguous = dram_row_q == 32'(box_q.words) << Shift;

  assign valid_o           = state_q == Offer;
  assign box_o             = box_q;
  assign stream_o.dram     = dram_q;
  assign stream_o.dram_row = dram_row_q;
  assign stream_o.rows     = contiguous ? 16'd1 : box_q.rows;
  assign stream_o.run      = contiguous ? product_q : run_t'(box_q.words);
  assign range_fault_o     = state_q == Fault;
  assign idle_o            = state_q == Idle;

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
endmodule

`default_nettype wire
