// SPDX-License-Identifier: Apache-2.0
// Arithmetic that several modules share, defined to the bit in docs/numerics.md.

package arith_pkg;

  // A shift by count, clamped to 0..47, that keeps one bit below the point.
  function automatic logic signed [48:0] shift_above(input logic signed [47:0] value,
                                                     input logic signed [9:0] count);
    logic [5:0] clamped;
    clamped = (count < 10'sd0) ? 6'd0 : (count > 10'sd47) ? 6'd47 : count[5:0];
    return $signed({value, 1'b0}) >>> clamped;
  endfunction

  // Rounding shift rs(value, count): nearest, ties towards plus infinity; counts are clamped to 0..47.
  // The bit below the point is added after the shift, so nothing overflows.
  function automatic logic signed [47:0] rshift(input logic signed [47:0] value,
                                                input logic signed [9:0] count);
    logic signed [48:0] shifted;
    shifted = shift_above(value, count);
    return $signed(shifted[48:1]) + $signed({47'd0, shifted[0]});
  endfunction

  // sat32(rs(value, count)), or sat16 of it: only what is kept is rounded.
  function automatic logic signed [31:0] rshift_sat(input logic signed [47:0] value,
                                                    input logic signed [9:0] count, input logic to16);
    logic signed [48:0] shifted;
    logic signed [32:0] rounded;
    logic above32, above16;  // out of range
    shifted = shift_above(value, count);
    rounded = $signed({shifted[48], shifted[32:1]}) + $signed({32'd0, shifted[0]});
    above32 = shifted[48:32] != {17{shifted[48]}} || rounded[32] != rounded[31];
    above16 = shifted[48:16] != {33{shifted[48]}} || rounded[16] != rounded[15];
    if (to16) return above16 ? {{17{shifted[48]}}, {15{!shifted[48]}}} : 32'($signed(rounded[15:0]));
    return above32 ? {shifted[48], {31{!shifted[48]}}} : rounded[31:0];
  endfunction

  function automatic logic signed [15:0] sat16(input logic signed [47:0] value);
    return (value > 48'sd32767) ? 16'sh7fff : (value < -48'sd32768) ? 16'sh8000 : value[15:0];
  endfunction

  function automatic logic signed [31:0] sat32(input logic signed [47:0] value);
    return (value > 48'sd2147483647) ? 32'sh7fffffff :
        (value < -48'sd2147483648) ? 32'sh80000000 : value[31:0];
  endfunction

  // Products by Booth's digits of two bits: digit i of a factor, its bits 2i+1 .. 2i-1, is worth -2 .. 2. A digit times x
  // is this row, its sign bit turned over, plus one if the digit's top bit is set, less 2^32 (`prove_arith`). Synthesis
  // makes two thirds of a plain multiplier of it.
  function automatic logic [32:0] booth_row(input logic signed [31:0] x, input logic [2:0] digit);
    logic [32:0] once, twice, row;
    once  = {x[31], x} & {33{digit[1] ^ digit[0]}};
    twice = {x, 1'b0} & {33{digit == 3'b100 || digit == 3'b011}};
    row   = (once | twice) ^ {33{digit[2]}};
    return {!row[32], row[31:0]};
  endfunction

  function automatic logic signed [47:0] times32(input logic signed [31:0] x,
                                                 input logic signed [15:0] factor);
    logic [2:0] digit;
    times32 = -48'sh5555_0000_0000;  // 2^32, 4 times as much, ...: of eight rows
    for (int unsigned i = 0; i < 8; i++) begin
      digit = 3'({factor, 1'b0} >> (2 * i));
      times32 = times32 + $signed(48'(booth_row(x, digit)) << (2 * i)) + $signed(48'(digit[2]) << (2 * i));
    end
  endfunction

  // The same of 17 bits.
  function automatic logic signed [32:0] times17(input logic signed [16:0] x,
                                                 input logic signed [15:0] factor);
    logic [2:0] digit;
    logic [17:0] row;
    times17 = 33'sh1_5556_0000;  // less 2^17, 4 times as much, ...
    for (int unsigned i = 0; i < 8; i++) begin
      digit = 3'({factor, 1'b0} >> (2 * i));
      row = 18'(booth_row(32'(x), digit));
      times17 = times17 + $signed(33'({!row[17], row[16:0]}) << (2 * i)) + $signed(33'(digit[2]) << (2 * i));
    end
  endfunction

  // Scratchpad bank of a word address (four banks), from its low six bits: neighbouring words,
  // words four apart and words sixteen apart lie in different banks.
  function automatic logic [1:0] spad_bank(input logic [5:0] word);
    return word[1:0] ^ word[3:2] ^ word[5:4];
  endfunction

  // What one written 32-bit word adds to an engine's signature; `index` is its address / 4.
  function automatic logic [31:0] signature_step(input logic [31:0] word, input logic [31:0] index);
    logic [31:0] mixed;
    logic [ 5:0] count;
    mixed = word ^ index;
    count = {1'b0, index[4:0]};
    return (mixed << count) | (mixed >> (6'd32 - count));
  endfunction

endpackage
