// The pipeline of all lanes: what VECTOR and SCALAR microwords compute, one group of C elements a cycle.
// It moves as a whole (`enable_i`) under one microword; stages without use for that microword are skipped.
// Every stage's arithmetic is a function that is evaluated only when the stage holds something.

`include "registers.svh"

module vpu_lanes
  import isa_pkg::*;
  import arith_pkg::*;
  import function_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned Cols  = 8,   // lanes
    parameter int unsigned Rows  = 64,  // pixels of a block
    localparam int unsigned RowW = $clog2(Rows)
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic                          enable_i,
    input  microword_t                    word_i,              // in force while anything is in the pipeline
    input  logic signed [            7:0] decode_a_i[16],
    input  logic signed [            7:0] decode_b_i[16],
    input  logic signed [           15:0] threshold_i[15],
    input  logic                          issue_i,             // a group enters
    input  element_t                      element_i,
    input  logic        [Cols-1:0][31:0] acc_i,               // its accumulators, with src_a ACC
    input  logic        [    8*Depth-1:0] a_word_i,            // words of the group in the decode stage
    input  logic        [    8*Depth-1:0] b_word_i,
    input  logic signed [           31:0] bias_i[2][Cols],
    input  logic signed [           15:0] mult_i[2][Cols],
    input  logic        [            7:0] shift_i[2][Cols],
    input  logic signed [            7:0] zero_i[2][Cols],
    output logic        [       RowW-1:0] add_row_o,      // row scalars: the add and the multiply stage
    input  logic signed [           31:0] add_value_i,
    output logic        [       RowW-1:0] mul_row_o,
    input  logic signed [           31:0] mul_value_i,
    output logic                          scalar_valid_o,      // result of a SCALAR microword
    output logic        [       RowW-1:0] scalar_row_o,
    output logic signed [           31:0] scalar_value_o,
    output logic                          result_valid_o,      // result of a VECTOR microword
    output element_t                      result_element_o,
    output logic signed [           15:0] result_o[Cols],
    output logic        [            1:0] bank_busy_o,         // the parameter buffer is in use
    output logic                          idle_o
);
  localparam int unsigned AtGranule = $clog2(Cols);
  localparam int unsigned Chunks = Cols / 4;  // 32-bit words of an INT8 granule

  typedef logic signed [7:0] bytes_t[Cols];
  typedef logic signed [9:0] int10_t[Cols];
  typedef logic signed [15:0] int16_t[Cols];
  typedef logic signed [16:0] int17_t[Cols];
  typedef logic signed [31:0] int32_t[Cols];
  typedef logic signed [32:0] int33_t[Cols];
  typedef logic signed [47:0] int48_t[Cols];
  typedef coefficients_t coefficients_a[Cols];
  typedef place_t places_a[Cols];
  typedef value_t values_a[Cols];

  // -- Control: which stages hold something, and what ----------------------------------------------

  logic [Stages-1:0] valid_d, valid_q, advance;
  element_t element_q[Stages];
  logic scalar, scaled, function_used, add_b, exp2n;

  assign scalar        = word_i.kind == KindScalar;
  assign scaled        = !scalar && word_i.side == SideScaleF;
  assign add_b         = !scalar && word_i.side == SideAddB;
  assign function_used = (scaled || scalar) && word_i.fn != FunctionIdent;
  assign exp2n         = word_i.fn == FunctionExp2n;

  always_comb begin
    valid_d = '0;
    valid_d[StageDecode]    = issue_i;
    valid_d[StageAdd]       = valid_q[StageDecode];
    valid_d[StageMultiply]  = valid_q[StageAdd];
    valid_d[StageRound]     = valid_q[StageMultiply];
    valid_d[StageLookup]    = valid_q[StageRound] && function_used;
    valid_d[StageSquare]    = valid_q[StageLookup];
    valid_d[StageFinish]    = valid_q[StageSquare];
    valid_d[StageMultiply2] = valid_q[StageFinish] || (valid_q[StageRound] && scaled && !function_used);
    valid_d[StageRound2]    = valid_q[StageMultiply2] && !scalar;
    valid_d[StageClamp]     = valid_q[StageRound2] || (valid_q[StageMultiply2] && scalar) ||
                              (valid_q[StageRound] && !scaled && !function_used);
    valid_d[StageEncode]    = valid_q[StageClamp] && !scalar;
    valid_d[StagePack]      = valid_q[StageEncode];
  end
  `FFL(valid_q, valid_d, enable_i, '0)

  assign advance = enable_i ? valid_q : '0;
  assign idle_o  = valid_q == '0;

  `FFLNR(element_q[StageDecode], element_i, enable_i && issue_i)
  for (genvar s = 1; s < Stages; s++) begin : gen_element
    element_t previous;
    if (s == StageMultiply2) begin : gen_multiply2
      assign previous = valid_q[StageFinish] ? element_q[StageFinish] : element_q[StageRound];
    end else if (s == StageClamp) begin : gen_clamp
      assign previous = valid_q[StageRound2] ? element_q[StageRound2] :
          valid_q[StageMultiply2] ? element_q[StageMultiply2] : element_q[StageRound];
    end else begin : gen_next
      assign previous = element_q[s-1];
    end
    `FFLNR(element_q[s], previous, enable_i && valid_d[s])
  end

  always_comb begin
    bank_busy_o = '0;
    for (int unsigned s = 0; s <= StageClamp; s++) if (valid_q[s]) bank_busy_o[element_q[s].bank] = 1'b1;
  end

  // The microword's other fields are used around this module.
  logic unused_fields;
  assign unused_fields = ^{
    word_i.unused, word_i.rs_d, word_i.reduce, word_i.dst, word_i.table_e, word_i.table_b, word_i.table_a,
    word_i.rs_m, word_i.rs_a, mul_value_i[31:24]
  };

  // -- Decode: bytes, codes or accumulators to integers --------------------------------------------

  logic [Cols-1:0][31:0] acc_q;
  logic [Chunks-1:0][31:0] a_granule, b_granule;
  logic signed [31:0] x0_q[Cols];
  logic signed [7:0] b_q[Cols];

  `FFLNR(acc_q, acc_i, enable_i && issue_i && word_i.src_a == SourceAAcc)

  logic [7:0] a_at, b_at;  // bytes in the words
  assign a_at = element_q[StageDecode].a_offset;
  assign b_at = element_q[StageDecode].b_offset;

  // The granule of an INT8 stream; the four-bit formats use its lower or upper half.
  if (Depth == Cols) begin : gen_whole
    assign a_granule = a_word_i;
    assign b_granule = b_word_i;
  end else begin : gen_half
    assign a_granule = a_at[AtGranule] ? a_word_i[8*Cols+:8*Cols] : a_word_i[0+:8*Cols];
    assign b_granule = b_at[AtGranule] ? b_word_i[8*Cols+:8*Cols] : b_word_i[0+:8*Cols];
  end

  function automatic bytes_t decoded(input logic [Chunks-1:0][31:0] granule, input logic nibbles,
                                     input logic upper, input logic signed [7:0] codes[16]);
    bytes_t out;
    logic [31:0] chunk;
    for (int unsigned i = 0; i < Chunks; i++) begin
      chunk = granule[i];
      for (int unsigned k = 0; k < 4; k++) out[4*i+k] = chunk[8*k+:8];
    end
    if (nibbles) begin
      for (int unsigned c = 0; c < Cols; c++) begin
        chunk = granule[(upper ? Chunks / 2 : 0) + c/8] >> (4 * (c % 8));
        out[c] = codes[chunk[3:0]];
      end
    end
    return out;
  endfunction

  function automatic int32_t next_x0();
    int32_t next;
    bytes_t a;
    if (word_i.src_a == SourceAAcc) begin
      for (int unsigned c = 0; c < Cols; c++) next[c] = acc_q[c];
    end else begin
      a = decoded(a_granule, word_i.fmt_a != FormatInt8, a_at[AtGranule-1], decode_a_i);
      for (int unsigned c = 0; c < Cols; c++) next[c] = 32'(a[c]);
    end
    for (int unsigned c = 0; c < Cols; c++) next[c] = next[c] << word_i.a_shl;
    return next;
  endfunction

  `FFLNR(x0_q, next_x0(), advance[StageDecode] && !scalar)
  `FFLNR(b_q, decoded(b_granule, word_i.fmt_b != FormatInt8, b_at[AtGranule-1], decode_b_i),
         advance[StageDecode] && add_b)

  // -- Add -----------------------------------------------------------------------------------------

  coefficients_t coefficients_q[Cols];
  place_t place_q[Cols];
  value_t value_q[Cols];
  logic signed [31:0] x_q[Cols];
  logic signed [16:0] operand_q[Cols];  // of the second multiplication: B + b_add, or F

  assign add_row_o = element_q[StageAdd].row[RowW-1:0];

  function automatic int32_t next_x();
    int32_t next, a, addend;
    a = x0_q;
    if (scalar) a[0] = add_value_i;
    unique case (word_i.addend)
      AddendBias: addend = bias_i[element_q[StageAdd].bank];
      AddendRow: for (int unsigned c = 0; c < Cols; c++) addend[c] = -add_value_i;
      AddendImm: for (int unsigned c = 0; c < Cols; c++) addend[c] = word_i.imm_add;
      default: for (int unsigned c = 0; c < Cols; c++) addend[c] = '0;
    endcase
    for (int unsigned c = 0; c < Cols; c++) next[c] = a[c] + addend[c];
    return next;
  endfunction

  function automatic int17_t next_operand();
    int17_t next;
    if (add_b) for (int unsigned c = 0; c < Cols; c++) next[c] = 17'(b_q[c]) + 17'(word_i.b_add);
    else for (int unsigned c = 0; c < Cols; c++) next[c] = 17'(lane_finish(exp2n, value_q[c]));
    return next;
  endfunction

  `FFLNR(x_q, next_x(), advance[StageAdd])
  `FFLNR(operand_q, next_operand(), add_b ? advance[StageAdd] : advance[StageFinish] && !scalar)

  // -- Multiply ------------------------------------------------------------------------------------

  logic signed [47:0] product_q[Cols];
  logic signed [9:0] count_d, count_q;  // shift, unless every lane has its own

  assign mul_row_o = element_q[StageMultiply].row[RowW-1:0];

  function automatic int48_t next_product();
    int48_t next;
    int32_t x;
    int16_t factor;
    x = x_q;
    unique case (word_i.mul)
      MultiplyParam: factor = mult_i[element_q[StageMultiply].bank];
      MultiplyImm: for (int unsigned c = 0; c < Cols; c++) factor[c] = word_i.imm_m;
      MultiplyRow: for (int unsigned c = 0; c < Cols; c++) factor[c] = mul_value_i[15:0];
      MultiplySquare: begin
        for (int unsigned c = 0; c < Cols; c++) factor[c] = sat16(48'(x_q[c]));
        for (int unsigned c = 0; c < Cols; c++) x[c] = 32'(factor[c]);
      end
      default: for (int unsigned c = 0; c < Cols; c++) factor[c] = 16'sd1;
    endcase
    for (int unsigned c = 0; c < Cols; c++) next[c] = x[c] * factor[c];
    return next;
  endfunction

  always_comb begin
    unique case (word_i.mul)
      MultiplyImm, MultiplySquare: count_d = 10'(word_i.imm_s);
      MultiplyRow:                 count_d = $signed({2'b00, mul_value_i[23:16]}) + 10'(word_i.imm_s);
      default:                     count_d = '0;
    endcase
  end

  `FFLNR(product_q, next_product(), advance[StageMultiply])
  `FFLNR(count_q, count_d, advance[StageMultiply])

  // -- Round and saturate --------------------------------------------------------------------------

  logic signed [31:0] y_q[Cols];  // with side SCALE_F: saturated to 16 bits

  function automatic int32_t next_y();
    int32_t next;
    int10_t count;
    int48_t rounded;
    if (word_i.mul == MultiplyParam) begin
      for (int unsigned c = 0; c < Cols; c++) begin
        count[c] = $signed({2'b00, shift_i[element_q[StageRound].bank][c]});
      end
    end else begin
      for (int unsigned c = 0; c < Cols; c++) count[c] = count_q;
    end
    for (int unsigned c = 0; c < Cols; c++) rounded[c] = rshift(product_q[c], count[c]);
    if (scaled) for (int unsigned c = 0; c < Cols; c++) next[c] = 32'(sat16(rounded[c]));
    else for (int unsigned c = 0; c < Cols; c++) next[c] = sat32(rounded[c]);
    return next;
  endfunction

  `FFLNR(y_q, next_y(), advance[StageRound])

  // -- Function ------------------------------------------------------------------------------------

  logic [31:0] packed_scalar;

  function automatic coefficients_a next_coefficients();
    coefficients_a next;
    for (int unsigned c = 0; c < Cols; c++) next[c] = lane_coefficients(exp2n, y_q[c][15:0]);
    return next;
  endfunction

  function automatic places_a next_place();
    places_a next;
    for (int unsigned c = 0; c < Cols; c++) next[c] = lane_place(exp2n, y_q[c][15:0]);
    return next;
  endfunction

  function automatic values_a next_value();
    values_a next;
    for (int unsigned c = 0; c < Cols; c++) next[c] = lane_value(coefficients_q[c], place_q[c]);
    return next;
  endfunction

  `FFLNR(coefficients_q, next_coefficients(), advance[StageLookup] && !scalar)
  `FFLNR(place_q, next_place(), advance[StageLookup] && !scalar)
  `FFLNR(value_q, next_value(), advance[StageSquare] && !scalar)

  vpu_row_function u_row_function (
      .clk_i,
      .enable_i(enable_i && scalar),
      .valid_i (valid_q[StageLookup+:4]),
      .root_i  (word_i.fn == FunctionRsqrt),
      .y_i     (y_q[0]),
      .packed_o(packed_scalar)
  );

  // -- Second multiplication: with ADD_B beside the first one, with SCALE_F behind the function ----

  logic signed [32:0] product2_q[Cols];
  logic signed [31:0] side_q[Cols];

  function automatic int33_t next_product2();
    int33_t next;
    int17_t operand;
    if (scaled && !function_used) for (int unsigned c = 0; c < Cols; c++) operand[c] = 17'(y_q[c]);
    else operand = operand_q;
    for (int unsigned c = 0; c < Cols; c++) next[c] = operand[c] * word_i.b_m;
    return next;
  endfunction

  function automatic int32_t next_side();
    int32_t next;
    for (int unsigned c = 0; c < Cols; c++) begin
      next[c] = sat32(rshift(48'(product2_q[c]), $signed({4'd0, word_i.b_s})));
    end
    return next;
  endfunction

  `FFLNR(product2_q, next_product2(), add_b ? advance[StageMultiply] : advance[StageMultiply2] && !scalar)
  `FFLNR(side_q, next_side(), add_b ? advance[StageRound] : advance[StageRound2])

  // -- Add and clamp -------------------------------------------------------------------------------

  logic signed [15:0] v_q[Cols];

  function automatic int16_t next_v();
    int16_t next;
    logic signed [31:0] z[Cols];
    logic signed [32:0] sum;
    if (scaled) z = side_q;
    else if (add_b) for (int unsigned c = 0; c < Cols; c++) z[c] = sat32(48'(y_q[c]) + 48'(side_q[c]));
    else z = y_q;
    for (int unsigned c = 0; c < Cols; c++) begin
      sum = 33'(z[c]) + 33'(word_i.zp_param ? 16'(zero_i[element_q[StageClamp].bank][c]) : word_i.out_add);
      if (sum < 33'(word_i.lo)) sum = 33'(word_i.lo);
      if (sum > 33'(word_i.hi)) sum = 33'(word_i.hi);
      next[c] = sum[15:0];
    end
    return next;
  endfunction

  `FFLNR(v_q, next_v(), advance[StageClamp] && !scalar)

  assign scalar_valid_o = advance[StageClamp] && scalar;
  assign scalar_row_o   = element_q[StageClamp].row[RowW-1:0];
  assign scalar_value_o = function_used ? packed_scalar : y_q[0];

  // -- Encode --------------------------------------------------------------------------------------

  logic signed [15:0] e_q[Cols];

  function automatic int16_t next_e();
    int16_t next;
    next = v_q;
    if (word_i.encode) begin
      for (int unsigned c = 0; c < Cols; c++) next[c] = '0;
      for (int unsigned i = 0; i < 15; i++) begin
        for (int unsigned c = 0; c < Cols; c++) next[c] = next[c] + 16'(v_q[c] >= threshold_i[i]);
      end
    end
    return next;
  endfunction

  `FFLNR(e_q, next_e(), advance[StageEncode])

  assign result_valid_o   = advance[StagePack];
  assign result_element_o = element_q[StagePack];
  assign result_o         = e_q;
endmodule
