// SPDX-License-Identifier: Apache-2.0
// The matrix engine with its ports one by one, as the benches in C++ and Python drive them.

`default_nettype none

module bench_mxu #(
    parameter int unsigned Depth     = 16,     // as in mxu
    parameter int unsigned Cols      = 8,      // as in mxu
    parameter int unsigned Lanes     = 8,      // as in mxu
    parameter int unsigned Rows      = 64,     // as in mxu
    parameter int unsigned SpadWords = 16384,  // as in mxu
    parameter int unsigned Tables    = 8,      // as in mxu
    localparam int unsigned AddrW = $clog2(SpadWords)
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
    output logic             stream_rreq_o,
    output logic [AddrW-1:0] stream_raddr_o,
    input  logic             stream_rgnt_i,
    input  logic [8*Depth-1:0] stream_rdata_i,
    output logic             weight_rreq_o,
    output logic [AddrW-1:0] weight_raddr_o,
    input  logic             weight_rgnt_i,
    input  logic [8*Depth-1:0] weight_rdata_i,
    output logic             acc_valid_o,
    output logic [Lanes-1:0][31:0] acc_data_o,
    input  logic             acc_ready_i,
    output logic             behind_o,
    input  logic signed [4:0] decode_i[Tables][16]
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

  port_pkg::spad_req_t stream, weight;
  sram_pkg::status_t unused_status;

  assign stream_rreq_o  = stream.valid;
  assign stream_raddr_o = AddrW'(stream.addr);
  assign weight_rreq_o  = weight.valid;
  assign weight_raddr_o = AddrW'(weight.addr);

  logic unused_addr;
  assign unused_addr = ^{stream.addr, weight.addr};

  mxu #(
      .Depth(Depth),
      .Cols(Cols),
      .Lanes(Lanes),
      .Rows(Rows),
      .SpadWords(SpadWords),
      .Tables(Tables)
  ) u_mxu (
      .clk_i,
      .rst_ni,
      .test_en_i(1'b0),
      .sram_pins_i('0),
      .sram_status_o(unused_status),
      .engine_i(to_engine),
      .instr_i,
      .engine_o(from_engine),
      .stream_o(stream),
      .stream_gnt_i(stream_rgnt_i),
      .stream_data_i(stream_rdata_i),
      .weight_o(weight),
      .weight_gnt_i(weight_rgnt_i),
      .weight_data_i(weight_rdata_i),
      .acc_valid_o,
      .acc_data_o,
      .acc_ready_i,
      .behind_o,
      .decode_i
  );
endmodule

`default_nettype wire
