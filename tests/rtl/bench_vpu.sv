// SPDX-License-Identifier: Apache-2.0
// The vector engine with its ports one by one, as the benches in C++ and Python drive them.

`default_nettype none

module bench_vpu #(
    parameter int unsigned Depth     = 16,     // as in vpu
    parameter int unsigned Cols      = 8,      // as in vpu
    parameter int unsigned Lanes     = 8,      // as in vpu
    parameter int unsigned FullLanes = 8,      // as in vpu
    parameter int unsigned Rows      = 64,     // as in vpu
    parameter int unsigned SpadWords = 16384,  // as in vpu
    parameter int unsigned ProgWords = 64,     // as in vpu
    parameter int unsigned Tables    = 8,      // as in vpu
    localparam int unsigned AddrW = $clog2(SpadWords),
    localparam int unsigned ProgAddrW = $clog2(ProgWords * isa_pkg::MicrowordBytes / Depth)
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             stop_i,
    input  logic             instr_valid_i,
    output logic             instr_ready_o,
    input  logic     [511:0] instr_i,
    input  logic             token_wait_i,
    output logic             retire_o,
    output logic      [31:0] retire_sig_o,
    output logic             fault_o,
    output logic       [3:0] fault_cause_o,
    output logic             idle_o,
    output logic       [6:0] class_o,
    output logic             a_rreq_o,
    output logic [AddrW-1:0] a_raddr_o,
    input  logic             a_rgnt_i,
    input  logic [8*Depth-1:0] a_rdata_i,
    output logic             b_rreq_o,
    output logic [AddrW-1:0] b_raddr_o,
    input  logic             b_rgnt_i,
    input  logic [8*Depth-1:0] b_rdata_i,
    output logic             p_rreq_o,
    output logic [AddrW-1:0] p_raddr_o,
    input  logic             p_rgnt_i,
    input  logic [8*Depth-1:0] p_rdata_i,
    output logic             wreq_o,
    output logic [AddrW-1:0] waddr_o,
    output logic [Depth-1:0] wbe_o,
    output logic [8*Depth-1:0] wdata_o,
    input  logic             wgnt_i,
    input  logic             acc_valid_i,
    input  logic [Lanes-1:0][31:0] acc_data_i,
    output logic             acc_ready_o,
    input  logic signed [4:0] decode_i[Tables][16],
    input  logic signed [15:0] threshold_i[Tables][15],
    input  logic             prog_we_i,
    input  logic [ProgAddrW-1:0] prog_addr_i,
    input  logic [8*Depth-1:0] prog_wdata_i
);
  port_pkg::engine_req_t to_engine;
  port_pkg::engine_rsp_t from_engine;

  assign to_engine     = '{stop: stop_i, valid: instr_valid_i, token_wait: token_wait_i};
  assign instr_ready_o = from_engine.ready;
  assign retire_o      = from_engine.retire;
  assign retire_sig_o  = from_engine.signature;
  assign fault_o       = from_engine.fault;
  assign fault_cause_o = from_engine.cause;
  assign idle_o        = from_engine.idle;
  assign class_o       = from_engine.cycle_class;

  port_pkg::spad_req_t read[3], write;
  logic rgnt[3];
  logic [8*Depth-1:0] rdata[3];
  sram_pkg::status_t unused_status;

  assign a_rreq_o  = read[0].valid;
  assign a_raddr_o = AddrW'(read[0].addr);
  assign b_rreq_o  = read[1].valid;
  assign b_raddr_o = AddrW'(read[1].addr);
  assign p_rreq_o  = read[2].valid;
  assign p_raddr_o = AddrW'(read[2].addr);
  assign rgnt      = '{a_rgnt_i, b_rgnt_i, p_rgnt_i};
  assign rdata     = '{a_rdata_i, b_rdata_i, p_rdata_i};
  assign wreq_o    = write.valid;
  assign waddr_o   = AddrW'(write.addr);

  logic unused_addr;
  assign unused_addr = ^{read[0].addr, read[1].addr, read[2].addr, write.addr};

  vpu #(
      .Depth(Depth),
      .Cols(Cols),
      .Lanes(Lanes),
      .FullLanes(FullLanes),
      .Rows(Rows),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables(Tables)
  ) u_vpu (
      .clk_i,
      .rst_ni,
      .test_en_i(1'b0),
      .sram_pins_i('0),
      .sram_status_o(unused_status),
      .engine_i(to_engine),
      .instr_i,
      .engine_o(from_engine),
      .read_o(read),
      .rgnt_i(rgnt),
      .rdata_i(rdata),
      .write_o(write),
      .wbe_o,
      .wdata_o,
      .wgnt_i,
      .acc_valid_i,
      .acc_data_i,
      .acc_ready_o,
      .decode_i,
      .threshold_i,
      .prog_we_i,
      .prog_addr_i,
      .prog_wdata_i
  );
endmodule

`default_nettype wire
