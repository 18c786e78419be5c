// SPDX-License-Identifier: Apache-2.0
// Holds the microwords; LOAD writes scratchpad words, a read gives the whole microword one cycle later. Memories of
// microwords, so that a word of LOAD is a part of one or spans two memories. A microword must not be read while it is
// written: the tokens see to it.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_program_store
  import isa_pkg::*;
#(
    parameter int unsigned Depth     = 16,  // bytes of a written word: 16, 32 or 64
    parameter int unsigned ProgWords = 64,  // microwords: 4 to 256, even
    localparam int unsigned WriteW   = $clog2(ProgWords * MicrowordBytes / Depth),
    localparam int unsigned ReadW    = $clog2(ProgWords)
) (
    input  logic                   clk_i,
    input  sram_pkg::pins_t   sram_pins_i,
    output sram_pkg::status_t sram_status_o,
    input  logic                   prog_we_i,
    input  logic     [ WriteW-1:0] prog_addr_i,
    input  logic     [8*Depth-1:0] prog_wdata_i,
    input  logic                   read_i,
    input  logic     [  ReadW-1:0] index_i,
    output microword_t             microword_o
);
  localparam int unsigned Memories = (Depth > MicrowordBytes) ? Depth / MicrowordBytes : 1;
  // writes of a microword
  localparam int unsigned Parts = (Depth < MicrowordBytes) ? MicrowordBytes / Depth : 1;
  localparam int unsigned Words = ProgWords / Memories;  // of a memory
  localparam int unsigned AddrW = chip_pkg::index_width(Words);
  localparam int unsigned Bits = 8 * MicrowordBytes;

  logic [MicrowordBytes-1:0] wbe;
  logic [Bits-1:0] read[Memories];
  sram_pkg::status_t [Memories-1:0] status;

  // Bytes of a microword that a written word brings.
  if (Parts > 1) begin : gen_part
    assign wbe = MicrowordBytes'({Depth{1'b1}}) << (Depth * 32'(prog_addr_i[$clog2(Parts)-1:0]));
  end else begin : gen_whole
    assign wbe = '1;
  end

  for (genvar m = 0; m < Memories; m++) begin : gen_memory
    logic [Bits-1:0] wdata;
    if (Parts > 1) begin : gen_repeat
      assign wdata = {Parts{prog_wdata_i}};
    end else begin : gen_slice
      assign wdata = prog_wdata_i[Bits*m+:Bits];
    end

    ram_1r1w #(
        .Words(Words),
        .Bytes(MicrowordBytes)
    ) u_ram (
        .clk_i,
        .pins_i  (sram_pins_i),
        .status_o(status[m]),
        .re_i    (read_i && 32'(index_i) % Memories == m),
        .raddr_i (AddrW'(32'(index_i) / Memories)),
        .rdata_o (read[m]),
        .we_i    (prog_we_i),
        .waddr_i (AddrW'(32'(prog_addr_i) / Parts)),
        .wbe_i   (wbe),
        .wdata_i (wdata)
    );
  end

  if (Memories > 1) begin : gen_select
    logic which_q;
    `FFLNR(which_q, index_i[0], read_i)
    assign microword_o = read[which_q];
  end else begin : gen_only
    assign microword_o = read[0];
  end

  always_comb begin
    sram_status_o = '0;
    for (int unsigned m = 0; m < Memories; m++) sram_status_o |= status[m];
  end

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
endmodule

`default_nettype wire
