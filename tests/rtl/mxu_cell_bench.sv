// SPDX-License-Identifier: Apache-2.0
// One cell of the matrix engine's array as `mxu_array` uses it, for its exhaustive test: what a cell and its share of
// the column's correction give for the stored form of a weight byte.
`default_nettype none

module mxu_cell_bench
  import mxu_pkg::*;
(
    input  logic              [9:0] operand_i,  // of a byte the low eight bits
    input  logic              [7:0] weight_i,
    input  cell_mode_e              mode_i,
    input  logic                    phase_i,
    output logic signed      [31:0] product_o
);
  operand_t a;
  logic [7:0] weight;
  assign a = mode_i == CellPair ? operand_i : byte_operand(operand_i[7:0]);
  assign weight = stored_weight(weight_i, mode_i == CellByte);

  assign product_o = column_sum(
      joined(cell_low(32'(a.low), weight, mode_i, phase_i), cell_high(32'(a.high), weight, mode_i, phase_i),
             cell_sign(-32'(a.low_sign), -32'(a.high_sign), weight, mode_i, phase_i), mode_i),
      joined(32'(a.low), 32'(a.high), 32'(a.low_sign) + 32'(a.high_sign), mode_i), mode_i, phase_i);
endmodule

`default_nettype wire
