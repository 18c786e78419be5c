// SPDX-License-Identifier: Apache-2.0
// The pipeline of all lanes: what VECTOR and SCALAR microwords compute, one group of elements a cycle. Parameters,
// second operands, functions and the encoder are in the full lanes alone; a microword that needs one of them
// (`halved_i`) takes a group in two halves, both on these.
// It moves as a whole (`enable_i`) under one microword; stages without use for that microword are skipped.
// Every stage's arithmetic is a function that is evaluated only when the stage holds something; simulators clear a
// function's variables in every cycle, so that its result is the only array in it.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_lanes
  import isa_pkg::*;
  import arith_pkg::*;
  import function_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned Lanes  = 8,   // lanes
    parameter int unsigned FullLanes = 8,  // of these, full ones: all or half
    parameter int unsigned Rows  = 64,  // pixels of a block
    localparam int unsigned RowW = $clog2(Rows)
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic                          test_en_i,
    input  logic                          enable_i,
    input  microword_t                    word_i,              // in force while anything is in the pipeline
    input  logic signed [            4:0] decode_a_i[16],
    input  logic signed [            4:0] decode_b_i[16],
    input  logic signed [           15:0] threshold_i[15],
    input  logic                          halved_i,            // it takes groups in two halves
    input  logic                          issue_i,             // a group enters
    input  element_t                      element_i,
    input  logic        [Lanes-1:0][31:0] acc_i,               // its accumulators, with src_a ACC
    input  logic [Depth/4-1:0][     31:0] a_word_i,            // words of the group in the decode stage
    input  logic [Depth/4-1:0][     31:0] b_word_i,
    input  parameter_t                    parameter_i[2][Lanes],
    output logic                          add_read_o,          // row scalars: what comes to the add stage
    output logic                          mul_read_o,          // needs them there, and in the multiply stage
    output logic        [       RowW-1:0] read_row_o,
    output logic                          mul_take_o,          // it moves on to that
    input  logic signed [           31:0] add_value_i,         // of what is in the add stage
    input  logic signed [           31:0] mul_value_i,         // of what is in the multiply stage
    output logic                          scalar_valid_o,      // result of a SCALAR microword
    output logic        [       RowW-1:0] scalar_row_o,
    output logic signed [           31:0] scalar_value_o,
    output logic                          result_valid_o,      // result of a VECTOR microword
    output element_t                      result_element_o,
    output logic signed [           15:0] result_o[Lanes],
    output logic        [            1:0] bank_busy_o,         // the parameter buffer is in use
    output logic                          again_o,             // the decode stage holds a first half
    output logic                          idle_o
);
  localparam int unsigned ChunkW = $clog2(Depth / 4);  // index of a 32-bit part of a word

  // A half lies at a multiple of its size: bits of `ChunkW` that say where.
  localparam logic [ChunkW-1:0] BytesAt = ChunkW'(~(FullLanes / 4 - 1));
  localparam logic [ChunkW-1:0] CodesAt = ChunkW'(~(FullLanes / 8 - 1));
  localparam int unsigned Upper = Lanes - FullLanes;  // first lane of the second half; 0: no halves

  typedef logic signed [7:0] bytes_t[FullLanes];
  typedef logic signed [15:0] int16_t[Lanes];
  typedef logic signed [16:0] int17_t[FullLanes];
  typedef logic signed [31:0] int32_t[Lanes];
  typedef logic signed [31:0] sides_t[FullLanes];
  typedef logic signed [32:0] int33_t[FullLanes];
  typedef logic signed [47:0] int48_t[Lanes];
  typedef parameter_t parameters_t[FullLanes];
  typedef coefficients_t coefficients_a[FullLanes];
  typedef place_t places_a[FullLanes];
  typedef value_t values_a[FullLanes];

  // -- Control: which stages hold something, and what ----------------------------------------------

  logic [Stages-1:0] valid_q, advance;
  element_t element_q[Stages];
  uses_t uses, uses_d;
  logic scalar, scaled, function_used, use_b, summed, largest, beside, exp2n, biased, param, square, times_b;

  // A register: the word is new a cycle before anything is issued under it.
  assign uses_d = uses_of(word_i.kind, word_i.side, word_i.mul, word_i.fn);
  `FF(uses, uses_d, '0)
  assign {scalar, use_b, scaled, summed, largest, beside, function_used} = uses;
  assign exp2n   = word_i.fn == FunctionExp2n;
  assign biased  = word_i.addend == AddendBias;
  assign param   = word_i.mul == MultiplyParam;
  assign square  = word_i.mul == MultiplySquare;
  assign times_b = word_i.mul == MultiplyB;

  vpu_stages u_stages (
      .clk_i,
      .rst_ni,
      .test_en_i,
      .enable_i,
      .uses_i(uses),
      .issue_i,
      .element_i,
      .valid_o(valid_q),
      .advance_o(advance),
      .element_o(element_q),
      .bank_busy_o,
      .idle_o
  );

  // The microword's other fields are used around this module.
  logic unused_fields;
  assign unused_fields = ^{
    word_i.unused, word_i.rs_d, word_i.reduce, word_i.dst, word_i.table_e, word_i.table_b, word_i.table_a,
    word_i.rs_m, word_i.rs_a, mul_value_i[31:24]
  };

  // -- Parameters of the half that a stage holds ---------------------------------------------------

  function automatic parameters_t parameters_of(input logic bank, input logic second);
    for (int unsigned c = 0; c < FullLanes; c++) parameters_of[c] = parameter_i[bank][second?c+Upper : c];
  endfunction

  parameters_t add_parameter, multiply_parameter, round_parameter, clamp_parameter;
  assign add_parameter      = parameters_of(element_q[StageAdd].bank, element_q[StageAdd].second);
  assign multiply_parameter = parameters_of(element_q[StageMultiply].bank, element_q[StageMultiply].second);
  assign round_parameter    = parameters_of(element_q[StageRound].bank, element_q[StageRound].second);
  assign clamp_parameter    = parameters_of(element_q[StageClamp].bank, element_q[StageClamp].second);

  // -- Decode: bytes, codes or accumulators to integers --------------------------------------------

  logic [Lanes-1:0][31:0] acc_d, acc_q;
  logic signed [31:0] x0_q[Lanes];
  logic signed [7:0] b_q[FullLanes];
  logic [ChunkW-1:0] a_first, b_first;  // where the granules lie in the words, at multiples of their size
  logic a_codes, b_codes;

  always_comb begin
    acc_d = acc_i;
    if (element_i.second) for (int unsigned c = 0; c < FullLanes; c++) acc_d[c] = acc_i[c+Upper];
  end
  `FFGATED(acc, acc_q, acc_d, enable_i && issue_i && word_i.src_a == SourceAAcc)

  assign a_codes = word_i.fmt_a != FormatInt8;
  assign b_codes = word_i.fmt_b != FormatInt8;
  assign again_o = halved_i && valid_q[StageDecode] && !element_q[StageDecode].second;
  always_comb begin
    a_first = element_q[StageDecode].a_offset[2+:ChunkW];
    b_first = element_q[StageDecode].b_offset[2+:ChunkW];
    if (element_q[StageDecode].second) begin
      a_first = a_first + ChunkW'(a_codes ? Upper / 8 : Upper / 4);
      b_first = b_first + ChunkW'(b_codes ? Upper / 8 : Upper / 4);
    end
  end

  function automatic int32_t next_x0();
    logic [7:0] code;
    if (word_i.src_a == SourceAAcc) begin
      for (int unsigned c = 0; c < Lanes; c++) next_x0[c] = acc_q[c];
    end else if (a_codes) begin
      for (int unsigned c = 0; c < Lanes; c++) begin
        code = 8'(a_word_i[(a_first&CodesAt)+ChunkW'(c/8)] >> (4 * (c % 8)));
        next_x0[c] = 32'(decode_a_i[code[3:0]]);
      end
    end else begin
      for (int unsigned c = 0; c < Lanes; c++) begin
        code = 8'(a_word_i[(a_first&BytesAt)+ChunkW'(c/4)] >> (8 * (c % 4)));
        next_x0[c] = 32'($signed(code));
      end
    end
    for (int unsigned c = 0; c < Lanes; c++) next_x0[c] = next_x0[c] << word_i.a_shl;
  endfunction

  function automatic bytes_t next_b();
    logic [3:0] code;
    for (int unsigned c = 0; c < FullLanes; c++) begin
      code = 4'(b_word_i[(b_first&CodesAt)+ChunkW'(c/8)] >> (4 * (c % 8)));
      next_b[c] = 8'(decode_b_i[code]);
      if (!b_codes) next_b[c] = 8'(b_word_i[(b_first&BytesAt)+ChunkW'(c/4)] >> (8 * (c % 4)));
    end
  endfunction

  `FFGATED(x0, x0_q, next_x0(), advance[StageDecode] && !scalar)
  `FFGATED(b, b_q, next_b(), advance[StageDecode] && use_b)

  // -- Add -----------------------------------------------------------------------------------------

  coefficients_t coefficients_q[FullLanes];
  place_t place_q[FullLanes];
  value_t value_q[FullLanes];
  logic signed [31:0] x_q[Lanes];
  logic signed [16:0] operand_q[FullLanes];  // of the second multiplication: B + b_add, or F

  assign add_read_o = advance[StageDecode] && (scalar || word_i.addend == AddendRow);
  assign mul_read_o = advance[StageDecode] && word_i.mul == MultiplyRow;
  assign read_row_o = element_q[StageDecode].row[RowW-1:0];

  function automatic int32_t next_x();
    logic signed [31:0] addend, a;
    addend = '0;
    if (word_i.addend == AddendRow) addend = -add_value_i;
    if (word_i.addend == AddendImm) addend = word_i.imm_add;
    for (int unsigned c = 0; c < Lanes; c++) begin
      a = (scalar && c == 0) ? add_value_i : x0_q[c];
      next_x[c] = a + ((biased && c < FullLanes) ? add_parameter[c%FullLanes].bias : addend);
    end
  endfunction

  function automatic int17_t next_operand();
    if (use_b) for (int unsigned c = 0; c < FullLanes; c++) next_operand[c] = 17'(b_q[c]) + 17'(word_i.b_add);
    else for (int unsigned c = 0; c < FullLanes; c++) next_operand[c] = 17'(lane_finish(exp2n, value_q[c]));
  endfunction

  `FFGATED(x, x_q, next_x(), advance[StageAdd])
  `FFGATED(operand, operand_q, next_operand(), use_b ? advance[StageAdd] : advance[StageFinish] && !scalar)

  // -- Multiply ------------------------------------------------------------------------------------

  logic signed [47:0] product_q[Lanes];
  logic signed [9:0] count_d, count_q;  // shift, unless every lane has its own

  assign mul_take_o = advance[StageAdd] && word_i.mul == MultiplyRow;

  function automatic int48_t next_product();
    logic signed [15:0] common, narrow, factor;
    logic signed [31:0] x;
    common = 16'sd1;
    if (word_i.mul == MultiplyImm) common = word_i.imm_m;
    if (word_i.mul == MultiplyRow) common = mul_value_i[15:0];
    for (int unsigned c = 0; c < Lanes; c++) begin
      narrow = sat16(48'(x_q[c]));
      x = square ? 32'(narrow) : x_q[c];
      factor = square ? narrow : common;
      if (c < FullLanes) begin
        if (times_b) factor = sat16(48'(operand_q[c%FullLanes]));
        if (param) factor = multiply_parameter[c%FullLanes].mult;
      end
      next_product[c] = times32(x, factor);
    end
  endfunction

  always_comb begin
    unique case (word_i.mul)
      MultiplyImm, MultiplySquare, MultiplyB: count_d = 10'(word_i.imm_s);
      MultiplyRow: count_d = $signed({2'b00, mul_value_i[23:16]}) + 10'(word_i.imm_s);
      default: count_d = '0;
    endcase
  end

  `FFGATED(product, product_q, next_product(), advance[StageMultiply])
  `FFLNR(count_q, count_d, advance[StageMultiply])

  // -- Round and saturate --------------------------------------------------------------------------

  logic signed [31:0] y_q[Lanes];  // with side SCALE_F: saturated to 16 bits

  function automatic int32_t next_y();
    logic signed [9:0] count;
    for (int unsigned c = 0; c < Lanes; c++) begin
      count = count_q;
      if (param && c < FullLanes) count = $signed({2'b00, round_parameter[c%FullLanes].shift});
      next_y[c] = rshift_sat(product_q[c], count, scaled);
    end
  endfunction

  `FFGATED(y, y_q, next_y(), advance[StageRound])

  // -- Function ------------------------------------------------------------------------------------

  logic [31:0] packed_scalar;

  function automatic coefficients_a next_coefficients();
    for (int unsigned c = 0; c < FullLanes; c++) begin
      next_coefficients[c] = lane_coefficients(exp2n, y_q[c][15:0]);
    end
  endfunction

  function automatic places_a next_place();
    for (int unsigned c = 0; c < FullLanes; c++) next_place[c] = lane_place(exp2n, y_q[c][15:0]);
  endfunction

  function automatic values_a next_value();
    for (int unsigned c = 0; c < FullLanes; c++) next_value[c] = lane_value(coefficients_q[c], place_q[c]);
  endfunction

  `FFGATED(coefficients, coefficients_q, next_coefficients(), advance[StageLookup] && !scalar)
  `FFGATED(place, place_q, next_place(), advance[StageLookup] && !scalar)
  `FFGATED(value, value_q, next_value(), advance[StageSquare] && !scalar)

  vpu_row_function u_row_function (
      .clk_i,
      .enable_i(enable_i && scalar),
      .valid_i (valid_q[StageLookup+:4]),
      .root_i  (word_i.fn == FunctionRsqrt),
      .y_i     (y_q[0]),
      .packed_o(packed_scalar)
  );

  // -- Second multiplication: of B beside the first one, with SCALE_F behind the function ----------

  logic signed [32:0] product2_q[FullLanes];
  logic signed [31:0] side_q[FullLanes];

  function automatic int33_t next_product2();
    logic signed [16:0] operand;
    for (int unsigned c = 0; c < FullLanes; c++) begin
      operand = (scaled && !function_used) ? 17'(y_q[c]) : operand_q[c];
      next_product2[c] = times17(operand, word_i.b_m);
    end
  endfunction

  function automatic sides_t next_side();
    for (int unsigned c = 0; c < FullLanes; c++) begin
      next_side[c] = rshift_sat(48'(product2_q[c]), $signed({4'd0, word_i.b_s}), 1'b0);
    end
  endfunction

  `FFGATED(product2, product2_q, next_product2(),
           beside ? advance[StageMultiply] : advance[StageMultiply2] && !scalar)
  `FFGATED(side, side_q, next_side(), beside ? advance[StageRound] : advance[StageRound2])

  // -- Add, round and clamp ------------------------------------------------------------------------

  logic signed [15:0] v_q[Lanes];

  logic crossed;  // the upper bound lies below the lower one, and counts alone
  assign crossed = word_i.lo > word_i.hi;

  function automatic int16_t next_v();
    logic signed [15:0] zero;
    logic signed [31:0] z;
    logic signed [33:0] shifted;
    logic signed [32:0] both, sum;  // of both operands; or below zero if the second one is not less
    for (int unsigned c = 0; c < Lanes; c++) begin
      z = y_q[c];
      zero = word_i.out_add;
      if (c < FullLanes) begin
        both = 33'(y_q[c]) + (largest ? ~33'(side_q[c%FullLanes]) : 33'(side_q[c%FullLanes]));
        if (scaled || (largest && both[32])) z = side_q[c%FullLanes];
        else if (summed) z = both[32] != both[31] ? {both[32], {31{!both[32]}}} : both[31:0];
        if (word_i.zp_param) zero = 16'(clamp_parameter[c%FullLanes].zero);
      end
      shifted = 34'(shift_above(48'(z), $signed({6'd0, word_i.z_s})));  // rounded with the sum
      sum = $signed(shifted[33:1]) + 33'(zero) + $signed({32'd0, shifted[0]});
      next_v[c] = sum[15:0];
      if (sum < 33'(word_i.lo)) next_v[c] = word_i.lo;
      if (sum > 33'(word_i.hi) || crossed) next_v[c] = word_i.hi;
    end
  endfunction

  `FFGATED(v, v_q, next_v(), advance[StageClamp] && !scalar)

  assign scalar_valid_o = advance[StageClamp] && scalar;
  assign scalar_row_o   = element_q[StageClamp].row[RowW-1:0];
  assign scalar_value_o = function_used ? packed_scalar : y_q[0];

  // -- Encode --------------------------------------------------------------------------------------

  logic signed [15:0] e_q[Lanes];

  // The thresholds rise: each comparison halves those that may be the next one.
  function automatic int16_t next_e();
    logic [3:0] code;
    next_e = v_q;
    if (word_i.encode) begin
      for (int unsigned c = 0; c < FullLanes; c++) begin
        code = '0;
        for (int unsigned b = 0; b < 4; b++) begin
          if (v_q[c] >= threshold_i[code|(4'd7>>b)]) code = code | 4'(8 >> b);
        end
        next_e[c] = 16'(code);
      end
    end
  endfunction

  `FFGATED(e, e_q, next_e(), advance[StageEncode])

  assign result_valid_o   = advance[StagePack];
  assign result_element_o = element_q[StagePack];
  always_comb begin  // a half is offered at both places
    result_o = e_q;
    if (halved_i) for (int unsigned c = 0; c < FullLanes; c++) result_o[c+Upper] = e_q[c];
  end

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_lanes(Lanes) && Lanes <= Depth)
  `CHECK_PARAMETER(FullInRange, chip_pkg::legal_full(FullLanes, Lanes))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
endmodule

`default_nettype wire
