// SPDX-License-Identifier: Apache-2.0
// STORE with its ports one by one; the test plays scratchpad and bus.

`default_nettype none

module bench_store #(
    parameter int unsigned Depth     = 16,    // as in dma_store
    parameter int unsigned SpadWords = 1024,  // as in dma_store
    parameter int unsigned MaxBurst  = 256,   // as in dma_store
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
    output logic             rreq_o,
    output logic [AddrW-1:0] raddr_o,
    input  logic             rgnt_i,
    input  logic [8*Depth-1:0] rdata_i,
    output logic             aw_valid_o,
    input  logic             aw_ready_i,
    output logic      [31:0] aw_addr_o,
    output logic       [7:0] aw_len_o,
    output logic             w_valid_o,
    input  logic             w_ready_i,
    output logic [8*Depth-1:0] w_data_o,
    output logic [Depth-1:0] w_strb_o,
    output logic             w_last_o,
    input  logic             b_valid_i,
    output logic             b_ready_o,
    input  logic             b_error_i
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

  port_pkg::spad_req_t read;

  assign rreq_o  = read.valid;
  assign raddr_o = AddrW'(read.addr);

  logic unused_addr;
  assign unused_addr = ^read.addr;

  dma_store #(
      .Depth(Depth),
      .SpadWords(SpadWords),
      .MaxBurst(MaxBurst)
  ) u_store (
      .clk_i,
      .rst_ni,
      .engine_i(to_engine),
      .instr_i,
      .engine_o(from_engine),
      .read_o(read),
      .rgnt_i(rgnt_i && read.valid),
      .rdata_i,
      .aw_valid_o,
      .aw_ready_i,
      .aw_addr_o,
      .aw_len_o,
      .w_valid_o,
      .w_ready_i,
      .w_data_o,
      .w_strb_o,
      .w_last_o,
      .b_valid_i,
      .b_ready_o,
      .b_error_i
  );

  axi_checker #(
      .Bytes(Depth),
      .IdW  (1)
  ) u_axi_checker (
      .clk_i,
      .rst_ni,
      .ar_valid_i(1'b0),
      .ar_ready_i(1'b0),
      .ar_id_i   ('0),
      .ar_addr_i ('0),
      .ar_len_i  ('0),
      .ar_size_i ('0),
      .ar_burst_i('0),
      .r_valid_i (1'b0),
      .r_ready_i (1'b0),
      .r_id_i    ('0),
      .r_data_i  ('0),
      .r_resp_i  ('0),
      .r_last_i  (1'b0),
      .aw_valid_i(aw_valid_o),
      .aw_ready_i,
      .aw_id_i   ('0),
      .aw_addr_i (aw_addr_o),
      .aw_len_i  (aw_len_o),
      .aw_size_i (3'($clog2(Depth))),  // what the chip's top says of every burst
      .aw_burst_i(2'b01),
      .w_valid_i (w_valid_o),
      .w_ready_i,
      .w_data_i  (w_data_o),
      .w_strb_i  (w_strb_o),
      .w_last_i  (w_last_o),
      .b_valid_i,
      .b_ready_i (b_ready_o),
      .b_id_i    ('0),
      .b_resp_i  ({b_error_i, 1'b0})
  );
endmodule

`default_nettype wire
