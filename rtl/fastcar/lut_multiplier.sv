// SPDX-License-Identifier: Apache-2.0
// A product of two signed integers in logic, for devices whose DSPs are spoken for; no register.

`default_nettype none
`include "assertions.svh"

module lut_multiplier #(
    parameter int unsigned Left  = 9,  // bits
    parameter int unsigned Right = 9
) (
    input  logic signed [      Left-1:0] left_i,
    input  logic signed [     Right-1:0] right_i,
    output logic signed [Left+Right-1:0] product_o
);
  // A row of adders a bit of the right one, only as wide as the left one's sums: a bit of the product leaves at each.
  logic signed [Left:0] sum, halved, addend;
  logic [Right-2:0] low;

  always_comb begin
    sum = '0;
    if (right_i[0]) sum = (Left + 1)'(left_i);
    for (int unsigned b = 1; b < Right; b++) begin
      low[b-1] = sum[0];
      halved = sum >>> 1;
      addend = '0;
      if (right_i[b]) addend = (Left + 1)'(left_i);
      sum = (b == Right - 1) ? halved - addend : halved + addend;
    end
    product_o = {sum, low};
  end

  `CHECK_PARAMETER(WidthsInRange, Left >= 2 && Right >= 2)
endmodule

`default_nettype wire
