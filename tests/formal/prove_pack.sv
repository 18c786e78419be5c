// SPDX-License-Identifier: Apache-2.0
// Two W4A8 products in one multiplication. The wide operand is w1 * 2^18 + w0 for every pair of weights, so that a sum of
// its products with any inputs is (sum for w1) * 2^18 + (sum for w0); and that comes apart into both sums, whatever they
// are within 18 bits.

`default_nettype none

module prove_pack
  import fastcar_pkg::*;
(
    input logic        [ 7:0] pair_i,
    input logic signed [17:0] odd_i,
    input logic signed [17:0] even_i
);
  logic signed [35:0] sum;
  sums_t parts;

  assign sum   = (36'(odd_i) <<< 18) + 36'(even_i);
  assign parts = split_sum(sum);

  always_comb begin
    assert (wide_operand(pack_pair(pair_i)) ==
            (23'($signed(pair_i[7:4])) <<< 18) + 23'($signed(pair_i[3:0])));
    assert (parts.odd == odd_i && parts.even == even_i);
  end
endmodule

`default_nettype wire
