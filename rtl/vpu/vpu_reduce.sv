// SPDX-License-Identifier: Apache-2.0
// Sum or maximum of the valid lanes of one group.

`default_nettype none
`include "assertions.svh"

module vpu_reduce
  import isa_pkg::*;
#(
    parameter int unsigned Lanes = 8  // lanes
) (
    input  logic                    enable_i,      // without it the result does not matter
    input  reduce_e                 reduce_i,
    input  logic                    encode_i,      // the lanes hold codes, to be decoded first
    input  logic signed      [ 4:0] decode_i[16],
    input  logic        [Lanes-1:0] valid_i,
    input  logic signed      [15:0] lanes_i[Lanes],
    output logic signed      [31:0] result_o
);
  // A tree: each level joins the upper half of what is left into the lower one.
  localparam int unsigned Levels = $clog2(Lanes);

  function automatic logic signed [31:0] reduced();
    logic signed [31:0] node[Lanes];
    logic maximum;
    maximum = reduce_i == ReduceMax;
    for (int unsigned c = 0; c < Lanes; c++) begin
      node[c] = encode_i ? 32'(decode_i[lanes_i[c][3:0]]) : 32'(lanes_i[c]);
      if (!valid_i[c]) node[c] = maximum ? 32'sh80000000 : 32'sd0;
    end
    for (int unsigned level = 1; level <= Levels; level++) begin
      for (int unsigned i = 0; i < Lanes >> level; i++) begin
        if (!maximum) node[i] = node[i] + node[i+(Lanes>>level)];
        else if (node[i] < node[i+(Lanes>>level)]) node[i] = node[i+(Lanes>>level)];
      end
    end
    return node[0];
  endfunction

  always_comb begin
    result_o = '0;
    if (enable_i) result_o = reduced();
  end

  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_lanes(Lanes))
endmodule

`default_nettype wire
