// SPDX-License-Identifier: Apache-2.0
// Stand-in for the VPU in tests of the control blocks: executes VECTOR by waiting `h` cycles, faults ALIGNMENT at the
// end when `a_row` is 0xfffffc, retires with signature `a`. With `n` 1 it writes one word at `d`.

`default_nettype none
`include "registers.svh"

module vpu
  import isa_pkg::*;
#(
    parameter int unsigned Depth = 16,
    parameter int unsigned Cols = 8,
    parameter int unsigned Lanes = 8,
    parameter int unsigned FullLanes = 8,
    parameter int unsigned Rows = 64,
    parameter int unsigned SpadWords = 1024,
    parameter int unsigned ProgWords = 64,
    parameter int unsigned Tables = 8,
    localparam int unsigned ProgAddrW = $clog2(ProgWords * MicrowordBytes / Depth)
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     test_en_i,
    input  sram_pkg::pins_t          sram_pins_i,
    output sram_pkg::status_t        sram_status_o,
    input  port_pkg::engine_req_t    engine_i,
    input  header_t                  instr_i,
    output port_pkg::engine_rsp_t    engine_o,
    output port_pkg::spad_req_t      read_o [3],
    input  logic                     rgnt_i [3],
    input  logic [      8*Depth-1:0] rdata_i[3],
    output port_pkg::spad_req_t      write_o,
    output logic [        Depth-1:0] wbe_o,
    output logic [      8*Depth-1:0] wdata_o,
    input  logic                     wgnt_i,
    input  logic                     acc_valid_i,
    input  logic [   Lanes-1:0][31:0] acc_data_i,
    output logic                     acc_ready_o,
    input  logic signed [       4:0] decode_i[Tables][16],
    input  logic signed [      15:0] threshold_i[Tables][15],
    input  logic                     prog_we_i,
    input  logic [    ProgAddrW-1:0] prog_addr_i,
    input  logic [      8*Depth-1:0] prog_wdata_i
);
  logic busy_q, take, last, ready, retire, fault;
  logic [15:0] left_q;
  logic [6:0] now, now_q;
  vector_t instr, instr_q;

  assign instr   = instr_i;
  assign ready   = !busy_q;
  assign take    = engine_i.valid && ready && !engine_i.stop;
  assign last    = busy_q && left_q == 16'd1;
  assign fault   = last && instr_q.a_row == 24'hfffffc;
  assign write_o = '{valid: last && instr_q.n == 13'd1 && !engine_i.stop, addr: 20'(instr_q.d / Depth)};
  assign wbe_o   = '1;
  assign wdata_o = {Depth{instr_q.a[7:0]}};
  assign retire  = last && !fault && !engine_i.stop && (!write_o.valid || wgnt_i);

  assign engine_o = '{
          ready: ready,
          retire: retire,
          signature: 32'(instr_q.a),
          fault: fault,
          cause: TrapAlignment,
          idle: !busy_q,
          cycle_class: now_q
      };

  `FF(busy_q, !engine_i.stop && (take || (busy_q && !retire)), 1'b0)
  `FF(left_q, take ? instr.h : last ? left_q : left_q - 1'b1, '0)
  `FFLNR(instr_q, instr, take)
  `FF(now_q, now, 7'd2)

  always_comb begin
    now = '0;
    if (write_o.valid && !wgnt_i) now[4] = 1'b1;
    else if (busy_q) now[0] = 1'b1;
    else if (engine_i.valid) now[6] = 1'b1;
    else if (engine_i.token_wait) now[2] = 1'b1;
    else now[1] = 1'b1;
  end

  assign read_o        = '{default: '0};
  assign acc_ready_o   = 1'b1;
  assign sram_status_o = '0;
endmodule

`default_nettype wire
