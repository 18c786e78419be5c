// SPDX-License-Identifier: Apache-2.0
// A memory of a step, or a lane's inputs, in UltraRAM or in block RAM: one read and one write port, byte enables; read
// data one cycle after `re_i`, held. A word must not be read and written in the same cycle.

`default_nettype none
`include "assertions.svh"

module step_ram #(
    parameter int unsigned Words = 4096,  // words
    parameter int unsigned Bytes = 64,    // bytes of a word, each with a write enable
    parameter bit          Ultra = 1'b1,  // UltraRAM
    localparam int unsigned AddrW = (Words > 1) ? $clog2(Words) : 1
) (
    input  logic               clk_i,
    input  logic               re_i,
    input  logic [  AddrW-1:0] raddr_i,
    output logic [8*Bytes-1:0] rdata_o,
    input  logic               we_i,
    input  logic [  AddrW-1:0] waddr_i,
    input  logic [  Bytes-1:0] wbe_i,
    input  logic [8*Bytes-1:0] wdata_i
);
  (* ram_style = Ultra ? "ultra" : "block" *)
  logic [8*Bytes-1:0] mem[Words];

  always_ff @(posedge clk_i) begin
    if (re_i) rdata_o <= mem[raddr_i];
  end
  always_ff @(posedge clk_i) begin
    if (we_i) begin
      for (int unsigned b = 0; b < Bytes; b++) begin
        if (wbe_i[b]) mem[waddr_i][8*b+:8] <= wdata_i[8*b+:8];
      end
    end
  end

  logic unused_style;  // simulation reads no attributes
  assign unused_style = Ultra;

  `ASSERT_CLOCKED(NoClash, !(re_i && we_i && raddr_i == waddr_i))
  `CHECK_PARAMETER(SizeInRange, Words >= 1 && Bytes >= 1)
endmodule

`default_nettype wire
