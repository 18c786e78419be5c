// SPDX-License-Identifier: Apache-2.0
// The code tables of the microword in hand, taken over when it is new. Plain codes stand for themselves.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_tables
  import isa_pkg::*;
#(
    parameter int unsigned Tables = 8  // code tables, 1 to 8
) (
    input  logic              clk_i,
    input  logic              test_en_i,
    input  logic              setup_i,                // the microword is new
    input  microword_t        word_i,
    input  logic signed [4:0] decode_i[Tables][16],
    input  logic signed [15:0] threshold_i[Tables][15],
    output logic signed [4:0] decode_a_o[16],         // of source A, source B, the encoder
    output logic signed [4:0] decode_b_o[16],
    output logic signed [4:0] decode_e_o[16],
    output logic signed [15:0] threshold_o[15]
);
  localparam int unsigned TableW = chip_pkg::index_width(Tables);  // the sequencer lets no other table pass

  typedef logic signed [4:0] decode_t[16];
  typedef logic [TableW-1:0] table_t;

  function automatic decode_t next_decode(input logic [1:0] format, input table_t code_table);
    for (int unsigned i = 0; i < 16; i++) begin
      next_decode[i] = format == FormatUint4 ? 5'(i) : decode_i[code_table][i];
    end
  endfunction

  `FFGATED(decode_a, decode_a_o, next_decode(word_i.fmt_a, table_t'(word_i.table_a)), setup_i)
  `FFGATED(decode_b, decode_b_o, next_decode(word_i.fmt_b, table_t'(word_i.table_b)), setup_i)
  `FFGATED(decode_e, decode_e_o, next_decode(FormatTable4, table_t'(word_i.table_e)), setup_i)
  `FFGATED(threshold, threshold_o, threshold_i[table_t'(word_i.table_e)], setup_i)

  logic unused_fields;
  assign unused_fields = ^word_i;

  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
