// Vector engine: runs VECTOR instructions (docs/numerics.md, VECTOR), a group of C elements a cycle.
// Sources are accumulator rows, the scratchpad (two streams) and the lanes' parameters; results go to the
// scratchpad and to the row scalars. See docs/architecture.md for retirement, traps, cycle classes and the signature.
// Over 400 lines because it wires a dozen parts, each in a file of its own; a level between would pass the same ports.

`include "assertions.svh"
`include "registers.svh"

module vpu
  import chip_pkg::*;
  import isa_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Depth     = 16,     // bytes of a scratchpad word (D)
    parameter int unsigned Cols      = 8,      // lanes (C)
    parameter int unsigned Rows      = 64,     // most pixels of a block (R)
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    parameter int unsigned ProgWords = 64,     // microwords of the program store
    parameter int unsigned Tables    = 8,      // code tables
    localparam int unsigned AddrW    = $clog2(SpadWords),
    localparam int unsigned ProgAddrW = $clog2(ProgWords * MicrowordBytes / Depth)
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    // engine port
    input  logic                          instr_valid_i,
    input  vector_t                       instr_i,
    output logic                          instr_ready_o,
    input  logic                          token_wait_i,
    output logic                          retire_o,
    output logic        [           31:0] retire_sig_o,
    output logic                          fault_o,
    output trap_e                         fault_cause_o,
    input  logic                          stop_i,
    output logic                          idle_o,
    output logic        [ VpuClasses-1:0] class_o,
    // scratchpad: streams A and B, parameters, destination
    output logic                          a_rreq_o,
    output logic        [      AddrW-1:0] a_raddr_o,
    input  logic                          a_rgnt_i,
    input  logic        [    8*Depth-1:0] a_rdata_i,
    output logic                          b_rreq_o,
    output logic        [      AddrW-1:0] b_raddr_o,
    input  logic                          b_rgnt_i,
    input  logic        [    8*Depth-1:0] b_rdata_i,
    output logic                          p_rreq_o,
    output logic        [      AddrW-1:0] p_raddr_o,
    input  logic                          p_rgnt_i,
    input  logic        [    8*Depth-1:0] p_rdata_i,
    output logic                          wreq_o,
    output logic        [      AddrW-1:0] waddr_o,
    output logic        [      Depth-1:0] wbe_o,
    output logic        [    8*Depth-1:0] wdata_o,
    input  logic                          wgnt_i,
    // accumulator rows
    input  logic                          acc_valid_i,
    input  logic        [Cols-1:0][31:0] acc_data_i,
    output logic                          acc_ready_o,
    // code tables
    input  logic signed [            7:0] decode_i[Tables][16],
    input  logic signed [           15:0] threshold_i[Tables][15],
    // program store
    input  logic                          prog_we_i,
    input  logic        [  ProgAddrW-1:0] prog_addr_i,
    input  logic        [    8*Depth-1:0] prog_wdata_i
);
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned ProgW = $clog2(ProgWords);
  localparam int unsigned WordShift = $clog2(Depth);
  localparam int unsigned LaneW = $clog2(Cols);

  typedef logic signed [7:0] decode_t[16];
  typedef logic signed [15:0] threshold_t[15];

  // -- Sequencer -----------------------------------------------------------------------------------

  vector_t instr;
  microword_t word, fetched;
  logic start, waiting, stopped, setup, prog_read, drained, issue;
  logic [ProgW-1:0] prog_index;
  logic [7:0] row;
  logic [13:0] group, next_group;
  logic bank, ahead, first_group, last_group, row_end, block_end, next_block;
  logic element_fault;
  trap_e element_cause;

  vpu_sequencer #(
      .Cols(Cols),
      .ProgWords(ProgWords)
  ) u_sequencer (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_i,
      .instr_ready_o,
      .stop_i,
      .start_o(start),
      .retire_o,
      .fault_o,
      .fault_cause_o,
      .waiting_o(waiting),
      .stopped_o(stopped),
      .instr_o(instr),
      .word_o(word),
      .setup_o(setup),
      .read_o(prog_read),
      .index_o(prog_index),
      .microword_i(fetched),
      .drained_i(drained),
      .issue_i(issue),
      .element_fault_i(element_fault),
      .element_cause_i(element_cause),
      .row_o(row),
      .group_o(group),
      .bank_o(bank),
      .ahead_o(ahead),
      .next_group_o(next_group),
      .first_group_o(first_group),
      .last_group_o(last_group),
      .row_end_o(row_end),
      .block_end_o(block_end),
      .advance_o(next_block)
  );

  vpu_program_store #(
      .Depth(Depth),
      .ProgWords(ProgWords)
  ) u_program_store (
      .clk_i,
      .prog_we_i,
      .prog_addr_i,
      .prog_wdata_i,
      .read_i(prog_read),
      .index_i(prog_index),
      .microword_o(fetched)
  );

  // -- What the microword in hand needs ------------------------------------------------------------

  logic vector_kind, use_acc, use_a, use_b, use_d, use_param;
  decode_t decode_a_q, decode_b_q, decode_e_q;
  threshold_t threshold_q;
  logic [Cols-1:0] tail;

  assign vector_kind = word.kind == KindVector;
  assign use_acc     = vector_kind && word.src_a == SourceAAcc;
  assign use_a       = vector_kind && word.src_a == SourceASpad;
  assign use_b       = vector_kind && word.side == SideAddB;
  assign use_d       = vector_kind && word.dst != DestinationNone;
  assign use_param   = vector_kind &&
                       (word.addend == AddendBias || word.mul == MultiplyParam || word.zp_param);

  // Plain codes stand for themselves.
  function automatic decode_t next_decode(input logic [1:0] format, input logic [2:0] code_table);
    for (int unsigned i = 0; i < 16; i++) begin
      next_decode[i] = format == FormatUint4 ? 8'(i) : decode_i[code_table][i];
    end
  endfunction

  `FFLNR(decode_a_q, next_decode(word.fmt_a, word.table_a), setup)
  `FFLNR(decode_b_q, next_decode(word.fmt_b, word.table_b), setup)
  `FFLNR(decode_e_q, next_decode(FormatTable4, word.table_e), setup)
  `FFLNR(threshold_q, threshold_i[word.table_e], setup)

  // Lanes of the last group that count.
  assign tail = instr.n[LaneW-1:0] == '0 ? '1 : ~({Cols{1'b1}} << instr.n[LaneW-1:0]);

  // -- Addresses -----------------------------------------------------------------------------------

  logic [ByteW-1:0] a_addr, b_addr, d_addr;
  logic [2:0] misaligned, outside;

  vpu_stream_address #(
      .Cols(Cols),
      .Depth(Depth),
      .SpadWords(SpadWords)
  ) u_a_address (
      .clk_i,
      .rst_ni,
      .start_i(start),
      .base_i(instr_i.a),
      .row_stride_i(instr.a_row),
      .pix_stride_i(instr.a_pix),
      .half_i(word.fmt_a != FormatInt8),
      .double_i(1'b0),
      .step_i(issue),
      .row_end_i(row_end),
      .block_end_i(block_end),
      .first_group_i(first_group),
      .last_group_i(last_group),
      .advance_i(next_block),
      .addr_o(a_addr),
      .misaligned_o(misaligned[0]),
      .outside_o(outside[0])
  );

  vpu_stream_address #(
      .Cols(Cols),
      .Depth(Depth),
      .SpadWords(SpadWords)
  ) u_b_address (
      .clk_i,
      .rst_ni,
      .start_i(start),
      .base_i(instr_i.b),
      .row_stride_i(instr.b_row),
      .pix_stride_i(instr.b_pix),
      .half_i(word.fmt_b != FormatInt8),
      .double_i(1'b0),
      .step_i(issue),
      .row_end_i(row_end),
      .block_end_i(block_end),
      .first_group_i(first_group),
      .last_group_i(last_group),
      .advance_i(next_block),
      .addr_o(b_addr),
      .misaligned_o(misaligned[1]),
      .outside_o(outside[1])
  );

  vpu_stream_address #(
      .Cols(Cols),
      .Depth(Depth),
      .SpadWords(SpadWords)
  ) u_d_address (
      .clk_i,
      .rst_ni,
      .start_i(start),
      .base_i(instr_i.d),
      .row_stride_i(instr.d_row),
      .pix_stride_i(instr.d_pix),
      .half_i(word.dst == DestinationNibble),
      .double_i(word.dst == DestinationInt16),
      .step_i(issue),
      .row_end_i(row_end),
      .block_end_i(block_end),
      .first_group_i(first_group),
      .last_group_i(last_group),
      .advance_i(next_block),
      .addr_o(d_addr),
      .misaligned_o(misaligned[2]),
      .outside_o(outside[2])
  );

  // -- Operands ------------------------------------------------------------------------------------

  logic enable, a_ready, b_ready, param_ready, param_outside, param_idle, address_fault, sound, operands;
  logic [1:0] bank_busy;
  logic [2:0] used;
  logic [8*Depth-1:0] a_word, b_word;
  parameter_t parameters[2][Cols];

  assign used          = {use_d, use_b, use_a};
  assign address_fault = |(used & (misaligned | outside));
  assign element_fault = (!use_param || param_ready) && (address_fault || (use_param && param_outside));
  assign sound         = !address_fault && (!use_param || (param_ready && !param_outside));
  assign element_cause = |(used & misaligned) ? TrapAlignment : TrapRange;

  vpu_read_port #(
      .Depth(Depth),
      .AddrW(AddrW)
  ) u_a_port (
      .clk_i,
      .rst_ni,
      .need_i(waiting && use_a && sound),
      .addr_i(a_addr[WordShift+:AddrW]),
      .ready_o(a_ready),
      .issue_i(issue),
      .enable_i(enable),
      .word_o(a_word),
      .rreq_o(a_rreq_o),
      .raddr_o(a_raddr_o),
      .rgnt_i(a_rgnt_i),
      .rdata_i(a_rdata_i)
  );

  vpu_read_port #(
      .Depth(Depth),
      .AddrW(AddrW)
  ) u_b_port (
      .clk_i,
      .rst_ni,
      .need_i(waiting && use_b && sound),
      .addr_i(b_addr[WordShift+:AddrW]),
      .ready_o(b_ready),
      .issue_i(issue),
      .enable_i(enable),
      .word_o(b_word),
      .rreq_o(b_rreq_o),
      .raddr_o(b_raddr_o),
      .rgnt_i(b_rgnt_i),
      .rdata_i(b_rdata_i)
  );

  vpu_parameters #(
      .Depth(Depth),
      .Cols(Cols),
      .SpadWords(SpadWords)
  ) u_parameters (
      .clk_i,
      .rst_ni,
      .clear_i(start),
      .use_i(use_param && (setup || waiting)),
      .base_i(instr.param),
      .group_i(group),
      .bank_i(bank),
      .ahead_i(ahead),
      .next_group_i(next_group),
      .bank_busy_i(bank_busy),
      .ready_o(param_ready),
      .outside_o(param_outside),
      .idle_o(param_idle),
      .parameter_o(parameters),
      .rreq_o(p_rreq_o),
      .raddr_o(p_raddr_o),
      .rgnt_i(p_rgnt_i),
      .rdata_i(p_rdata_i)
  );

  // -- Issue ---------------------------------------------------------------------------------------

  element_t element;
  assign element = '{
          row: row,
          first: first_group,
          last: last_group,
          bank: bank,
          a_offset: 8'(a_addr[WordShift-1:0]),
          b_offset: 8'(b_addr[WordShift-1:0]),
          dest: d_addr
      };

  assign operands = waiting && sound && !stop_i && enable && a_ready && b_ready;
  assign issue = operands && (!use_acc || acc_valid_i);
  assign acc_ready_o = operands && use_acc;

  always_comb begin
    class_o = '0;
    if (waiting) begin
      if (issue) class_o[ClassActive] = 1'b1;
      else if (use_param && !param_ready) class_o[VpuClassParam] = 1'b1;
      else if (use_acc && !acc_valid_i) class_o[VpuClassAcc] = 1'b1;
      else if (element_fault || stop_i) class_o[VpuClassFill] = 1'b1;
      else class_o[VpuClassSpad] = 1'b1;
    end else if (stopped && drained && !start) begin
      if (token_wait_i) class_o[ClassToken] = 1'b1;
      else class_o[ClassEmpty] = 1'b1;
    end else begin
      class_o[VpuClassFill] = 1'b1;
    end
  end

  // -- Lanes ---------------------------------------------------------------------------------------

  logic lanes_idle, scalar_valid, result_valid;
  logic [RowW-1:0] add_row, mul_row, scalar_row;
  logic signed [31:0] add_value, mul_value, scalar_value, reduced;
  element_t result_element;
  logic signed [15:0] result[Cols];
  logic [Cols-1:0] result_lanes;

  vpu_lanes #(
      .Depth(Depth),
      .Cols(Cols),
      .Rows(Rows)
  ) u_lanes (
      .clk_i,
      .rst_ni,
      .enable_i(enable),
      .word_i(word),
      .decode_a_i(decode_a_q),
      .decode_b_i(decode_b_q),
      .threshold_i(threshold_q),
      .issue_i(issue),
      .element_i(element),
      .acc_i(acc_data_i),
      .a_word_i(a_word),
      .b_word_i(b_word),
      .parameter_i(parameters),
      .add_row_o(add_row),
      .add_value_i(add_value),
      .mul_row_o(mul_row),
      .mul_value_i(mul_value),
      .scalar_valid_o(scalar_valid),
      .scalar_row_o(scalar_row),
      .scalar_value_o(scalar_value),
      .result_valid_o(result_valid),
      .result_element_o(result_element),
      .result_o(result),
      .bank_busy_o(bank_busy),
      .idle_o(lanes_idle)
  );

  assign result_lanes = result_element.last ? tail : '1;

  // -- Results -------------------------------------------------------------------------------------

  logic scalars_idle, write_idle, reduce_valid;

  assign reduce_valid = result_valid && word.reduce != ReduceNone;

  vpu_reduce #(
      .Cols(Cols)
  ) u_reduce (
      .enable_i(reduce_valid),
      .reduce_i(reduce_e'(word.reduce)),
      .encode_i(word.encode),
      .decode_i(decode_e_q),
      .valid_i (result_lanes),
      .lanes_i (result),
      .result_o(reduced)
  );

  vpu_row_scalars #(
      .Rows(Rows)
  ) u_row_scalars (
      .clk_i,
      .rst_ni,
      .add_select_i(word.rs_a),
      .add_row_i(add_row),
      .add_value_o(add_value),
      .mul_select_i(word.rs_m),
      .mul_row_i(mul_row),
      .mul_value_o(mul_value),
      .write_i(reduce_valid || scalar_valid),
      .set_i(scalar_valid || result_element.first),
      .reduce_i(reduce_e'(word.reduce)),
      .select_i(word.rs_d),
      .row_i(scalar_valid ? scalar_row : result_element.row[RowW-1:0]),
      .value_i(scalar_valid ? scalar_value : reduced),
      .idle_o(scalars_idle)
  );

  vpu_write #(
      .Depth(Depth),
      .Cols(Cols),
      .SpadWords(SpadWords)
  ) u_write (
      .clk_i,
      .rst_ni,
      .clear_i(start),
      .valid_i(result_valid && use_d),
      .ready_o(enable),
      .destination_i(destination_e'(word.dst)),
      .dest_i(result_element.dest),
      .lanes_valid_i(result_lanes),
      .lanes_i(result),
      .idle_o(write_idle),
      .signature_o(retire_sig_o),
      .wreq_o,
      .waddr_o,
      .wbe_o,
      .wdata_o,
      .wgnt_i
  );

  assign drained = lanes_idle && scalars_idle && write_idle && param_idle;
  assign idle_o  = stopped && drained;

  `ASSERT_STABLE(WriteStable, wreq_o, wgnt_i, {waddr_o, wbe_o, wdata_o})
  `ASSERT_STABLE(ReadAStable, a_rreq_o, a_rgnt_i || stop_i, a_raddr_o)
  `ASSERT_STABLE(ReadBStable, b_rreq_o, b_rgnt_i || stop_i, b_raddr_o)
  `ASSERT_STABLE(ReadPStable, p_rreq_o, p_rgnt_i, p_raddr_o)
  `ASSERT_ALWAYS(OneClass, $onehot(class_o))

  logic unused_instr;
  assign unused_instr = ^{
    instr.unused, instr.opcode, instr.wait_load, instr.wait_mxu, instr.wait_vpu, instr.wait_store,
    instr.a, instr.b, instr.d, instr.prog, instr.prog_len, instr.h, instr.w, instr.block, word.unused,
    a_addr[ByteW-1:WordShift+AddrW], b_addr[ByteW-1:WordShift+AddrW],
    result_element.bank, result_element.a_offset, result_element.b_offset, result_element.row
  };
endmodule
