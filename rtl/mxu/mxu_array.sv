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
    input  logic               [7:0] operand_i  [Depth],
    input  logic               [7:0] window_i   [9][Depth],
    // of `stored_weight`
    input  logic               [7:0] weight_i   [Cols][Depth],
    output logic signed       [31:0] sum_o      [Cols]
);
  typedef logic signed [8:0] lanes_t[Depth];
  typedef logic [31:0] lows_t[Depth];  // 4 bits; 32 make fast simulators
  typedef logic signed [31:0] highs_t[Depth];  // 5 bits
  localparam int unsigned Taps = 9;
  localparam int unsigned ColW = $clog2(Cols);

  logic signed [31:0] sum_d[Cols], sum_q[Cols];

  // Operands of the column in hand: as they are, in nibbles, and summed.
  lanes_t lane;
  lows_t low;
  highs_t high;
  logic signed [31:0] total;

  // Functions of their own, so that their variables are registers of the host in simulation.
  function automatic lanes_t dense_lanes();
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) dense_lanes[k] = cell_operand(operand_i[k], mode_i);
  endfunction

  function automatic lows_t low_nibbles(input lanes_t lanes);
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) low_nibbles[k] = 32'(lanes[k][3:0]);
  endfunction

  function automatic highs_t high_nibbles(input lanes_t lanes);
    /* verilator no_inline_task */
    for (int unsigned k = 0; k < Depth; k++) high_nibbles[k] = 32'($signed(lanes[k][8:4]));
  endfunction

  function automatic logic signed [31:0] operand_total(input lows_t lows, input highs_t highs);
    /* verilator no_inline_task */
    logic signed [31:0] sum_low, sum_high;
    sum_low  = '0;
    sum_high = '0;
    for (int unsigned k = 0; k < Depth; k++) begin
      sum_low += lows[k];
      sum_high += highs[k];
    end
    return joined(sum_low, sum_high, mode_i);
  endfunction

  function automatic logic signed [31:0] dot(input logic [ColW-1:0] c);
    /* verilator no_inline_task */
    logic signed [31:0] sum_low, sum_high;
    sum_low  = '0;
    sum_high = '0;
    for (int unsigned k = 0; k < Depth; k++) begin
      sum_low += cell_low(low[k], weight_i[c][k], mode_i, phase_i);
      sum_high += cell_high(high[k], weight_i[c][k], mode_i, phase_i);
    end
    return column_sum(joined(sum_low, sum_high, mode_i), total, mode_i, phase_i);
  endfunction

  always_comb begin
    sum_d = sum_q;
    lane  = '{default: '0};
    low   = '{default: '0};
    high  = '{default: '0};
    total = '0;
    if (en_i) begin
      if (!depthwise_i) lane = dense_lanes();
      low   = low_nibbles(lane);
      high  = high_nibbles(lane);
      total = operand_total(low, high);
      for (int unsigned c = 0; c < Cols; c++) begin
        if (depthwise_i) begin
          for (int unsigned k = 0; k < Taps; k++) begin
            lane[k] = 9'($signed((Depth > Cols && upper_i) ? window_i[k][Depth-Cols+c] : window_i[k][c]));
          end
          low   = low_nibbles(lane);
          high  = high_nibbles(lane);
          total = operand_total(low, high);
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
