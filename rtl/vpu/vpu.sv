// SPDX-License-Identifier: Apache-2.0
// Vector engine: runs VECTOR instructions (docs/numerics.md, VECTOR), a group of C elements a cycle.
// Sources are accumulator rows, the scratchpad (two streams) and the lanes' parameters; results go to the
// scratchpad and to the row scalars. See docs/architecture.md for retirement, traps, cycle classes and the signature.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu
  import chip_pkg::*;
  import isa_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Depth     = 16,     // bytes of a scratchpad word (D): 16, 32 or 64
    parameter int unsigned Cols      = 8,      // columns of the MXU (C): D or half of it
    parameter int unsigned Lanes     = 8,      // lanes: 8, 16, 32 or 64, C at most
    parameter int unsigned FullLanes = 8,      // of these, full ones (vpu_lanes): all or half
    parameter int unsigned Rows      = 64,     // most pixels of a block (R), 2 to 255
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    parameter int unsigned ProgWords = 64,     // microwords of the program store: 4 to 256, even
    parameter int unsigned Tables    = 8,      // code tables, 1 to 8
    localparam int unsigned ProgAddrW = $clog2(ProgWords * MicrowordBytes / Depth)
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic                          test_en_i,
    input  sram_pkg::pins_t               sram_pins_i,
    output sram_pkg::status_t             sram_status_o,
    input  port_pkg::engine_req_t         engine_i,
    input  isa_pkg::header_t              instr_i,
    output port_pkg::engine_rsp_t         engine_o,
    // scratchpad: streams A and B, parameters; destination
    output port_pkg::spad_req_t           read_o [3],
    input  logic                          rgnt_i [3],
    input  logic        [    8*Depth-1:0] rdata_i[3],
    output port_pkg::spad_req_t           write_o,
    output logic        [      Depth-1:0] wbe_o,
    output logic        [    8*Depth-1:0] wdata_o,
    input  logic                          wgnt_i,
    // accumulator rows
    input  logic                          acc_valid_i,
    input  logic        [Lanes-1:0][31:0] acc_data_i,
    output logic                          acc_ready_o,
    // code tables
    input  logic signed [            4:0] decode_i[Tables][16],
    input  logic signed [           15:0] threshold_i[Tables][15],
    // program store
    input  logic                          prog_we_i,
    input  logic        [  ProgAddrW-1:0] prog_addr_i,
    input  logic        [    8*Depth-1:0] prog_wdata_i
);
  localparam int unsigned AddrW = $clog2(SpadWords);
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned ProgW = $clog2(ProgWords);
  localparam int unsigned WordShift = $clog2(Depth);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam logic [Lanes-1:0] LowerHalf = {Lanes{1'b1}} >> (Lanes - FullLanes);

  // -- Sequencer -----------------------------------------------------------------------------------

  vector_t offered, instr;
  microword_t word, fetched;
  logic stop;
  assign offered = instr_i;
  assign stop    = engine_i.stop;
  logic start, waiting, stopped, setup, prog_read, drained, issue;
  logic [ProgW-1:0] prog_index;
  sram_pkg::status_t program_sram, scalars_sram;
  logic [7:0] row;
  logic [13:0] group, next_group;
  logic halved, second, again, step;
  logic bank, ahead, first_group, last_group, ends, none, row_end, block_end, next_block;
  logic element_fault;
  trap_e element_cause;

  vpu_sequencer #(
      .Cols(Cols),
      .Lanes(Lanes),
      .FullLanes(FullLanes),
      .ProgWords(ProgWords),
      .Tables(Tables)
  ) u_sequencer (
      .clk_i,
      .rst_ni,
      .instr_valid_i(engine_i.valid),
      .instr_i(offered),
      .instr_ready_o(engine_o.ready),
      .stop_i(stop),
      .start_o(start),
      .retire_o(engine_o.retire),
      .fault_o(engine_o.fault),
      .fault_cause_o(engine_o.cause),
      .waiting_o(waiting),
      .stopped_o(stopped),
      .instr_o(instr),
      .word_o(word),
      .setup_o(setup),
      .read_o(prog_read), .index_o(prog_index), .microword_i(fetched),
      .drained_i(drained),
      .issue_i(issue),
      .element_fault_i(element_fault),
      .element_cause_i(element_cause),
      .row_o(row), .group_o(group), .halved_o(halved), .second_o(second),
      .bank_o(bank),
      .ahead_o(ahead),
      .next_group_o(next_group),
      .first_group_o(first_group),
      .last_group_o(last_group), .ends_o(ends), .void_o(none),
      .row_end_o(row_end), .block_end_o(block_end),
      .advance_o(next_block)
  );

  vpu_program_store #(
      .Depth(Depth),
      .ProgWords(ProgWords)
  ) u_program_store (
      .clk_i,
      .sram_pins_i,
      .sram_status_o(program_sram),
      .prog_we_i,
      .prog_addr_i,
      .prog_wdata_i,
      .read_i(prog_read),
      .index_i(prog_index),
      .microword_o(fetched)
  );

  // -- What the microword in hand needs ------------------------------------------------------------

  logic vector_kind, use_acc, use_a, use_b, use_d, use_param;
  logic signed [4:0] decode_a[16], decode_b[16], decode_e[16];
  logic signed [15:0] threshold[15];
  logic [Lanes-1:0] tail;

  assign vector_kind = word.kind == KindVector;
  assign use_acc     = vector_kind && word.src_a == SourceAAcc;
  assign use_a       = vector_kind && word.src_a == SourceASpad;
  assign use_b       = reads_b(word.kind, word.side, word.mul);
  assign use_d       = vector_kind && word.dst != DestinationNone;
  assign use_param   = vector_kind &&
                       (word.addend == AddendBias || word.mul == MultiplyParam || word.zp_param);

  vpu_tables #(
      .Tables(Tables)
  ) u_tables (
      .clk_i, .test_en_i,
      .setup_i(setup),
      .word_i(word),
      .decode_i,
      .threshold_i,
      .decode_a_o(decode_a), .decode_b_o(decode_b), .decode_e_o(decode_e), .threshold_o(threshold)
  );

  // Lanes that count of the group with channel n - 1.
  assign tail = instr.n[LaneW-1:0] == '0 ? '1 : ~({Lanes{1'b1}} << instr.n[LaneW-1:0]);

  // -- Addresses -----------------------------------------------------------------------------------

  logic [ByteW-1:0] addr[3];
  logic [2:0] misaligned, outside;

  vpu_addresses #(
      .Cols(Cols),
      .Lanes(Lanes),
      .Depth(Depth),
      .SpadWords(SpadWords)
  ) u_addresses (
      .clk_i,
      .rst_ni,
      .start_i(start),
      .begins_i(offered),
      .instr_i(instr),
      .word_i(word), .setup_i(setup),
      .step_i(step),
      .row_end_i(row_end),
      .block_end_i(block_end),
      .first_group_i(first_group),
      .last_group_i(last_group),
      .advance_i(next_block),
      .addr_o(addr), .misaligned_o(misaligned), .outside_o(outside)
  );

  // -- Operands ------------------------------------------------------------------------------------

  logic enable, param_ready, param_outside, param_idle, address_fault, sound, operands;
  logic [1:0] bank_busy, port_ready;
  logic [2:0] used;
  logic [8*Depth-1:0] source[2];
  parameter_t parameters[2][Lanes];
  logic [AddrW-1:0] raddr[3], waddr;

  for (genvar p = 0; p < 3; p++) begin : gen_read
    assign read_o[p].addr = 20'(raddr[p]);
    `ASSERT_STABLE(ReadStable, read_o[p].valid, rgnt_i[p] || (p < 2 && stop), read_o[p].addr)
  end
  assign write_o.addr  = 20'(waddr);

  assign used          = {use_d, use_b, use_a};
  assign address_fault = |(used & (misaligned | outside));
  assign element_fault = (!use_param || param_ready) && (address_fault || (use_param && param_outside));
  assign sound         = !address_fault && (!use_param || (param_ready && !param_outside));
  assign element_cause = |(used & misaligned) ? TrapAlignment : TrapRange;

  for (genvar s = 0; s < 2; s++) begin : gen_port
    vpu_read_port #(
        .Depth(Depth),
        .AddrW(AddrW)
    ) u_port (
        .clk_i,
        .rst_ni, .test_en_i,
        .need_i(waiting && used[s] && sound && !second),
        .addr_i(addr[s][WordShift+:AddrW]),
        .ready_o(port_ready[s]),
        .issue_i(issue),
        .enable_i(enable),
        .again_i(again),
        .word_o(source[s]),
        .rreq_o(read_o[s].valid),
        .raddr_o(raddr[s]),
        .rgnt_i(rgnt_i[s]),
        .rdata_i(rdata_i[s])
    );
  end

  vpu_parameters #(
      .Depth(Depth),
      .Cols(Cols),
      .Lanes(Lanes),
      .SpadWords(SpadWords)
  ) u_parameters (
      .clk_i,
      .rst_ni, .test_en_i,
      .clear_i(start),
      .begin_i(setup), .use_i(use_param && (setup || waiting)),
      .base_i(instr.param),
      .group_i(group), .bank_i(bank),
      .ahead_i(ahead), .next_group_i(next_group),
      .bank_busy_i(bank_busy),
      .written_i(write_o.valid && wgnt_i), .waddr_i(waddr),
      .ready_o(param_ready),
      .outside_o(param_outside),
      .idle_o(param_idle),
      .parameter_o(parameters),
      .rreq_o(read_o[2].valid),
      .raddr_o(raddr[2]), .rgnt_i(rgnt_i[2]),
      .rdata_i(rdata_i[2])
  );

  // -- Issue ---------------------------------------------------------------------------------------

  element_t element;
  assign element = '{row: row, first: first_group, ends: ends, none: none, bank: bank, second: second,
                     dest: addr[2],
                     a_offset: 8'(addr[0][WordShift-1:0]), b_offset: 8'(addr[1][WordShift-1:0])};

  assign operands = waiting && sound && !stop && enable && port_ready == '1;
  assign issue = operands && (!use_acc || acc_valid_i);
  assign step = issue && (!halved || second);  // the group is done with
  assign acc_ready_o = operands && use_acc && (!halved || second);

  port_pkg::class_t class_d;
  always_comb begin
    class_d = '0;
    if (waiting) begin
      if (issue) class_d[ClassActive] = 1'b1;
      else if (use_param && !param_ready) class_d[VpuClassParam] = 1'b1;
      else if (use_acc && !acc_valid_i) class_d[VpuClassAcc] = 1'b1;
      else if (element_fault || stop) class_d[VpuClassFill] = 1'b1;
      else class_d[VpuClassSpad] = 1'b1;
    end else if (stopped && drained && !start) begin
      if (engine_i.token_wait) class_d[ClassToken] = 1'b1;
      else class_d[ClassEmpty] = 1'b1;
    end else begin
      class_d[VpuClassFill] = 1'b1;
    end
  end
  `FF(engine_o.cycle_class, class_d, port_pkg::class_t'(1 << ClassEmpty))

  // -- Lanes ---------------------------------------------------------------------------------------

  logic lanes_idle, scalar_valid, result_valid;
  logic add_read, mul_read, mul_take;
  logic [RowW-1:0] read_row, scalar_row;
  logic signed [31:0] add_value, mul_value, scalar_value, reduced;
  element_t result_element;
  logic signed [15:0] result[Lanes];
  logic [Lanes-1:0] result_lanes, half;

  vpu_lanes #(
      .Depth(Depth),
      .Lanes(Lanes),
      .FullLanes(FullLanes),
      .Rows(Rows)
  ) u_lanes (
      .clk_i,
      .rst_ni, .test_en_i,
      .enable_i(enable),
      .word_i(word),
      .decode_a_i(decode_a),
      .decode_b_i(decode_b),
      .threshold_i(threshold),
      .halved_i(halved),
      .issue_i(issue),
      .element_i(element),
      .acc_i(acc_data_i),
      .a_word_i(source[0]),
      .b_word_i(source[1]),
      .parameter_i(parameters),
      .add_read_o(add_read), .mul_read_o(mul_read), .read_row_o(read_row), .mul_take_o(mul_take),
      .add_value_i(add_value), .mul_value_i(mul_value),
      .scalar_valid_o(scalar_valid), .scalar_row_o(scalar_row), .scalar_value_o(scalar_value),
      .result_valid_o(result_valid), .result_element_o(result_element), .result_o(result),
      .bank_busy_o(bank_busy),
      .again_o(again),
      .idle_o(lanes_idle)
  );

  assign result_lanes = result_element.none ? '0 : (result_element.ends ? tail : '1) & half;
  assign half = !halved ? '1 : result_element.second ? ~LowerHalf : LowerHalf;

  // -- Results -------------------------------------------------------------------------------------

  logic scalars_idle, write_idle, reduce_valid;
  assign sram_status_o = program_sram | scalars_sram;

  assign reduce_valid = result_valid && word.reduce != ReduceNone;

  vpu_reduce #(
      .Lanes(Lanes), .FullLanes(FullLanes)
  ) u_reduce (
      .enable_i(reduce_valid),
      .reduce_i(reduce_e'(word.reduce)),
      .encode_i(word.encode),
      .decode_i(decode_e),
      .valid_i (result_lanes),
      .lanes_i (result),
      .result_o(reduced)
  );

  vpu_row_scalars #(
      .Rows(Rows)
  ) u_row_scalars (
      .clk_i,
      .rst_ni,
      .sram_pins_i,
      .sram_status_o(scalars_sram),
      .row_read_i(read_row),
      .add_read_i(add_read), .add_select_i(word.rs_a), .add_value_o(add_value),
      .mul_read_i(mul_read), .mul_select_i(word.rs_m), .mul_take_i(mul_take), .mul_value_o(mul_value),
      .write_i(reduce_valid || scalar_valid),
      .set_i(scalar_valid || (result_element.first && !result_element.second)),
      .reduce_i(reduce_e'(word.reduce)),
      .select_i(word.rs_d),
      .row_i(scalar_valid ? scalar_row : result_element.row[RowW-1:0]),
      .value_i(scalar_valid ? scalar_value : reduced),
      .idle_o(scalars_idle)
  );

  vpu_write #(
      .Depth(Depth),
      .Lanes(Lanes),
      .SpadWords(SpadWords)
  ) u_write (
      .clk_i,
      .rst_ni, .test_en_i,
      .clear_i(start),
      .valid_i(result_valid && use_d && result_lanes != '0),
      .ready_o(enable),
      .destination_i(destination_e'(word.dst)),
      .dest_i(result_element.dest),
      .lanes_valid_i(result_lanes),
      .lanes_i(result),
      .idle_o(write_idle),
      .signature_o(engine_o.signature),
      .wreq_o(write_o.valid),
      .waddr_o(waddr),
      .wbe_o,
      .wdata_o,
      .wgnt_i
  );

  assign drained = lanes_idle && scalars_idle && write_idle && param_idle;
  assign engine_o.idle = stopped && drained;
  `ASSERT_STABLE(WriteStable, write_o.valid, wgnt_i, {write_o.addr, wbe_o, wdata_o})
  `ASSERT_ALWAYS(OneClass, $onehot(class_d))
  logic unused_instr;
  assign unused_instr = ^{instr, word.unused, result_element, addr[0][ByteW-1:WordShift+AddrW],
                          addr[1][ByteW-1:WordShift+AddrW]};

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(FullInRange, chip_pkg::legal_full(FullLanes, Lanes))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
