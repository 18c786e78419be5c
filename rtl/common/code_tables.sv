// SPDX-License-Identifier: Apache-2.0
// The code tables: 16 decode entries and 15 rising thresholds each, written by LOAD in whole words, read in parallel.
// Their clock runs only when a word is written.
// Table t starts at byte 64 t: 16 entries, the low five bits of a byte each, then 15 int16 thresholds (little-endian);
// the rest is ignored.

`default_nettype none
`include "assertions.svh"

module code_tables #(
    parameter int unsigned Depth  = 16,  // bytes of a word
    parameter int unsigned Tables = 8,   // tables
    localparam int unsigned AddrW = chip_pkg::index_width(Tables * isa_pkg::TableBytes / Depth)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      test_en_i,
    input  logic                      tab_we_i,
    input  logic        [  AddrW-1:0] tab_addr_i,  // word
    input  logic        [8*Depth-1:0] tab_wdata_i,
    output logic signed [        4:0] decode_o[Tables][16],
    output logic signed [       15:0] threshold_o[Tables][15]
);
  typedef logic signed [4:0] decode_t[Tables][16];
  typedef logic signed [15:0] threshold_t[Tables][15];

  // Storage as the readers take it: of a table 16 entries and 15 thresholds.
  decode_t decode_q;
  threshold_t threshold_q;

  // Functions, so that simulators compute them when the clock runs and not otherwise.
  function automatic decode_t next_decode();
    next_decode = decode_q;
    for (int unsigned t = 0; t < Tables; t++) begin
      for (int unsigned i = 0; i < 16; i++) begin
        if (tab_we_i && 32'(tab_addr_i) == (64 * t + i) / Depth) begin
          next_decode[t][i] = tab_wdata_i[8*((64*t+i)%Depth)+:5];
        end
      end
    end
  endfunction

  function automatic threshold_t next_threshold();
    next_threshold = threshold_q;
    for (int unsigned t = 0; t < Tables; t++) begin
      for (int unsigned i = 16; i < 46; i++) begin
        if (tab_we_i && 32'(tab_addr_i) == (64 * t + i) / Depth) begin
          next_threshold[t][(i-16)/2][8*(i%2)+:8] = tab_wdata_i[8*((64*t+i)%Depth)+:8];
        end
      end
    end
  endfunction

  logic clk_tables;

  clock_gate u_gate (
      .clk_i,
      .en_i(tab_we_i),
      .test_en_i,
      .clk_o(clk_tables)
  );

  // In test the clock runs on: the flops hold by themselves.
  always_ff @(posedge clk_tables or negedge rst_ni) begin
    if (!rst_ni) begin
      decode_q    <= '{default: '{default: '0}};
      threshold_q <= '{default: '{default: '0}};
    end else begin
      decode_q    <= next_decode();
      threshold_q <= next_threshold();
    end
  end

  assign decode_o    = decode_q;
  assign threshold_o = threshold_q;

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
