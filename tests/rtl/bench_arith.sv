// SPDX-License-Identifier: Apache-2.0
// The functions of arith_pkg as ports.

`default_nettype none

module bench_arith (
    input  logic signed [47:0] value_i,
    input  logic signed [ 9:0] count_i,
    output logic signed [47:0] rshift_o,
    output logic signed [15:0] sat16_o,
    output logic signed [31:0] sat32_o,
    input  logic               to16_i,
    output logic signed [31:0] rshift_sat_o,
    input  logic signed [15:0] factor_i,
    output logic signed [47:0] times32_o,
    output logic signed [32:0] times17_o,
    input  logic        [31:0] index_i,
    output logic        [ 1:0] bank_o,
    output logic        [31:0] signature_o
);
  assign rshift_o    = arith_pkg::rshift(value_i, count_i);
  assign sat16_o     = arith_pkg::sat16(value_i);
  assign sat32_o     = arith_pkg::sat32(value_i);
  assign rshift_sat_o = arith_pkg::rshift_sat(value_i, count_i, to16_i);
  assign times32_o   = arith_pkg::times32(value_i[31:0], factor_i);
  assign times17_o   = arith_pkg::times17(value_i[16:0], factor_i);
  assign bank_o      = arith_pkg::spad_bank(index_i[5:0]);
  assign signature_o = arith_pkg::signature_step(value_i[31:0], index_i);
endmodule

`default_nettype wire
