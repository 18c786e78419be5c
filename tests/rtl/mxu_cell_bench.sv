// SPDX-License-Identifier: Apache-2.0
// One cell of the matrix engine's array as `mxu_array` uses it, for its exhaustive test: what a cell and its share of
// the column's correction give for the stored form of a weight byte.
`default_nettype none

module mxu_cell_bench
  import mxu_pkg::*;
(
    input  logic              [7:0] operand_i,
    input  logic              [7:0] weight_i,
    input  cell_mode_e              mode_i,
    input  logic                    phase_i,
    output logic signed      [31:0] product_o
);
  logic signed [8:0] operand;
  assign operand = cell_operand(operand_i, mode_i);

  logic [7:0] weight;
  assign weight = stored_weight(weight_i, mode_i == CellByte);

  assign product_o = column_sum(
      joined(cell_low(32'(operand[3:0]), weight, mode_i, phase_i),
             cell_high(32'($signed(operand[8:4])), weight, mode_i, phase_i), mode_i),
      joined(32'(operand[3:0]), 32'($signed(operand[8:4])), mode_i), mode_i, phase_i);
endmodule

`default_nettype wire
