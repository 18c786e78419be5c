// The stationary tile, double-buffered: words fill the shadow, `swap_i` copies it to the active tile.
// Columns that do not exist are cleared. Bytes are kept as `stored_weight` makes them.

`include "registers.svh"

module mxu_tile
  import mxu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned Cols  = 8    // columns
) (
    input  logic               clk_i,
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
  logic [7:0] shadow_d[Cols][Depth], shadow_q[Cols][Depth], active_q[Cols][Depth];

  always_comb begin
    automatic logic [7:0] bytes[Depth];
    automatic logic [31:0] part;
    shadow_d = shadow_q;
    bytes = '{default: '0};
    part = '0;
    if (write_i) begin
      for (int unsigned i = 0; i < Depth / 4; i++) begin
        part = word_i[32*i+:32];
        for (int unsigned j = 0; j < 4; j++) begin
          bytes[4*i+j] = stored_weight(part[8*j+:8] & {{4{keep_high_i}}, 4'hf}, int8_i);
        end
      end
      if (transpose_i) begin
        for (int unsigned c = 0; c < Cols; c++) begin
          shadow_d[c][index_i[$clog2(Depth)-1:0]] = (c >= 32'(columns_i)) ? stored_weight('0, int8_i) :
              (upper_i && Depth > Cols) ? bytes[Depth-Cols+c] : bytes[c];
        end
      end else begin
        shadow_d[index_i[$clog2(Cols)-1:0]] = bytes;
        if (index_i == '0) begin
          for (int unsigned c = 1; c < Cols; c++) begin
            if (c >= 32'(columns_i)) begin
              for (int unsigned k = 0; k < Depth; k++) shadow_d[c][k] = stored_weight('0, int8_i);
            end
          end
        end
      end
    end
  end

  `FFLNR(shadow_q, shadow_d, write_i)
  `FFLNR(active_q, shadow_q, swap_i)
  assign weight_o = active_q;
endmodule
