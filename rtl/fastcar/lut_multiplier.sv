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
  localparam int unsigned ProductW = Left + Right;

  always_comb begin
    product_o = right_i[Right-1] ? -(ProductW'(left_i) <<< (Right - 1)) : '0;
    for (int unsigned b = 0; b < Right - 1; b++) if (right_i[b]) product_o += ProductW'(left_i) <<< b;
  end

  `CHECK_PARAMETER(WidthsInRange, Left >= 2 && Right >= 2)
endmodule

`default_nettype wire
