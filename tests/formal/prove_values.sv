// SPDX-License-Identifier: Apache-2.0
// Two int8 values by one weight of 12 bits in one multiplication. The wide operand is v1 * 2^19 + the low seven bits of v0,
// so that a product is (v1 * weight) * 2^19 + low, where low = v0's seven bits times the weight is below 2^19; v0 is its
// seven bits less 128 when it is negative. Such a product comes apart into v1 * weight and v0 * weight, whatever they are.

`default_nettype none

module prove_values
  import fastcar_pkg::*;
(
    input logic        [ 7:0] even_i,
    input logic        [ 7:0] odd_i,
    input logic        [11:0] weight_i,
    input logic        [18:0] low_i,
    input logic signed [19:0] high_i
);
  logic signed [38:0] product;
  values_t parts;

  assign product = (39'(high_i) <<< 19) + $signed({20'd0, low_i});
  assign parts   = split_values(product, even_i[7], weight_i);

  always_comb begin
    assert (value_operand(even_i[6:0], odd_i) ==
            (27'($signed(odd_i)) <<< 19) + $signed({20'd0, even_i[6:0]}));
    assert (9'($signed(even_i)) == $signed({2'b0, even_i[6:0]}) - $signed({1'b0, even_i[7], 7'd0}));
    assert (parts.odd == high_i);
    assert (parts.even == $signed({1'b0, low_i}) - $signed({1'b0, even_i[7] ? weight_i : 12'd0, 7'd0}));
  end
endmodule

`default_nettype wire
