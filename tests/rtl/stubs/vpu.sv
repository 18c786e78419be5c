// Stand-in for the VPU in tests of the control blocks: executes VECTOR by waiting `h` cycles, faults ALIGNMENT at the
// end when `a_row` is 0xfffffc, retires with signature `a`. With `n` 1 it writes one word at `d`.

`include "registers.svh"

module vpu
  import isa_pkg::*;
#(
    parameter int unsigned Depth = 16,
    parameter int unsigned Cols = 8,
    parameter int unsigned Rows = 64,
    parameter int unsigned SpadWords = 1024,
    parameter int unsigned ProgWords = 64,
    parameter int unsigned Tables = 8,
    localparam int unsigned AddrW = $clog2(SpadWords),
    localparam int unsigned ProgAddrW = $clog2(ProgWords * MicrowordBytes / Depth)
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     stop_i,
    input  logic                     instr_valid_i,
    output logic                     instr_ready_o,
    input  vector_t                  instr_i,
    input  logic                     token_wait_i,
    output logic                     retire_o,
    output logic [             31:0] retire_sig_o,
    output logic                     fault_o,
    output trap_e                    fault_cause_o,
    output logic                     idle_o,
    output logic [              6:0] class_o,
    output logic                     a_rreq_o,
    output logic [        AddrW-1:0] a_raddr_o,
    input  logic                     a_rgnt_i,
    input  logic [      8*Depth-1:0] a_rdata_i,
    output logic                     b_rreq_o,
    output logic [        AddrW-1:0] b_raddr_o,
    input  logic                     b_rgnt_i,
    input  logic [      8*Depth-1:0] b_rdata_i,
    output logic                     p_rreq_o,
    output logic [        AddrW-1:0] p_raddr_o,
    input  logic                     p_rgnt_i,
    input  logic [      8*Depth-1:0] p_rdata_i,
    output logic                     wreq_o,
    output logic [        AddrW-1:0] waddr_o,
    output logic [        Depth-1:0] wbe_o,
    output logic [      8*Depth-1:0] wdata_o,
    input  logic                     wgnt_i,
    input  logic                     acc_valid_i,
    input  logic [   Cols-1:0][31:0] acc_data_i,
    output logic                     acc_ready_o,
    input  logic signed [       7:0] decode_i[Tables][16],
    input  logic signed [      15:0] threshold_i[Tables][15],
    input  logic                     prog_we_i,
    input  logic [    ProgAddrW-1:0] prog_addr_i,
    input  logic [      8*Depth-1:0] prog_wdata_i
);
  logic busy_q, take, last;
  logic [15:0] left_q;
  vector_t instr_q;

  assign instr_ready_o = !busy_q;
  assign take          = instr_valid_i && instr_ready_o && !stop_i;
  assign last          = busy_q && left_q == 16'd1;
  assign fault_o       = last && instr_q.a_row == 24'hfffffc;
  assign fault_cause_o = TrapAlignment;
  assign wreq_o        = last && instr_q.n == 13'd1 && !stop_i;
  assign waddr_o       = AddrW'(instr_q.d / Depth);
  assign wbe_o         = '1;
  assign wdata_o       = {Depth{instr_q.a[7:0]}};
  assign retire_o      = last && !fault_o && !stop_i && (!wreq_o || wgnt_i);
  assign retire_sig_o  = 32'(instr_q.a);
  assign idle_o        = !busy_q;

  `FF(busy_q, !stop_i && (take || (busy_q && !retire_o)), 1'b0)
  `FF(left_q, take ? instr_i.h : last ? left_q : left_q - 1'b1, '0)
  `FFLNR(instr_q, instr_i, take)

  always_comb begin
    class_o = '0;
    if (wreq_o && !wgnt_i) class_o[4] = 1'b1;
    else if (busy_q) class_o[0] = 1'b1;
    else if (instr_valid_i) class_o[6] = 1'b1;
    else if (token_wait_i) class_o[2] = 1'b1;
    else class_o[1] = 1'b1;
  end

  assign a_rreq_o    = 1'b0;
  assign a_raddr_o   = '0;
  assign b_rreq_o    = 1'b0;
  assign b_raddr_o   = '0;
  assign p_rreq_o    = 1'b0;
  assign p_raddr_o   = '0;
  assign acc_ready_o = 1'b1;
endmodule
