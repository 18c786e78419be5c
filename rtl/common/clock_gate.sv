// SPDX-License-Identifier: Apache-2.0
// Clock gate: the clock's high phase passes when `en_i` or `test_en_i` was high before it, never a part of one. This is
// what a simulator sees; synthesis puts the library's cell in its place.

`default_nettype none

module clock_gate (
    input  logic clk_i,
    input  logic en_i,
    input  logic test_en_i,
    output logic clk_o
);
  logic en_q;

  always_latch begin
    if (!clk_i) en_q = en_i || test_en_i;
  end

  assign clk_o = clk_i && en_q;
endmodule

`default_nettype wire
