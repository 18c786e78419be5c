// SPDX-License-Identifier: Apache-2.0
// The array's cell and the column around it: in every mode and phase the column's sum is that of the
// operands' meanings times the weights'. The sums are linear in the cells, so that one shows what D of them do.

`default_nettype none

module prove_cell
  import mxu_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: an entry of -16, 2: a byte of -128 by one of -128
) (
    input cell_mode_e     mode_i,
    input logic           phase_i,
    input logic     [7:0] weight_i,  // two nibbles or a byte
    input logic     [9:0] entry_i,  // CellPair: two entries of five bits
    input logic     [7:0] byte_i   // otherwise
);
  function automatic logic signed [31:0] nibble(input logic [3:0] w);
    return 32'($signed(w));
  endfunction

  function automatic logic signed [31:0] meant();
    automatic logic signed [31:0] a = 32'($signed(byte_i));
    case (mode_i)
      CellPair:
      return 32'($signed(entry_i[4:0])) * nibble(weight_i[3:0]) +
          32'($signed(entry_i[9:5])) * nibble(weight_i[7:4]);
      CellNibble: return a * nibble(phase_i ? weight_i[7:4] : weight_i[3:0]);
      default:  // the signed high nibble counts sixteenfold, the low one has no sign
      return phase_i ? (a * nibble(weight_i[7:4])) * 16 : a * 32'(weight_i[3:0]);
    endcase
  endfunction

  operand_t operand;
  logic [7:0] stored;
  logic [31:0] low, high, sign, a_low, a_high, a_sign;
  logic signed [31:0] seen;
  cell_mode_e mode;

  assign mode = mode_i == 2'd3 ? CellPair : mode_i;

  always_comb begin
    operand = mode == CellPair ? operand_t'(entry_i) : byte_operand(byte_i);
    stored  = stored_weight(weight_i, mode == CellByte);
    low    = cell_low(32'(operand.low), stored, mode, phase_i);
    high   = cell_high(32'(operand.high), stored, mode, phase_i);
    sign   = cell_sign({32{operand.low_sign}}, {32{operand.high_sign}}, stored, mode, phase_i);
    a_low  = 32'(operand.low);
    a_high = 32'(operand.high);
    a_sign = 32'(operand.low_sign) + 32'(operand.high_sign);
    seen = column_sum(joined(low, high, sign, mode), joined(a_low, a_high, a_sign, mode), mode, phase_i);
    if (mode_i != 2'd3) assert (seen == meant());
    if (Reach == 1) assert (!(mode == CellPair && seen == 32'sd128 * 2));
    if (Reach == 2) assert (!(mode == CellByte && phase_i && seen == 32'sd16384));
  end
endmodule

`default_nettype wire
