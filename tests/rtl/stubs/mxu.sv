// Stand-in for the MXU in tests of the control blocks: executes MATMUL by waiting `chunks` cycles, faults RANGE at the
// end when `pad_value` is 255, retires with signature `act`. Hands over no rows.

`include "registers.svh"

module mxu
  import isa_pkg::*;
#(
    parameter int unsigned Depth = 16,
    parameter int unsigned Cols = 8,
    parameter int unsigned Rows = 64,
    parameter int unsigned SpadWords = 1024,
    parameter int unsigned Tables = 8,
    localparam int unsigned AddrW = $clog2(SpadWords)
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    stop_i,
    input  logic                    instr_valid_i,
    output logic                    instr_ready_o,
    input  matmul_t                 instr_i,
    input  logic                    token_wait_i,
    output logic                    retire_o,
    output logic [            31:0] retire_sig_o,
    output logic                    fault_o,
    output trap_e                   fault_cause_o,
    output logic                    idle_o,
    output logic [             6:0] class_o,
    output logic                    stream_rreq_o,
    output logic [       AddrW-1:0] stream_raddr_o,
    input  logic                    stream_rgnt_i,
    input  logic [     8*Depth-1:0] stream_rdata_i,
    output logic                    weight_rreq_o,
    output logic [       AddrW-1:0] weight_raddr_o,
    input  logic                    weight_rgnt_i,
    input  logic [     8*Depth-1:0] weight_rdata_i,
    output logic                    acc_valid_o,
    output logic [  Cols-1:0][31:0] acc_data_o,
    input  logic                    acc_ready_i,
    input  logic signed [      7:0] decode_i[Tables][16]
);
  logic busy_q, take, last;
  logic [11:0] left_q;
  matmul_t instr_q;

  assign instr_ready_o = !busy_q;
  assign take          = instr_valid_i && instr_ready_o && !stop_i;
  assign last          = busy_q && left_q == 12'd1;
  assign fault_o       = last && instr_q.pad_value == 8'hff;
  assign fault_cause_o = TrapRange;
  assign retire_o      = last && !fault_o && !stop_i;
  assign retire_sig_o  = 32'(instr_q.act);
  assign idle_o        = !busy_q;

  `FF(busy_q, !stop_i && (take || (busy_q && !retire_o)), 1'b0)
  `FF(left_q, take ? instr_i.chunks : last ? left_q : left_q - 1'b1, '0)
  `FFLNR(instr_q, instr_i, take)

  always_comb begin
    class_o = '0;
    if (busy_q) class_o[0] = 1'b1;
    else if (instr_valid_i) class_o[6] = 1'b1;
    else if (token_wait_i) class_o[2] = 1'b1;
    else class_o[1] = 1'b1;
  end

  assign stream_rreq_o  = 1'b0;
  assign stream_raddr_o = '0;
  assign weight_rreq_o  = 1'b0;
  assign weight_raddr_o = '0;
  assign acc_valid_o    = 1'b0;
  assign acc_data_o     = '0;
endmodule
