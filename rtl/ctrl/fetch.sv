// SPDX-License-Identifier: Apache-2.0
// Fetches the program in order, ahead of decode by up to `Prefetch` instructions, one AXI burst each. Offers every
// instruction with the question whether its read failed. When stopped, it drops what it has and what still comes.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module fetch #(
    parameter int unsigned Depth    = 16,  // bytes of a beat: 16, 32 or 64
    parameter int unsigned Prefetch = 4    // instructions fetched ahead, a power of two
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      stop_i,        // also before the start
    input  logic                      accept_i,      // a start is taken: of this program
    input  logic          [     31:6] prog_base_i,
    input  chip_pkg::pc_t             prog_count_i,
    output logic                      idle_o,        // nothing outstanding
    output logic                      exhausted_o,   // every instruction was handed over
    output logic                      valid_o,
    input  logic                      ready_i,
    output logic          [    511:0] instr_o,
    output logic                      error_o,
    // AXI4 read channels; the address offer may be withdrawn when stopped; what was asked for has room
    output port_pkg::ar_t             ar_o,
    input  logic                      ar_ready_i,
    input  port_pkg::r_t              r_i,           // always taken
    input  logic          [8*Depth-1:0] r_data_i
);
  import chip_pkg::*;

  localparam int unsigned Beats = 64 / Depth;
  localparam int unsigned BeatW = (Beats > 1) ? $clog2(Beats) : 1;
  localparam int unsigned CountW = $clog2(Prefetch + 1);

  logic [31:6] base_q;
  pc_t count_q, next_d, next_q;
  logic [CountW-1:0] reserved_d, reserved_q;  // instructions in the buffer and on their way to it
  logic [CountW-1:0] outstanding_d, outstanding_q;  // instructions on their way
  logic [BeatW-1:0] beat_d, beat_q;
  logic issue, arrive, complete, buffer_ready;
  logic failed_q, failed;

  `FFL(base_q, prog_base_i, accept_i, '0)
  `FFL(count_q, prog_count_i, accept_i, '0)

  assign ar_o.valid = !stop_i && next_q != count_q && 32'(reserved_q) != Prefetch;
  assign ar_o.addr  = {base_q + 26'(next_q), 6'd0};
  assign ar_o.len   = 8'(Beats - 1);
  assign issue      = ar_o.valid && ar_ready_i;

  assign arrive   = r_i.valid;
  assign complete = arrive && 32'(beat_q) == Beats - 1;
  assign failed   = r_i.error || (failed_q && beat_q != '0);

  always_comb begin
    next_d        = next_q;
    reserved_d    = reserved_q;
    outstanding_d = outstanding_q;
    beat_d        = beat_q;
    if (issue) begin
      next_d        = next_q + 1'b1;
      reserved_d    = reserved_d + 1'b1;
      outstanding_d = outstanding_d + 1'b1;
    end
    if (valid_o && ready_i) reserved_d = reserved_d - 1'b1;
    if (arrive) beat_d = complete ? '0 : beat_q + 1'b1;
    if (complete) outstanding_d = outstanding_d - 1'b1;
    if (stop_i) begin
      next_d     = '0;
      reserved_d = '0;
    end
  end

  `FF(next_q, next_d, '0)
  `FF(reserved_q, reserved_d, '0)
  `FF(outstanding_q, outstanding_d, '0)
  `FF(beat_q, beat_d, '0)
  `FFLNR(failed_q, failed, arrive)

  // Beats of the instruction that arrives, the first one lowest.
  logic [511:0] whole;
  if (Beats > 1) begin : gen_gather
    logic [511-8*Depth:0] partial_q;
    if (Beats > 2) begin : gen_shift
      `FFLNR(partial_q, whole[511:8*Depth], arrive)
    end else begin : gen_hold
      `FFLNR(partial_q, r_data_i, arrive)
    end
    assign whole = {r_data_i, partial_q};
  end else begin : gen_direct
    assign whole = r_data_i;
  end

  fifo #(
      .Width(513),
      .Depth(Prefetch)
  ) u_buffer (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(complete),
      .ready_o(buffer_ready),
      .data_i ({failed, whole}),
      .valid_o(valid_o),
      .ready_i(ready_i),
      .data_o ({error_o, instr_o})
  );

  assign idle_o      = outstanding_q == '0;
  assign exhausted_o = next_q == count_q && reserved_q == '0;

  `ASSERT_ALWAYS(BufferRoom, !complete || buffer_ready || stop_i)
  `ASSERT_ALWAYS(Expected, !r_i.valid || outstanding_q != '0)

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
endmodule

`default_nettype wire
