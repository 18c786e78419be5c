// SPDX-License-Identifier: Apache-2.0
// The scratchpad with its ports one by one.

`default_nettype none

module bench_spad #(
    parameter int unsigned Depth      = 16,   // as in spad
    parameter int unsigned SpadWords  = 256,  // as in spad
    parameter int unsigned ReadPorts  = 6,    // as in spad
    parameter int unsigned WritePorts = 2,    // as in spad
    localparam int unsigned AddrW = $clog2(SpadWords)
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               first_i[ReadPorts],
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
  port_pkg::spad_req_t read[ReadPorts], write[WritePorts];
  sram_pkg::status_t unused_status;

  for (genvar p = 0; p < ReadPorts; p++) begin : gen_read
    assign read[p] = '{valid: rreq_i[p], addr: 20'(raddr_i[p])};
  end
  for (genvar p = 0; p < WritePorts; p++) begin : gen_write
    assign write[p] = '{valid: wreq_i[p], addr: 20'(waddr_i[p])};
  end

  spad #(
      .Depth(Depth),
      .SpadWords(SpadWords),
      .ReadPorts(ReadPorts),
      .WritePorts(WritePorts)
  ) u_spad (
      .clk_i,
      .rst_ni,
      .sram_pins_i('0),
      .sram_status_o(unused_status),
      .first_i,
      .read_i(read),
      .rgnt_o,
      .rdata_o,
      .write_i(write),
      .wbe_i,
      .wdata_i,
      .wgnt_o
  );
endmodule

`default_nettype wire
