// SPDX-License-Identifier: Apache-2.0
// A product in logic is the product, at both sizes that are built.

`default_nettype none

module prove_product (
    input logic signed [8:0] left_i,
    input logic signed [8:0] right_i
);
  logic signed [17:0] wide;
  logic signed [15:0] narrow;

  lut_multiplier #(
      .Left (9),
      .Right(9)
  ) u_wide (
      .left_i,
      .right_i,
      .product_o(wide)
  );
  lut_multiplier #(
      .Left (8),
      .Right(8)
  ) u_narrow (
      .left_i   (left_i[7:0]),
      .right_i  (right_i[7:0]),
      .product_o(narrow)
  );

  always_comb begin
    assert (wide == left_i * right_i);
    assert (narrow == $signed(left_i[7:0]) * $signed(right_i[7:0]));
  end
endmodule

`default_nettype wire
