// SPDX-License-Identifier: Apache-2.0
// Scratchpad of four banks, each serving one read and one write a cycle. Grants are combinational; the lower port number
// wins a bank. Read data come in the cycle after the grant. A word that a port wants to write is not read in that cycle:
// the read waits, and sees what was written. A word's bank: arith_pkg::spad_bank; its row: word / 4.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module spad #(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned SpadWords = 1024,  // words: 64 or more, a multiple of four, 2^24 bytes at most
    parameter int unsigned ReadPorts = 6,  // read ports, by priority
    parameter int unsigned WritePorts = 2  // write ports, by priority
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  sram_pkg::pins_t   sram_pins_i,
    output sram_pkg::status_t sram_status_o,
    input  port_pkg::spad_req_t read_i [ReadPorts],
    output logic               rgnt_o [ReadPorts],
    output logic [8*Depth-1:0] rdata_o[ReadPorts],
    input  port_pkg::spad_req_t write_i[WritePorts],
    input  logic [  Depth-1:0] wbe_i  [WritePorts],
    input  logic [8*Depth-1:0] wdata_i[WritePorts],
    output logic               wgnt_o [WritePorts]
);
  localparam int unsigned Banks = chip_pkg::SpadBanks;
  localparam int unsigned AddrW = $clog2(SpadWords);
  localparam int unsigned RowW = AddrW - 2;

  logic               re    [Banks];
  logic [   RowW-1:0] rrow  [Banks];
  logic [8*Depth-1:0] rdata [Banks];
  logic               we    [Banks];
  logic [   RowW-1:0] wrow  [Banks];
  logic [  Depth-1:0] wbe   [Banks];
  logic [8*Depth-1:0] wdata [Banks];
  logic [        1:0] rbank [ReadPorts];
  logic [        1:0] rbank_q[ReadPorts];
  logic [        1:0] wbank [WritePorts];
  logic               clash;

  always_comb begin
    for (int unsigned b = 0; b < Banks; b++) begin
      re[b]   = 1'b0;
      rrow[b] = '0;
    end
    clash = 1'b0;
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      rgnt_o[p] = 1'b0;
      rbank[p]  = '0;
      clash     = 1'b0;
      if (read_i[p].valid) begin
        rbank[p] = arith_pkg::spad_bank(read_i[p].addr[5:0]);
        for (int unsigned w = 0; w < WritePorts; w++) begin
          if (write_i[w].valid && write_i[w].addr == read_i[p].addr) clash = 1'b1;
        end
        if (!clash && !re[rbank[p]]) begin
          rgnt_o[p]      = 1'b1;
          re[rbank[p]]   = 1'b1;
          rrow[rbank[p]] = read_i[p].addr[AddrW-1:2];
        end
      end
    end
  end

  always_comb begin
    for (int unsigned b = 0; b < Banks; b++) begin
      we[b]    = 1'b0;
      wrow[b]  = '0;
      wbe[b]   = '0;
      wdata[b] = '0;
    end
    for (int unsigned p = 0; p < WritePorts; p++) begin
      wgnt_o[p] = 1'b0;
      wbank[p]  = arith_pkg::spad_bank(write_i[p].addr[5:0]);
      if (write_i[p].valid && !we[wbank[p]]) begin
        wgnt_o[p]       = 1'b1;
        we[wbank[p]]    = 1'b1;
        wrow[wbank[p]]  = write_i[p].addr[AddrW-1:2];
        wbe[wbank[p]]   = wbe_i[p];
        wdata[wbank[p]] = wdata_i[p];
      end
    end
  end

  sram_pkg::status_t [Banks-1:0] status;
  always_comb begin
    sram_status_o = '0;
    for (int unsigned b = 0; b < Banks; b++) sram_status_o |= status[b];
  end

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    ram_1r1w #(
        .Words(SpadWords / Banks),
        .Bytes(Depth)
    ) u_ram (
        .clk_i,
        .pins_i  (sram_pins_i),
        .status_o(status[b]),
        .re_i   (re[b]),
        .raddr_i(rrow[b]),
        .rdata_o(rdata[b]),
        .we_i   (we[b]),
        .waddr_i(wrow[b]),
        .wbe_i  (wbe[b]),
        .wdata_i(wdata[b])
    );
  end

  for (genvar p = 0; p < ReadPorts; p++) begin : gen_read
    `FFL(rbank_q[p], rbank[p], rgnt_o[p], '0)
    assign rdata_o[p] = rdata[rbank_q[p]];
    `ASSERT_ALWAYS(ReadInside, !read_i[p].valid || 32'(read_i[p].addr) < SpadWords)
    `ASSERT_STEADY(ReadSteady, read_i[p].valid, rgnt_o[p], read_i[p].addr)
  end

  for (genvar p = 0; p < WritePorts; p++) begin : gen_write
    `ASSERT_ALWAYS(WriteInside, !write_i[p].valid || 32'(write_i[p].addr) < SpadWords)
    `ASSERT_STEADY(WriteSteady, write_i[p].valid, wgnt_o[p], {write_i[p].addr, wbe_i[p], wdata_i[p]})
  end

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
