// The code tables: 16 decode entries and 15 rising thresholds each, written by LOAD in whole words, read in parallel.
// Table t starts at byte 64 t: 16 int8 entries, then 15 int16 thresholds (little-endian); the rest is ignored.

`include "registers.svh"

module code_tables #(
    parameter int unsigned Depth  = 16,  // bytes of a word
    parameter int unsigned Tables = 8,   // tables
    localparam int unsigned AddrW = $clog2((Tables * 64 + Depth - 1) / Depth)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      tab_we_i,
    input  logic        [  AddrW-1:0] tab_addr_i,  // word
    input  logic        [8*Depth-1:0] tab_wdata_i,
    output logic signed [        7:0] decode_o[Tables][16],
    output logic signed [       15:0] threshold_o[Tables][15]
);
  // Storage is bytes, as the image is; 46 of a table's 64 exist.
  logic [7:0] bytes_q[Tables][46];
  logic [7:0] bytes_d[Tables][46];

  always_comb begin
    bytes_d = bytes_q;
    if (tab_we_i) begin
      for (int unsigned t = 0; t < Tables; t++) begin
        for (int unsigned i = 0; i < 46; i++) begin
          if (32'(tab_addr_i) == (64 * t + i) / Depth) begin
            bytes_d[t][i] = tab_wdata_i[8*((64*t+i)%Depth)+:8];
          end
        end
      end
    end
  end

  for (genvar t = 0; t < Tables; t++) begin : gen_table
    for (genvar i = 0; i < 46; i++) begin : gen_byte
      `FFL(bytes_q[t][i], bytes_d[t][i], tab_we_i, '0)
    end
    for (genvar i = 0; i < 16; i++) begin : gen_decode
      assign decode_o[t][i] = bytes_q[t][i];
    end
    for (genvar i = 0; i < 15; i++) begin : gen_threshold
      assign threshold_o[t][i] = {bytes_q[t][17+2*i], bytes_q[t][16+2*i]};
    end
  end
endmodule
