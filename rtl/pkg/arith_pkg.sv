// SPDX-License-Identifier: Apache-2.0
// Arithmetic that several modules share, defined to the bit in docs/numerics.md.

package arith_pkg;

  // Rounding shift rs(value, count): nearest, ties towards plus infinity; counts are clamped to 0..47.
  // One bit below the point is kept and added after the shift, so nothing overflows.
  function automatic logic signed [47:0] rshift(input logic signed [47:0] value,
                                                input logic signed [9:0] count);
    logic        [ 5:0] clamped;
    logic signed [48:0] shifted;
    clamped = (count < 10'sd0) ? 6'd0 : (count > 10'sd47) ? 6'd47 : count[5:0];
    shifted = $signed({value, 1'b0}) >>> clamped;
    return $signed(shifted[48:1]) + $signed({47'd0, shifted[0]});
  endfunction

  function automatic logic signed [15:0] sat16(input logic signed [47:0] value);
    return (value > 48'sd32767) ? 16'sh7fff : (value < -48'sd32768) ? 16'sh8000 : value[15:0];
  endfunction

  function automatic logic signed [31:0] sat32(input logic signed [47:0] value);
    return (value > 48'sd2147483647) ? 32'sh7fffffff :
        (value < -48'sd2147483648) ? 32'sh80000000 : value[31:0];
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
