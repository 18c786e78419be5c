// The array: C columns, each the dot product of D operand bytes with its D stationary bytes, registered.
// Dense steps give every column the same operand; depthwise steps give column c the nine window bytes of its channel.

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
  typedef logic signed [8:0] operand_t[Depth];
  localparam int unsigned Taps = 9;
  localparam int unsigned ColW = $clog2(Cols);

  logic signed [31:0] sum_d[Cols], sum_q[Cols];

  operand_t lane;  // of the column in hand

  // One column. A function of its own so that its variables are registers of the host in simulation.
  function automatic logic signed [31:0] dot(input logic [ColW-1:0] c);
    /* verilator no_inline_task */
    logic signed [31:0] sum;
    sum = '0;
    for (int unsigned k = 0; k < Depth; k++) sum += cell_product(lane[k], weight_i[c][k], mode_i, phase_i);
    return sum;
  endfunction

  always_comb begin : p_columns
    automatic logic signed [31:0] off, sum;
    sum_d = sum_q;
    lane = '{default: '0};
    off = '0;
    sum = '0;
    if (en_i) begin
      for (int unsigned k = 0; k < Depth; k++) begin
        lane[k] = depthwise_i ? '0 : cell_operand(operand_i[k], mode_i);
        off += 32'(operand_sum(lane[k], mode_i));
      end
      for (int unsigned c = 0; c < Cols; c++) begin
        if (depthwise_i) begin
          off = '0;
          for (int unsigned k = 0; k < Taps; k++) begin
            lane[k] = 9'($signed((Depth > Cols && upper_i) ? window_i[k][Depth-Cols+c] : window_i[k][c]));
            off += 32'(lane[k]);
          end
        end
        sum = dot(ColW'(c));
        if (excess(mode_i, phase_i)) sum -= off <<< 3;
        if (mode_i == CellByte && phase_i) sum = sum <<< 4;
        sum_d[c] = sum;
      end
    end
  end

  `FFLNR(sum_q, sum_d, en_i)
  assign sum_o = sum_q;
endmodule
