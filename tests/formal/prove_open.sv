// SPDX-License-Identifier: Apache-2.0
// A property that holds and is not inductive: the count steps through the even numbers, and an induction may begin at
// an odd one. `prove` must say that it knows neither way.

`default_nettype none

module prove_open (
    input logic clk_i
);
  logic [7:0] count = 8'd0;

  always_ff @(posedge clk_i) count <= count + 8'd2;

  always_comb assert (count != 8'd1);
endmodule

`default_nettype wire
