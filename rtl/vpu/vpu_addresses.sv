// SPDX-License-Identifier: Apache-2.0
// The addresses of the three streams of an instruction: sources A and B, destination D (numbers 0, 1, 2), of the element
// that waits. Each walks with its own base, strides and granule through the loops that they share.

`default_nettype none
`include "assertions.svh"

module vpu_addresses
  import isa_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Cols      = 8,     // columns of the MXU (C), a multiple of the lanes
    parameter int unsigned Lanes     = 8,     // lanes
    parameter int unsigned Depth     = 16,    // bytes of a word
    parameter int unsigned SpadWords = 16384  // words of the scratchpad
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             start_i,         // an instruction begins: `begins_i`
    input  vector_t          begins_i,
    input  vector_t          instr_i,         // the one in hand
    input  microword_t       word_i,          // its microword
    input  logic             setup_i,         // that is new in this cycle
    input  logic             step_i,          // the waiting element is taken
    input  logic             row_end_i,       // see vpu_stream_address
    input  logic             block_end_i,
    input  logic             first_group_i,
    input  logic             last_group_i,
    input  logic             advance_i,
    output logic [ByteW-1:0] addr_o      [3],
    output logic [      2:0] misaligned_o,
    output logic [      2:0] outside_o
);
  logic [23:0] base[3], row_stride[3];
  logic [19:0] pix_stride[3];
  logic [2:0] half, double;

  assign base       = '{begins_i.a, begins_i.b, begins_i.d};
  assign row_stride = '{instr_i.a_row, instr_i.b_row, instr_i.d_row};
  assign pix_stride = '{instr_i.a_pix, instr_i.b_pix, instr_i.d_pix};
  assign half[0]    = word_i.fmt_a != FormatInt8;
  assign half[1]    = word_i.fmt_b != FormatInt8;
  assign half[2]    = word_i.dst == DestinationNibble;
  assign double     = {word_i.dst == DestinationInt16, 2'b00};

  for (genvar s = 0; s < 3; s++) begin : gen_stream
    vpu_stream_address #(
        .Cols     (Cols),
        .Lanes    (Lanes),
        .Depth    (Depth),
        .SpadWords(SpadWords)
    ) u_address (
        .clk_i,
        .rst_ni,
        .start_i,
        .base_i      (base[s]),
        .row_stride_i(row_stride[s]),
        .pix_stride_i(pix_stride[s]),
        .check_i     (setup_i),
        .half_i      (half[s]),
        .double_i    (double[s]),
        .step_i,
        .row_end_i,
        .block_end_i,
        .first_group_i,
        .last_group_i,
        .advance_i,
        .addr_o      (addr_o[s]),
        .misaligned_o(misaligned_o[s]),
        .outside_o   (outside_o[s])
    );
  end

  logic unused_fields;  // of the instruction and the microword: used around this module
  assign unused_fields = ^{begins_i, instr_i, word_i};

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
