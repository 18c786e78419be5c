// Scratchpad of four banks, each serving one read and one write a cycle. Grants are combinational; the lower port number
// wins a bank. Read data come in the cycle after the grant. A word that a port wants to write is not read in that cycle:
// the read waits, and sees what was written. A word's bank: arith_pkg::spad_bank; its row: word / 4.

`include "assertions.svh"
`include "registers.svh"

module spad #(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned SpadWords = 1024,  // words, a multiple of four
    parameter int unsigned Banks = 4,  // four: the hash is made for it
    parameter int unsigned ReadPorts = 6,  // read ports, by priority
    parameter int unsigned WritePorts = 2,  // write ports, by priority
    localparam int unsigned AddrW = $clog2(SpadWords)
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               rreq_i [ReadPorts],
    input  logic [  AddrW-1:0] raddr_i[ReadPorts],
    output logic               rgnt_o [ReadPorts],
    output logic [8*Depth-1:0] rdata_o[ReadPorts],
    input  logic               wreq_i [WritePorts],
    input  logic [  AddrW-1:0] waddr_i[WritePorts],
    input  logic [  Depth-1:0] wbe_i  [WritePorts],
    input  logic [8*Depth-1:0] wdata_i[WritePorts],
    output logic               wgnt_o [WritePorts]
);
  localparam int unsigned RowW = AddrW - 2;

  if (Banks != 4 || SpadWords % 4 != 0 || SpadWords < 64) begin : gen_bad_size
    $fatal(1, "the scratchpad has four banks and a multiple of four words, 64 or more");
  end

  logic               re    [Banks];
  logic [   RowW-1:0] rrow  [Banks];
  logic [8*Depth-1:0] rdata [Banks];
  logic               we    [Banks];
  logic [   RowW-1:0] wrow  [Banks];
  logic [  Depth-1:0] wbe   [Banks];
  logic [8*Depth-1:0] wdata [Banks];
  logic [        1:0] rbank [ReadPorts];
  logic [        1:0] rbank_q[ReadPorts];
  logic               clash [ReadPorts];

  always_comb begin
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      clash[p] = 1'b0;
      for (int unsigned w = 0; w < WritePorts; w++) begin
        if (wreq_i[w] && waddr_i[w] == raddr_i[p]) clash[p] = 1'b1;
      end
    end
  end

  always_comb begin
    for (int unsigned b = 0; b < Banks; b++) begin
      re[b]   = 1'b0;
      rrow[b] = '0;
    end
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      rgnt_o[p] = 1'b0;
      rbank[p]  = arith_pkg::spad_bank(raddr_i[p][5:0]);
      if (rreq_i[p] && !clash[p] && !re[rbank[p]]) begin
        rgnt_o[p]      = 1'b1;
        re[rbank[p]]   = 1'b1;
        rrow[rbank[p]] = raddr_i[p][AddrW-1:2];
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
      if (wreq_i[p] && !we[arith_pkg::spad_bank(waddr_i[p][5:0])]) begin
        wgnt_o[p] = 1'b1;
        we[arith_pkg::spad_bank(waddr_i[p][5:0])] = 1'b1;
        wrow[arith_pkg::spad_bank(waddr_i[p][5:0])] = waddr_i[p][AddrW-1:2];
        wbe[arith_pkg::spad_bank(waddr_i[p][5:0])] = wbe_i[p];
        wdata[arith_pkg::spad_bank(waddr_i[p][5:0])] = wdata_i[p];
      end
    end
  end

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    ram_1r1w #(
        .Words(SpadWords / Banks),
        .Bytes(Depth)
    ) u_ram (
        .clk_i,
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
    `ASSERT_STEADY(ReadSteady, rreq_i[p], rgnt_o[p], raddr_i[p])
  end

  for (genvar p = 0; p < WritePorts; p++) begin : gen_write
    `ASSERT_STEADY(WriteSteady, wreq_i[p], wgnt_o[p], {waddr_i[p], wbe_i[p], wdata_i[p]})
  end
endmodule
