// SPDX-License-Identifier: Apache-2.0
// The arithmetic of docs/numerics.md on any value, against its definition in wider integers: rounding shift, saturation,
// products, and which bank a word lies in.

`default_nettype none

module prove_arith #(
    parameter int unsigned Reach = 0  // 1: a tie, 2: a saturated sum, 3: a count beyond 47, 4: a digit of -2
) (
    input logic signed [47:0] value_i,
    input logic signed [ 9:0] count_i,
    input logic        [ 5:0] word_i
);
  // rs(v, s) = floor((v + 2^(s-1)) / 2^s), s clamped to 0..47; in 98 bits nothing overflows.
  logic signed [97:0] half, wide, power;
  logic [5:0] count;
  logic signed [47:0] rounded;
  always_comb begin
    count = count_i < 0 ? 6'd0 : count_i > 47 ? 6'd47 : 6'(count_i);
    power = 98'sd1 <<< count;
    half  = power >>> 1;
    wide  = (98'(value_i) + half) >>> count;
    assert (98'(arith_pkg::rshift(value_i, count_i)) == wide);
    if (value_i > 48'sd32767) assert (arith_pkg::sat16(value_i) == 16'sd32767);
    else if (value_i < -48'sd32768) assert (arith_pkg::sat16(value_i) == -16'sd32768);
    else assert (48'(arith_pkg::sat16(value_i)) == value_i);
    if (value_i > 48'sd2147483647) assert (arith_pkg::sat32(value_i) == 32'sh7fffffff);
    else if (value_i < -48'sd2147483648) assert (arith_pkg::sat32(value_i) == 32'sh80000000);
    else assert (48'(arith_pkg::sat32(value_i)) == value_i);
    rounded = arith_pkg::rshift(value_i, count_i);
    assert (arith_pkg::rshift_sat(value_i, count_i, 1'b0) == arith_pkg::sat32(rounded));
    assert (arith_pkg::rshift_sat(value_i, count_i, 1'b1) == 32'(arith_pkg::sat16(rounded)));
  end

  // Booth: digits times powers of four are the factor; a row, with what it lacks, is x times its digit. What sums the
  // rows (`times32`, `times17`) follows by distributivity.
  logic signed [15:0] factor;
  logic signed [31:0] x, digits;
  logic [2:0] digit;
  logic signed [47:0] times_digit;
  logic [32:0] row17;
  always_comb begin
    factor = value_i[47:32];
    x = value_i[31:0];
    digits = '0;
    for (int unsigned i = 0; i < 8; i++) begin
      digit  = 3'({factor, 1'b0} >> (2 * i));
      digits = digits + ((32'(digit[0]) + 32'(digit[1]) - 32'(digit[2]) - 32'(digit[2])) <<< (2 * i));
    end
    assert (digits == 32'(factor));
    digit = word_i[2:0];
    unique case (digit)
      3'b001, 3'b010: times_digit = 48'(x);
      3'b011: times_digit = 48'(x) + 48'(x);
      3'b100: times_digit = -(48'(x) + 48'(x));
      3'b101, 3'b110: times_digit = -48'(x);
      default: times_digit = '0;
    endcase
    assert (48'(arith_pkg::booth_row(x, digit)) + 48'(digit[2]) - 48'h1_0000_0000 == times_digit);
    // x of 17 bits: a row's lower 18
    row17 = arith_pkg::booth_row(32'($signed(x[16:0])), digit);
    assert (row17[31:17] == {15{!row17[32]}});
    if (Reach == 4) assert (!(digit == 3'b100 && x < 0));
  end

  // Words next to each other, four and sixteen apart lie in different banks, all four are used alike.
  always_comb begin
    assert (arith_pkg::spad_bank(word_i) != arith_pkg::spad_bank(word_i ^ 6'd1));
    assert (arith_pkg::spad_bank(word_i) != arith_pkg::spad_bank(word_i ^ 6'd4));
    assert (arith_pkg::spad_bank(word_i) != arith_pkg::spad_bank(word_i ^ 6'd16));
    for (int unsigned k = 0; k < 4; k++) begin
      for (int unsigned j = 0; j < k; j++) begin
        assert (arith_pkg::spad_bank({word_i[5:2], 2'(k)}) != arith_pkg::spad_bank({word_i[5:2], 2'(j)}));
      end
    end
  end

  always_comb begin
    if (Reach == 1) assert (!(count != 0 && ((98'(value_i) & (power - 1)) == half)));
    if (Reach == 2) assert (32'(arith_pkg::sat32(value_i)) != 32'h80000000 || value_i == -48'sd2147483648);
    if (Reach == 3) assert (!(count_i > 47));
  end
endmodule

`default_nettype wire
