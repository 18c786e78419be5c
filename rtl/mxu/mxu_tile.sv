// SPDX-License-Identifier: Apache-2.0
// The stationary tile, double-buffered: words fill the shadow, `swap_i` copies it to the active tile.
// Columns that do not exist are cleared. A write clocks the flops of the columns that it changes. Bytes are kept as `stored_weight` makes them.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module mxu_tile
  import mxu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned Cols  = 8    // columns
) (
    input  logic               clk_i,
    input  logic               test_en_i,
    input  logic               swap_i,
    input  logic               write_i,
    input  logic               transpose_i,  // the word is one k of all columns, not one column
    input  logic               upper_i,      // transpose: the columns lie in the word's upper C bytes
    input  logic               int8_i,
    input  logic               keep_high_i,  // otherwise high nibbles are zero
    input  logic [        6:0] index_i,      // column or k
    input  logic [        6:0] columns_i,    // columns that exist
    input  logic [8*Depth-1:0] word_i,
    output logic [        7:0] weight_o[Cols][Depth]
);
  logic [7:0] shadow_q[Cols][Depth], active_q[Cols][Depth], bytes[Depth], none;

  assign none = stored_weight('0, int8_i);

  always_comb begin
    automatic logic [31:0] part;
    bytes = '{default: '0};
    part  = '0;
    if (write_i) begin
      for (int unsigned i = 0; i < Depth / 4; i++) begin
        part = word_i[32*i+:32];
        for (int unsigned j = 0; j < 4; j++) begin
          bytes[4*i+j] = stored_weight(part[8*j+:8] & {{4{keep_high_i}}, 4'hf}, int8_i);
        end
      end
    end
  end

  // A column's flops are clocked when it is written: by its word, cleared with the first column's, or a byte of a k.
  for (genvar c = 0; c < Cols; c++) begin : gen_column
    logic exists, write;
    assign exists = c < 32'(columns_i);
    assign write  = write_i && (transpose_i || 32'(index_i) == c || (index_i == '0 && !exists));

    always_ff @(posedge clk_i) begin
      if (write) begin
        if (transpose_i) begin
          shadow_q[c][index_i[$clog2(Depth)-1:0]] <= !exists ? none : bytes[upper_i?Depth-Cols+c : c];
        end else begin
          shadow_q[c] <= exists ? bytes : '{default: none};
        end
      end
    end
  end

  `FFGATED(active, active_q, shadow_q, swap_i)
  assign weight_o = active_q;

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
endmodule

`default_nettype wire
