// SPDX-License-Identifier: Apache-2.0
// Two outputs' weights, a byte an input, turned into the packed form that every lane multiplies with: once a word.

`default_nettype none

module lane_pack
  import fastcar_pkg::*;
#(
    parameter int unsigned Width = 64  // inputs of a word
) (
    input  logic [8*Width-1:0] word_i,   // low nibble: the pair's even output
    output logic [9*Width-1:0] packed_o
);
  always_comb begin
    for (int unsigned i = 0; i < Width; i++) packed_o[9*i+:9] = pack_pair(word_i[8*i+:8]);
  end
endmodule

`default_nettype wire
