// SPDX-License-Identifier: Apache-2.0
// Stand-in for the MXU in tests of the control blocks: executes MATMUL by waiting `chunks` cycles, faults RANGE at the
// end when `pad_value` is 255, retires with signature `act`. Hands over no rows.

`default_nettype none
`include "registers.svh"

module mxu
  import isa_pkg::*;
#(
    parameter int unsigned Depth = 16,
    parameter int unsigned Cols = 8,
    parameter int unsigned Lanes = 8,
    parameter int unsigned Rows = 64,
    parameter int unsigned SpadWords = 1024,
    parameter int unsigned Tables = 8
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                     test_en_i,
    input  sram_pkg::pins_t         sram_pins_i,
    output sram_pkg::status_t       sram_status_o,
    input  port_pkg::engine_req_t   engine_i,
    input  header_t                 instr_i,
    output port_pkg::engine_rsp_t   engine_o,
    output port_pkg::spad_req_t     stream_o,
    input  logic                    stream_gnt_i,
    input  logic [     8*Depth-1:0] stream_data_i,
    output port_pkg::spad_req_t     weight_o,
    input  logic                    weight_gnt_i,
    input  logic [     8*Depth-1:0] weight_data_i,
    output logic                    acc_valid_o,
    output logic [  Lanes-1:0][31:0] acc_data_o,
    input  logic                    acc_ready_i,
    output logic                    behind_o,
    input  logic signed [      4:0] decode_i[Tables][16]
);
  logic busy_q, take, last, ready, retire, fault;
  logic [11:0] left_q;
  logic [6:0] now, now_q;
  matmul_t instr, instr_q;

  assign instr  = instr_i;
  assign ready  = !busy_q;
  assign take   = engine_i.valid && ready && !engine_i.stop;
  assign last   = busy_q && left_q == 12'd1;
  assign fault  = last && instr_q.pad_value == 8'hff;
  assign retire = last && !fault && !engine_i.stop;
  assign engine_o = '{
          ready: ready,
          retire: retire,
          signature: 32'(instr_q.act),
          fault: fault,
          cause: TrapRange,
          idle: !busy_q,
          cycle_class: now_q
      };

  `FF(busy_q, !engine_i.stop && (take || (busy_q && !retire)), 1'b0)
  `FF(left_q, take ? instr.chunks : last ? left_q : left_q - 1'b1, '0)
  `FFLNR(instr_q, instr, take)
  `FF(now_q, now, 7'd2)

  always_comb begin
    now = '0;
    if (busy_q) now[0] = 1'b1;
    else if (engine_i.valid) now[6] = 1'b1;
    else if (engine_i.token_wait) now[2] = 1'b1;
    else now[1] = 1'b1;
  end

  assign stream_o      = '0;
  assign weight_o      = '0;
  assign acc_valid_o   = 1'b0;
  assign acc_data_o    = '0;
  assign behind_o      = 1'b0;
  assign sram_status_o = '0;
endmodule

`default_nettype wire
