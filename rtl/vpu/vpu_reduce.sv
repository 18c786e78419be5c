// SPDX-License-Identifier: Apache-2.0
// Sum or maximum of the valid lanes of one group.

`default_nettype none
`include "assertions.svh"

module vpu_reduce
  import isa_pkg::*;
#(
    parameter int unsigned Lanes = 8,  // lanes
    parameter int unsigned FullLanes = 8  // of these, ones that encode: the others are offered the same codes
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
    logic signed [31:0] sum[Lanes];  // of 16 bits and those that carry
    logic signed [15:0] largest[Lanes];  // of nothing: the least, which no row's maximum is below
    logic signed [15:0] lane;
    for (int unsigned c = 0; c < Lanes; c++) begin
      lane = encode_i ? 16'(decode_i[lanes_i[c%FullLanes][3:0]]) : lanes_i[c];
      sum[c] = valid_i[c] ? 32'(lane) : 32'sd0;
      largest[c] = valid_i[c] ? lane : 16'sh8000;
    end
    for (int unsigned level = 1; level <= Levels; level++) begin
      for (int unsigned i = 0; i < Lanes >> level; i++) begin
        sum[i] = sum[i] + sum[i+(Lanes>>level)];
        if (largest[i] < largest[i+(Lanes>>level)]) largest[i] = largest[i+(Lanes>>level)];
      end
    end
    return reduce_i == ReduceMax ? 32'(largest[0]) : sum[0];
  endfunction

  always_comb begin
    result_o = '0;
    if (enable_i) result_o = reduced();
  end

  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_lanes(Lanes))
  `CHECK_PARAMETER(FullInRange, chip_pkg::legal_full(FullLanes, Lanes))
endmodule

`default_nettype wire
