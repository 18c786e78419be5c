// SPDX-License-Identifier: Apache-2.0
// Types of the vector engine and the arithmetic of one lane's function unit (docs/numerics.md, Functions).

package vpu_pkg;
  import isa_pkg::*;
  import arith_pkg::*;
  import function_pkg::*;

  // Stream addresses: 24 bits and room for the one step that leaves them, which is then seen as out of range.
  localparam int unsigned ByteW = 26;

  // Pipeline stages; a stage's name says what is done with the registers in front of it.
  localparam int unsigned StageDecode = 0;
  localparam int unsigned StageAdd = 1;
  localparam int unsigned StageMultiply = 2;
  localparam int unsigned StageRound = 3;
  localparam int unsigned StageLookup = 4;
  localparam int unsigned StageSquare = 5;
  localparam int unsigned StageFinish = 6;
  localparam int unsigned StageMultiply2 = 7;
  localparam int unsigned StageRound2 = 8;
  localparam int unsigned StageClamp = 9;
  localparam int unsigned StageEncode = 10;
  localparam int unsigned StagePack = 11;
  localparam int unsigned Stages = 12;

  // Cycle classes behind the three that every engine has: bit numbers of `class_o`.
  localparam int unsigned VpuClassAcc = 3;
  localparam int unsigned VpuClassSpad = 4;
  localparam int unsigned VpuClassParam = 5;
  localparam int unsigned VpuClassFill = 6;

  // What travels with a group of elements.
  typedef struct packed {
    logic [7:0] row;       // pixel in the block: entry of the row scalars
    logic       first;     // group 0: a reduction starts
    logic       ends;      // its lanes end at n
    logic       none;      // its lanes lie behind n
    logic       bank;      // parameter buffer
    logic       second;    // the upper half of the lanes, of a microword that takes halves
    logic [7:0] a_offset;  // byte in the word of A
    logic [7:0] b_offset;  // byte in the word of B
    logic [ByteW-1:0] dest;  // byte address of the destination
  } element_t;

  // A channel's parameter as it lies in the scratchpad.
  typedef struct packed {
    logic signed [7:0]  zero;
    logic [7:0]         shift;
    logic signed [15:0] mult;
    logic signed [31:0] bias;
  } parameter_t;

  // A lane's function between its stages.
  typedef struct packed {
    logic signed [LaneC0W-1:0] c0;
    logic signed [LaneC1W-1:0] c1;
    logic signed [LaneC2W+LaneTBits-1:0] c2t;
  } coefficients_t;

  typedef struct packed {
    logic [LaneTBits-1:0] t;
    logic [5:0]           halvings;  // EXP2N: whole part of the exponent
    logic [15:0]          ramp;      // GELU: max(y, 0)
  } place_t;

  typedef struct packed {
    logic signed [LaneC0W:0] v;
    logic [5:0]              halvings;
    logic [15:0]             ramp;
  } value_t;

  // Whether a VECTOR microword reads the second stream.
  function automatic logic reads_b(input logic kind, input logic [1:0] side, input logic [2:0] mul);
    return kind == KindVector && (side inside {SideAddB, SideMaxB} || mul == MultiplyB);
  endfunction

  // What a microword makes the lanes do.
  typedef struct packed {
    logic scalar;
    logic use_b;          // it reads B
    logic scaled;         // side SCALE_F: the second multiplication comes behind the function
    logic summed;         // ADD_B
    logic largest;        // MAX_B
    logic beside;         // one of these: the second multiplication stands beside the first one
    logic function_used;
  } uses_t;

  function automatic uses_t uses_of(input logic kind, input logic [1:0] side, input logic [2:0] mul,
                                    input logic [2:0] fn);
    uses_t uses;
    uses.scalar = kind == KindScalar;
    uses.use_b = reads_b(kind, side, mul);
    uses.scaled = !uses.scalar && side == SideScaleF;
    uses.summed = !uses.scalar && side == SideAddB;
    uses.largest = !uses.scalar && side == SideMaxB;
    uses.beside = uses.summed || uses.largest;
    uses.function_used = (uses.scaled || uses.scalar) && fn != FunctionIdent;
    return uses;
  endfunction

  function automatic logic [15:0] magnitude(input logic signed [15:0] y);
    return y[15] ? 16'(-y) : 16'(y);
  endfunction

  function automatic place_t lane_place(input logic exp2n, input logic signed [15:0] y);
    place_t at;
    logic [15:0] size;
    logic [1:0] unused_segment;
    size = magnitude(y);
    unused_segment = size[9:8];
    if (exp2n && !y[15]) size = '0;
    at.t = exp2n ? {size[5:0], 2'b00} : size[7:0];
    at.halvings = exp2n ? size[15:10] : 6'd0;
    at.ramp = y[15] ? 16'd0 : 16'(y);
    return at;
  endfunction

  function automatic coefficients_t lane_coefficients(input logic exp2n, input logic signed [15:0] y);
    coefficients_t c;
    logic [15:0] size;
    logic [5:0] segment;
    logic [LaneTBits-1:0] t;
    size = magnitude(y);
    if (exp2n && !y[15]) size = '0;
    segment = exp2n ? 6'(Exp2nBase) + {2'b00, size[9:6]} : {1'b0, size[12:8]};
    t = exp2n ? {size[5:0], 2'b00} : size[7:0];
    c = '0;
    if (exp2n || size < 16'(GeluFlat)) begin
      c.c0  = LaneC0[segment];
      c.c1  = LaneC1[segment];
      c.c2t = LaneC2[segment] * $signed({1'b0, t});
    end
    return c;
  endfunction

  function automatic value_t lane_value(input coefficients_t c, input place_t at);
    value_t out;
    logic signed [LaneC1W:0] h;
    h = (LaneC1W + 1)'(c.c1) + (LaneC1W + 1)'(rshift(48'(c.c2t), 10'(LaneHShift)));
    out.v = (LaneC0W + 1)'(c.c0) + (LaneC0W + 1)'(times17(17'(h), $signed(16'(at.t))));
    out.halvings = at.halvings;
    out.ramp = at.ramp;
    return out;
  endfunction

  // The value's rounding shift, by as many places more as there are halvings. What it has above the point's half fits
  // a shift by 31: then it is all sign, and so it is by more.
  function automatic logic signed [15:0] lane_finish(input logic exp2n, input value_t value);
    localparam int unsigned KeptW = LaneC0W + 2 - LaneVShift;
    logic signed [KeptW-1:0] kept;
    logic signed [KeptW-1:0] r;
    kept = $signed(value.v[LaneC0W:LaneVShift-1]) >>> (value.halvings[5] ? 5'd31 : value.halvings[4:0]);
    r = (kept >>> 1) + KeptW'(kept[0]);
    return exp2n ? sat16(48'(r)) : $signed(value.ramp - r[15:0]);
  endfunction
endpackage
