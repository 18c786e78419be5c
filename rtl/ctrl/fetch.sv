// SPDX-License-Identifier: Apache-2.0
// Fetches the program in order, ahead of decode by up to `Prefetch` instructions, one AXI burst each. Offers every
// instruction with the question whether its read failed. When stopped, it drops what it has and what still comes. Beats go
// to a memory as they come; an instruction that is whole is read from it, and offered while the memory holds it.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module fetch #(
    parameter int unsigned Depth    = 16,  // bytes of a beat: 16, 32 or 64
    parameter int unsigned Prefetch = 4    // instructions fetched ahead, a power of two
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  sram_pkg::pins_t           sram_pins_i,
    output sram_pkg::status_t         sram_status_o,
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
  localparam int unsigned IndexW = $clog2(Prefetch);

  logic [31:6] base_q;
  pc_t count_q, next_d, next_q;
  logic [CountW-1:0] reserved_d, reserved_q;  // instructions in the memory and on their way to it
  logic [CountW-1:0] outstanding_d, outstanding_q;  // instructions on their way
  logic [BeatW-1:0] beat_d, beat_q;
  logic issue, arrive, complete, read, valid_d;
  logic failed_q, failed;
  logic [IndexW-1:0] write_q, read_q;  // instruction that arrives, that is read next
  logic [CountW-1:0] whole_d, whole_q;  // instructions that have arrived and were not read
  logic [Prefetch-1:0] errors_q;

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
    if (read) reserved_d = reserved_d - 1'b1;
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

  // An instruction is read when nothing is offered, or when what is offered goes.
  assign read = !stop_i && whole_q != '0 && (!valid_o || ready_i);

  always_comb begin
    whole_d = whole_q;
    if (complete) whole_d = whole_d + 1'b1;
    if (read) whole_d = whole_d - 1'b1;
    if (stop_i) whole_d = '0;
    valid_d = !stop_i && (read || (valid_o && !ready_i));
  end

  `FF(valid_o, valid_d, 1'b0)
  `FF(whole_q, whole_d, '0)
  `FFL(write_q, stop_i ? '0 : write_q + 1'b1, complete || stop_i, '0)
  `FFL(read_q, stop_i ? '0 : read_q + 1'b1, read || stop_i, '0)
  `FFLNR(errors_q[write_q], failed, complete)
  `FFLNR(error_o, errors_q[read_q], read)

  ram_1r1w #(
      .Words(Prefetch),
      .Bytes(64)
  ) u_ram (
      .clk_i,
      .pins_i  (sram_pins_i),
      .status_o(sram_status_o),
      .re_i    (read),
      .raddr_i (read_q),
      .rdata_o (instr_o),
      .we_i    (arrive && !stop_i),
      .waddr_i (write_q),
      .wbe_i   (64'({Depth{1'b1}}) << (Depth * 32'(beat_q))),
      .wdata_i ({Beats{r_data_i}})
  );

  assign idle_o      = outstanding_q == '0;
  assign exhausted_o = next_q == count_q && reserved_q == '0 && !valid_o;

  `ASSERT_ALWAYS(BufferRoom, !complete || 32'(whole_q) < Prefetch || stop_i)
  `ASSERT_ALWAYS(Expected, !r_i.valid || outstanding_q != '0)

  `CHECK_PARAMETER(PrefetchInRange, Prefetch >= 2 && Prefetch == 1 << IndexW)
  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
endmodule

`default_nettype wire
