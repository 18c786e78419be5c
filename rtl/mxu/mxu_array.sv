// SPDX-License-Identifier: Apache-2.0
// The array: C columns, each the dot product of D operand bytes with its D stationary bytes, registered.
// Dense steps give every column the same operand; depthwise steps give column c the nine window bytes of its channel.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module mxu_array
  import mxu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // length of a dot product
    parameter int unsigned Cols  = 8    // columns
) (
    input  logic                     clk_i,
    input  logic                     en_i,
    input  cell_mode_e               mode_i,
    input  logic                     phase_i,
    input  logic                     depthwise_i,
    input  logic                     upper_i,      // depthwise: the second column tile of the channels
    input  operand_t                 operand_i  [Depth],
    input  logic               [7:0] window_i   [9][Depth],
    // of `stored_weight`
    input  logic               [7:0] weight_i   [Cols][Depth],
    output logic signed       [31:0] sum_o      [Cols]
);
  typedef operand_t operands_t[Depth];
  typedef logic [31:0] lanes_t[Depth];  // 4 bits; 32 make fast simulators
  localparam int unsigned Taps = 9;
  localparam int unsigned ColW = $clog2(Cols);

  logic signed [31:0] sum_d[Cols], sum_q[Cols];

  // Operands of the column in hand: as they are, in planes (a sign is all ones or zeros), and summed.
  operands_t operand;
  lanes_t low, high, low_sign, high_sign;
  logic signed [31:0] total;

  // Functions of their own, so that their variables are registers of the host in simulation.
  function automatic lanes_t low_plane(input operands_t operands);
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) low_plane[k] = 32'(operands[k].low);
  endfunction

  function automatic lanes_t high_plane(input operands_t operands);
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) high_plane[k] = 32'(operands[k].high);
  endfunction

  function automatic lanes_t low_sign_plane(input operands_t operands);
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) low_sign_plane[k] = -32'(operands[k].low_sign);
  endfunction

  function automatic lanes_t high_sign_plane(input operands_t operands);
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) high_sign_plane[k] = -32'(operands[k].high_sign);
  endfunction

  function automatic logic signed [31:0] operand_total(input lanes_t lows, input lanes_t highs,
                                                     input lanes_t low_signs,
                                                     input lanes_t high_signs);
    /* verilator no_inline_task */
    logic [31:0] sum_low, sum_high, sum_sign;
    sum_low  = '0;
    sum_high = '0;
    sum_sign = '0;
    for (int unsigned k = 0; k < Depth; k++) begin
      sum_low += lows[k];
      sum_high += highs[k];
      sum_sign += (low_signs[k] & 32'd1) + (high_signs[k] & 32'd1);
    end
    return joined(sum_low, sum_high, sum_sign, mode_i);
  endfunction

  function automatic logic signed [31:0] dot(input logic [ColW-1:0] c);
    /* verilator no_inline_task */
    logic [31:0] sum_low, sum_high, sum_sign;
    sum_low  = '0;
    sum_high = '0;
    sum_sign = '0;
    for (int unsigned k = 0; k < Depth; k++) begin
      sum_low += cell_low(low[k], weight_i[c][k], mode_i, phase_i);
      sum_high += cell_high(high[k], weight_i[c][k], mode_i, phase_i);
      sum_sign += cell_sign(low_sign[k], high_sign[k], weight_i[c][k], mode_i, phase_i);
    end
    return column_sum(joined(sum_low, sum_high, sum_sign, mode_i), total, mode_i, phase_i);
  endfunction

  always_comb begin
    sum_d = sum_q;
    operand = '{default: '0};
    low = '{default: '0};
    high = '{default: '0};
    low_sign = '{default: '0};
    high_sign = '{default: '0};
    total = '0;
    if (en_i) begin
      if (!depthwise_i) operand = operand_i;
      low = low_plane(operand);
      high = high_plane(operand);
      low_sign = low_sign_plane(operand);
      high_sign = high_sign_plane(operand);
      total = operand_total(low, high, low_sign, high_sign);
      for (int unsigned c = 0; c < Cols; c++) begin
        if (depthwise_i) begin
          for (int unsigned k = 0; k < Taps; k++) begin
            operand[k] = byte_operand((Depth > Cols && upper_i) ? window_i[k][Depth-Cols+c] : window_i[k][c]);
          end
          low = low_plane(operand);
          high = high_plane(operand);
          low_sign = low_sign_plane(operand);
          high_sign = high_sign_plane(operand);
          total = operand_total(low, high, low_sign, high_sign);
        end
        sum_d[c] = dot(ColW'(c));
      end
    end
  end

  `FFLNR(sum_q, sum_d, en_i)
  assign sum_o = sum_q;

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
endmodule

`default_nettype wire
