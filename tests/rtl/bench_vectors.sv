// SPDX-License-Identifier: Apache-2.0
// The arithmetic that golden vectors exist for, as ports: rounding and requantisation, a lane's functions, the packed
// row functions (four clock cycles later), and the product of a cell as a column of the array sums it.

`default_nettype none

module bench_vectors
  import arith_pkg::*;
  import mxu_pkg::*;
  import vpu_pkg::*;
(
    input  logic               clk_i,
    input  logic signed [47:0] value_i,
    input  logic signed [ 9:0] count_i,
    output logic signed [47:0] rounded_o,
    output logic signed [15:0] sat16_o,
    output logic signed [31:0] sat32_o,
    input  logic signed [31:0] x_i,
    input  logic signed [15:0] mult_i,
    output logic signed [31:0] requantised_o,
    input  logic signed [15:0] lane_i,
    input  logic               exp2n_i,
    output logic signed [15:0] lane_o,
    input  logic signed [31:0] row_i,
    input  logic               root_i,
    output logic        [31:0] packed_o,
    input  logic        [ 9:0] operand_i,     // two entries, or a byte in the low eight bits
    input  logic        [ 7:0] weight_i,
    input  logic        [ 1:0] mode_i,
    input  logic               phase_i,
    output logic signed [31:0] product_o
);
  assign rounded_o     = rshift(value_i, count_i);
  assign sat16_o       = sat16(rounded_o);
  assign sat32_o       = sat32(rounded_o);
  assign requantised_o = sat32(rshift(48'(x_i) * 48'(mult_i), count_i));
  assign lane_o = lane_finish(
      exp2n_i, lane_value(lane_coefficients(exp2n_i, lane_i), lane_place(exp2n_i, lane_i))
  );

  vpu_row_function u_row_function (
      .clk_i,
      .enable_i(1'b1),
      .valid_i (4'hf),
      .root_i,
      .y_i     (row_i),
      .packed_o
  );

  cell_mode_e mode;
  operand_t a;
  logic [7:0] weight;
  assign mode      = cell_mode_e'(mode_i);
  assign a         = mode == CellPair ? operand_i : byte_operand(operand_i[7:0]);
  assign weight    = stored_weight(weight_i, mode == CellByte);
  assign product_o = column_sum(
      joined(cell_low(32'(a.low), weight, mode, phase_i), cell_high(32'(a.high), weight, mode, phase_i),
             cell_sign(-32'(a.low_sign), -32'(a.high_sign), weight, mode, phase_i), mode),
      joined(32'(a.low), 32'(a.high), 32'(a.low_sign) + 32'(a.high_sign), mode), mode, phase_i);
endmodule

`default_nettype wire
