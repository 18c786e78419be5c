// SPDX-License-Identifier: Apache-2.0
// Sends rows of a memory to the lanes, segment by segment, those rows alone that are asked for.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module row_load
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned RowWords = 256,  // words of a row's part of the memory
    localparam int unsigned AddrW = $clog2(MaxRows * RowWords)
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               start_i,
    input  logic [MaxRows-1:0] rows_i,         // one at least
    input  logic [        9:0] segments_i,
    output logic               re_o,
    output logic [  AddrW-1:0] addr_o,
    input  word_t              data_i,
    output logic               load_valid_o,
    input  logic               load_ready_i,
    output row_t               load_row_o,
    output logic [        9:0] load_segment_o,
    output word_t              load_o,
    output logic               load_last_o
);
  logic [MaxRows-1:0] left_d, left_q;
  logic [9:0] segment_d, segment_q;
  row_t row;
  logic row_ends, is_last;

  always_comb begin
    row = '0;
    for (int unsigned r = MaxRows; r > 0; r--) if (left_q[r-1]) row = row_t'(r - 1);
    left_d    = left_q;
    segment_d = segment_q;
    if (re_o) begin
      segment_d = segment_q + 1'b1;
      if (row_ends) begin
        segment_d = '0;
        left_d    = left_q & (left_q - 1'b1);
      end
    end
    if (start_i) begin
      segment_d = '0;
      left_d    = rows_i;
    end
  end
  assign row_ends = segment_q == segments_i - 10'd1;
  assign is_last  = row_ends && (left_q & (left_q - 1'b1)) == '0;
  assign re_o     = left_q != '0 && !(load_valid_o && !load_ready_i);
  assign addr_o   = AddrW'(32'(row) * RowWords + 32'(segment_q));
  assign load_o   = data_i;
  `FF(left_q, left_d, '0)
  `FFLNR(segment_q, segment_d, 1'b1)
  `FF(load_valid_o, re_o || (load_valid_o && !load_ready_i), 1'b0)
  `FFLNR(load_row_o, row, re_o)
  `FFLNR(load_segment_o, segment_q, re_o)
  `FFLNR(load_last_o, is_last, re_o)

  `ASSERT_STABLE(LoadStable, load_valid_o, load_ready_i, {load_row_o, load_segment_o, load_o, load_last_o})
endmodule

`default_nettype wire
