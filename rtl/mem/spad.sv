// SPDX-License-Identifier: Apache-2.0
// Scratchpad of four banks, each serving one read and one write a cycle. Grants are combinational; the lower port number
// wins a bank, of reads one whose `first_i` is set before all whose is not. Which ones go first may change in any cycle.
// Read data come in the cycle after the grant. A word that a port wants to write is not read in that cycle: the read
// waits, and sees what was written. A word's bank: arith_pkg::spad_bank; its row: word / 4.

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
    input  logic               first_i[ReadPorts],  // its reads go before those where this is not set
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

  typedef logic [AddrW-1:0] word_t;

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
  logic               wants [ReadPorts];  // a read, and of a word that nobody writes

  for (genvar p = 0; p < ReadPorts; p++) begin : gen_rbank
    assign rbank[p] = arith_pkg::spad_bank(read_i[p].addr[5:0]);
  end
  for (genvar p = 0; p < WritePorts; p++) begin : gen_wbank
    assign wbank[p] = arith_pkg::spad_bank(write_i[p].addr[5:0]);
  end

  // A port has its bank unless one that goes before it wants the same. Whether that one gets it does not matter: if not,
  // one that goes before both has it. So no grant waits for another one.
  always_comb begin
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      wants[p] = read_i[p].valid;
      if (read_i[p].valid) begin
        for (int unsigned w = 0; w < WritePorts; w++) begin
          if (write_i[w].valid && word_t'(write_i[w].addr) == word_t'(read_i[p].addr)) wants[p] = 1'b0;
        end
      end
    end
  end

  always_comb begin
    for (int unsigned b = 0; b < Banks; b++) begin
      re[b]   = 1'b0;
      rrow[b] = '0;
    end
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      rgnt_o[p] = wants[p];
      if (wants[p]) begin
        for (int unsigned q = 0; q < ReadPorts; q++) begin
          if (wants[q] && rbank[q] == rbank[p] && (first_i[q] == first_i[p] ? q < p : first_i[q])) begin
            rgnt_o[p] = 1'b0;
          end
        end
      end
      if (rgnt_o[p]) begin
        re[rbank[p]]   = 1'b1;
        rrow[rbank[p]] = rrow[rbank[p]] | read_i[p].addr[AddrW-1:2];  // the bank's only one
      end
    end
  end

  // A bank that nobody writes may see anybody's word.
  always_comb begin
    for (int unsigned p = 0; p < WritePorts; p++) begin
      wgnt_o[p] = write_i[p].valid;
      for (int unsigned q = 0; q < p; q++) if (write_i[q].valid && wbank[q] == wbank[p]) wgnt_o[p] = 1'b0;
    end
    for (int unsigned b = 0; b < Banks; b++) begin
      we[b]    = 1'b0;
      wrow[b]  = write_i[WritePorts-1].addr[AddrW-1:2];
      wbe[b]   = wbe_i[WritePorts-1];
      wdata[b] = wdata_i[WritePorts-1];
      for (int unsigned p = 0; p < WritePorts; p++) if (wgnt_o[p] && 32'(wbank[p]) == b) we[b] = 1'b1;
      for (int unsigned p = 0; p < WritePorts - 1; p++) begin
        if (wgnt_o[p] && 32'(wbank[p]) == b) begin
          wrow[b]  = write_i[p].addr[AddrW-1:2];
          wbe[b]   = wbe_i[p];
          wdata[b] = wdata_i[p];
        end
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
