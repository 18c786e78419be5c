// SPDX-License-Identifier: Apache-2.0
// The code tables: 16 decode entries and 15 rising thresholds each, written by LOAD in whole words, read in parallel.
// Their clock runs only when a word is written.
// Table t starts at byte 64 t: 16 int8 entries, then 15 int16 thresholds (little-endian); the rest is ignored.

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
    output logic signed [        7:0] decode_o[Tables][16],
    output logic signed [       15:0] threshold_o[Tables][15]
);
  // Storage as the readers take it; 46 of a table's 64 bytes exist.
  logic signed [7:0] decode_d[Tables][16], decode_q[Tables][16];
  logic signed [15:0] threshold_d[Tables][15], threshold_q[Tables][15];

  always_comb begin
    decode_d    = decode_q;
    threshold_d = threshold_q;
    if (tab_we_i) begin
      for (int unsigned t = 0; t < Tables; t++) begin
        for (int unsigned i = 0; i < 46; i++) begin
          if (32'(tab_addr_i) == (64 * t + i) / Depth) begin
            if (i < 16) decode_d[t][i] = tab_wdata_i[8*((64*t+i)%Depth)+:8];
            else threshold_d[t][(i-16)/2][8*(i%2)+:8] = tab_wdata_i[8*((64*t+i)%Depth)+:8];
          end
        end
      end
    end
  end

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
      decode_q    <= decode_d;
      threshold_q <= threshold_d;
    end
  end

  assign decode_o    = decode_q;
  assign threshold_o = threshold_q;

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
