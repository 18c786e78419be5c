// SPDX-License-Identifier: Apache-2.0
// Edge of the array: turns an arriving word into D operands, both codes of a byte decoded once a row, filling in padding
// and clearing the lanes that do not count. Depthwise words build the 3x3 window of D channels, in bytes, instead:
// rows 0 and 1 of a column wait until row 2 has come, then the window shifts by one column and stands for at
// least three cycles.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module mxu_edge
  import mxu_pkg::*;
#(
    parameter int unsigned Depth  = 16,  // bytes of a word
    parameter int unsigned Tables = 8    // code tables
) (
    input  logic                      clk_i,
    input  logic                      test_en_i,
    input  logic                      valid_i,
    input  feed_t                     feed_i,
    input  logic        [8*Depth-1:0] word_i,
    input  logic signed [        4:0] decode_i [Tables][16],
    output operand_t                  operand_o[Depth],
    output logic        [        7:0] window_o [9][Depth]
);
  localparam int unsigned TableW = chip_pkg::index_width(Tables);  // decode lets no other table pass
  localparam int unsigned HalfW = 4 * Depth;

  logic [7:0] bytes[Depth];  // as they arrived; depthwise: decoded
  operand_t operand_d[Depth], operand_q[Depth];
  typedef logic [7:0] window_t[9][Depth];
  logic [7:0] column0_q[Depth], column1_q[Depth];
  window_t window_q;
  logic [4:0] entries[16];  // of the codes
  logic coded, dense, shift;

  assign coded = feed_i.act_format != isa_pkg::ActFormatInt8;
  assign dense = valid_i && !feed_i.depthwise;
  assign shift = valid_i && feed_i.depthwise && feed_i.tap_row == 2'd2;

  always_comb begin
    entries = '{default: '0};
    if (valid_i && coded) begin
      for (int unsigned c = 0; c < 16; c++) begin
        entries[c] = (feed_i.act_format == isa_pkg::ActFormatTable4) ?
            decode_i[TableW'(feed_i.code_table)][c] : 5'(c);
      end
    end
  end

  always_comb begin
    automatic logic [HalfW-1:0] half;
    automatic logic [31:0] part;
    automatic logic [7:0] pad;
    bytes = '{default: '0};
    half  = '0;
    part  = '0;
    pad   = '0;
    if (valid_i) begin
      if (coded && feed_i.depthwise) begin
        half = feed_i.half ? word_i[HalfW+:HalfW] : word_i[0+:HalfW];
        for (int unsigned i = 0; i < HalfW / 32; i++) begin
          part = half[32*i+:32];
          for (int unsigned j = 0; j < 8; j++) begin
            bytes[8*i+j] = 8'($signed(entries[feed_i.pad?feed_i.pad_value[3:0] : part[4*j+:4]]));
          end
        end
      end else begin
        pad = coded ? {2{feed_i.pad_value[3:0]}} : feed_i.pad_value;
        for (int unsigned i = 0; i < Depth / 4; i++) begin
          part = word_i[32*i+:32];
          for (int unsigned j = 0; j < 4; j++) bytes[4*i+j] = feed_i.pad ? pad : part[8*j+:8];
        end
      end
    end
  end

  always_comb begin
    operand_d = '{default: '0};
    if (dense) begin
      for (int unsigned k = 0; k < Depth; k++) begin
        if (k < 32'(feed_i.lanes)) begin
          operand_d[k] = coded ? {entries[bytes[k][7:4]], entries[bytes[k][3:0]]} : byte_operand(bytes[k]);
        end
      end
    end
  end
  `FFGATED(operand, operand_q, operand_d, dense)
  assign operand_o = operand_q;

  // A function, so that simulators compute it when the clock runs and not otherwise.
  function automatic window_t next_window();
    for (int unsigned r = 0; r < 3; r++) begin
      next_window[3*r]   = window_q[3*r+1];
      next_window[3*r+1] = window_q[3*r+2];
    end
    next_window[2] = column0_q;
    next_window[5] = column1_q;
    next_window[8] = bytes;
  endfunction

  `FFGATED(column0, column0_q, bytes, valid_i && feed_i.depthwise && feed_i.tap_row == 2'd0)
  `FFGATED(column1, column1_q, bytes, valid_i && feed_i.depthwise && feed_i.tap_row == 2'd1)
  `FFGATED(window, window_q, next_window(), shift)
  assign window_o = window_q;

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
