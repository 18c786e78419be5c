// SPDX-License-Identifier: Apache-2.0
// The memory of the chip: one read and one write port, read data one cycle after `re_i`, held. A word must not be read
// and written in the same cycle: two-port macros promise no data then. This file is what a simulator sees; synthesis
// puts a macro of the memory compiler in the place of each size, with the pins for power and self-test.

`default_nettype none
`include "assertions.svh"

module ram_1r1w #(
    parameter int unsigned Words = 256,  // words
    parameter int unsigned Bytes = 16,   // bytes of a word, each with a write enable
    localparam int unsigned AddrW = (Words > 1) ? $clog2(Words) : 1
) (
    input  logic                  clk_i,
    input  sram_pkg::pins_t   pins_i,
    output sram_pkg::status_t status_o,
    input  logic                  re_i,
    input  logic    [  AddrW-1:0] raddr_i,
    output logic    [8*Bytes-1:0] rdata_o,
    input  logic                  we_i,
    input  logic    [  AddrW-1:0] waddr_i,
    input  logic    [  Bytes-1:0] wbe_i,
    input  logic    [8*Bytes-1:0] wdata_i
);
  logic [8*Bytes-1:0] mem[Words];

  always_ff @(posedge clk_i) begin
    if (re_i) rdata_o <= mem[raddr_i];
  end

  // Whole words apart: simulators write them in one go.
  always_ff @(posedge clk_i) begin
    if (we_i && (&wbe_i)) begin
      mem[waddr_i] <= wdata_i;
    end else if (we_i) begin
      for (int unsigned b = 0; b < Bytes; b++) begin
        if (wbe_i[b]) mem[waddr_i][8*b+:8] <= wdata_i[8*b+:8];
      end
    end
  end

  assign status_o = '0;  // of the macro's self-test

  logic unused_pins;
  assign unused_pins = ^pins_i;

  `ASSERT_CLOCKED(NoClash, !(re_i && we_i && raddr_i == waddr_i))
  `CHECK_PARAMETER(SizeInRange, Words >= 1 && Bytes >= 1)
endmodule

`default_nettype wire
