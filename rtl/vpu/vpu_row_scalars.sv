// SPDX-License-Identifier: Apache-2.0
// Four row scalars for every pixel of a block: two read ports, and one that sets, adds to or maximises an entry.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_row_scalars
  import isa_pkg::*;
#(
    parameter int unsigned Rows = 64,  // pixels of a block
    localparam int unsigned RowW = $clog2(Rows)
) (
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  logic        [     1:0] add_select_i,
    input  logic        [RowW-1:0] add_row_i,
    output logic signed [    31:0] add_value_o,
    input  logic        [     1:0] mul_select_i,
    input  logic        [RowW-1:0] mul_row_i,
    output logic signed [    31:0] mul_value_o,
    input  logic                   write_i,       // taken always; in effect two cycles later
    input  logic                   set_i,         // the old entry does not matter
    input  reduce_e                reduce_i,      // how the entry and the value are joined
    input  logic        [     1:0] select_i,
    input  logic        [RowW-1:0] row_i,
    input  logic signed [    31:0] value_i,
    output logic                   idle_o
);
  logic signed [31:0] entries_q[RowScalars][Rows];
  logic write_q, set_q, max_q;
  logic [1:0] select_q;
  logic [RowW-1:0] row_q;
  logic signed [31:0] value_q, old, joined;

  `FF(write_q, write_i, 1'b0)
  `FFLNR(set_q, set_i, write_i)
  `FFLNR(max_q, reduce_i == ReduceMax, write_i)
  `FFLNR(select_q, select_i, write_i)
  `FFLNR(row_q, row_i, write_i)
  `FFLNR(value_q, value_i, write_i)

  assign old = entries_q[select_q][row_q];
  always_comb begin
    joined = value_q;
    if (!set_q) joined = max_q ? (old > value_q ? old : value_q) : old + value_q;
  end
  `FFLNR(entries_q[select_q][row_q], joined, write_q)

  assign add_value_o = entries_q[add_select_i][add_row_i];
  assign mul_value_o = entries_q[mul_select_i][mul_row_i];
  assign idle_o = !write_q;

  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
endmodule

`default_nettype wire
