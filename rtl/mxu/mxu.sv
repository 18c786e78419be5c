// SPDX-License-Identifier: Apache-2.0
// The matrix engine: executes MATMUL as docs/numerics.md defines it and hands rows of C accumulators to the VPU, in parts.
//
// Pipeline of a beat: issue (scratchpad grant) | word arrives, edge | products, column sums | accumulate | signature.
// A second instruction is taken while the first still streams, so that its first tile is loaded early; a fault is
// raised only when it belongs to the oldest unretired instruction. `stop` drops everything, accumulators included.
// `behind_o` says that the VPU sets the pace: it rises in the cycle after a step waited for an accumulator row, stays
// until the last steps of four groups of rows have gone without another wait, and falls with a stop. It is a register's.

`default_nettype none
`include "registers.svh"
`include "assertions.svh"

module mxu
  import mxu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a scratchpad word, length of a dot product: 16, 32 or 64
    parameter int unsigned Cols = 8,  // columns: Depth or half of it
    parameter int unsigned Lanes = 8,  // columns of a row that leave in a cycle: those of the VPU
    parameter int unsigned Rows = 64,  // rows of an accumulator bank, 2 to 255
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    parameter int unsigned Tables = 8  // code tables, 1 to 8
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic                          test_en_i,
    input  sram_pkg::pins_t               sram_pins_i,
    output sram_pkg::status_t             sram_status_o,
    input  port_pkg::engine_req_t         engine_i,
    input  isa_pkg::header_t              instr_i,
    output port_pkg::engine_rsp_t         engine_o,
    // scratchpad: streamed and stationary operand
    output port_pkg::spad_req_t           stream_o,
    input  logic                          stream_gnt_i,
    input  logic            [8*Depth-1:0] stream_data_i,
    output port_pkg::spad_req_t           weight_o,
    input  logic                          weight_gnt_i,
    input  logic            [8*Depth-1:0] weight_data_i,
    // accumulator rows
    output logic                          acc_valid_o,
    output logic      [Lanes-1:0][  31:0] acc_data_o,
    input  logic                          acc_ready_i,
    output logic                          behind_o,
    // code tables
    input  logic signed     [        4:0] decode_i[Tables][16]
);
  localparam int unsigned AddrW = $clog2(SpadWords);

  // Instruction and the two generators.
  logic stop, ready, retire, stream_valid, stream_taken, load_valid, loader_done, setup_ahead;
  stream_job_t stream_job;
  load_job_t load_job;
  logic offered, out_of_range, go, loader_fault, tile_ready, swap;
  beat_t beat;
  logic [AddrW-1:0] stream_addr, weight_addr;

  assign stop = engine_i.stop;

  mxu_setup #(
      .Depth(Depth),
      .Cols (Cols)
  ) u_setup (
      .clk_i,
      .rst_ni,
      .stop_i(stop),
      .instr_valid_i(engine_i.valid),
      .instr_i(instr_i),
      .instr_ready_o(ready),
      .stream_valid_o(stream_valid),
      .load_valid_o(load_valid),
      .stream_job_o(stream_job),
      .load_job_o(load_job),
      .stream_taken_i(stream_taken),
      .loader_done_i(loader_done),
      .ahead_o(setup_ahead)
  );

  mxu_stream #(
      .Depth(Depth),
      .Cols(Cols),
      .SpadWords(SpadWords)
  ) u_stream (
      .clk_i,
      .rst_ni,
      .stop_i(stop),
      .job_valid_i(stream_valid),
      .job_i(stream_job),
      .job_taken_o(stream_taken),
      .beat_valid_o(offered),
      .beat_o(beat),
      .beat_addr_o(stream_addr),
      .beat_range_o(out_of_range),
      .beat_ready_i(go)
  );

  // Issue: a step needs its tile, a free row, and a row that the step before it does not write.
  logic wait_tile, wait_acc, wait_row, clear, row_free, step_q, second_q;
  logic [7:0] row_q, highest_row;

  assign highest_row = beat.step.more ? beat.step.target.row + beat.step.block : beat.step.target.row;
  assign wait_tile = beat.swap && !tile_ready;
  assign wait_acc = beat.last && !row_free;
  assign wait_row = beat.last && !beat.step.target.first && step_q && row_q == beat.step.target.row;
  assign clear = offered && !out_of_range && !wait_tile && !wait_acc && !wait_row;
  assign stream_o = '{valid: clear && !beat.feed.pad, addr: 20'(stream_addr)};
  assign go = clear && (beat.feed.pad || stream_gnt_i);
  assign swap = go && beat.swap;
  `FF(step_q, go && beat.last && !stop, 1'b0)
  `FF(second_q, go && beat.last && beat.step.more && !stop, 1'b0)
  `FFLNR(row_q, beat.step.target.row, go)

  // The VPU is behind. Its words are worth more than the array's then, which would wait for a row a little later. One
  // group would not do: what the VPU catches up is lost again while it is not noticed.
  localparam logic [2:0] BehindGroups = 3'd4;
  logic group_gone;
  logic [2:0] behind_d, behind_q;
  assign group_gone = go && beat.last && beat.step.target.group_last;
  always_comb begin
    behind_d = behind_q;
    if (offered && wait_acc) behind_d = BehindGroups;
    else if (group_gone && behind_q != '0) behind_d = behind_q - 3'd1;
    if (stop) behind_d = '0;
  end
  `FF(behind_q, behind_d, '0)
  assign behind_o = behind_q != '0;

  // The word arrives.
  logic word_valid_q;
  beat_t word_q;
  operand_t operand[Depth];
  logic [7:0] window[9][Depth], weight[Cols][Depth];

  `FF(word_valid_q, go && !stop, 1'b0)
  `FFLNR(word_q, beat, go)

  mxu_edge #(
      .Depth (Depth),
      .Tables(Tables)
  ) u_edge (
      .clk_i,
      .test_en_i,
      .valid_i(word_valid_q),
      .feed_i(word_q.feed),
      .word_i(stream_data_i),
      .decode_i,
      .operand_o(operand),
      .window_o(window)
  );

  logic write, write_transpose, write_upper, write_int8, write_keep_high;
  logic [6:0] write_index, write_columns;

  mxu_loader #(
      .Depth(Depth),
      .Cols(Cols),
      .SpadWords(SpadWords)
  ) u_loader (
      .clk_i,
      .rst_ni,
      .stop_i(stop),
      .job_valid_i(load_valid),
      .job_i(load_job),
      .done_o(loader_done),
      .fault_o(loader_fault),
      .swap_i(swap),
      .ready_o(tile_ready),
      .rreq_o(weight_o.valid),
      .raddr_o(weight_addr),
      .rgnt_i(weight_gnt_i),
      .write_o(write),
      .transpose_o(write_transpose),
      .upper_o(write_upper),
      .int8_o(write_int8),
      .keep_high_o(write_keep_high),
      .index_o(write_index),
      .columns_o(write_columns)
  );

  assign weight_o.addr = 20'(weight_addr);

  mxu_tile #(
      .Depth(Depth),
      .Cols (Cols)
  ) u_tile (
      .clk_i,
      .test_en_i,
      .swap_i(word_valid_q && word_q.swap),
      .write_i(write),
      .transpose_i(write_transpose),
      .upper_i(write_upper),
      .int8_i(write_int8),
      .keep_high_i(write_keep_high),
      .index_i(write_index),
      .columns_i(write_columns),
      .word_i(weight_data_i),
      .weight_o(weight)
  );

  // Products. A depthwise window gives a second step, for the second column tile, in the cycle after the first.
  logic step_valid_d, step_valid_q, upper_d, upper_q;
  step_t run_d, run_q;
  target_t step_target;
  logic signed [31:0] sum[Cols];

  always_comb begin
    step_valid_d = word_valid_q && word_q.last;
    run_d = word_q.step;
    upper_d = 1'b0;
    if (step_valid_q && run_q.more && !upper_q) begin
      step_valid_d = 1'b1;
      run_d = run_q;
      run_d.target.row = run_q.target.row + run_q.block;
      run_d.phase = 1'b1;
      upper_d = 1'b1;
    end
    if (stop) step_valid_d = 1'b0;
  end
  `FF(step_valid_q, step_valid_d, 1'b0)
  `FF(upper_q, step_valid_d && upper_d, 1'b0)
  `FFLNR(run_q, run_d, step_valid_d)

  always_comb begin
    step_target = run_q.target;
    if (run_q.more && !upper_q) begin
      step_target.group_last = 1'b0;
      step_target.job_last   = 1'b0;
    end
  end

  mxu_array #(
      .Depth(Depth),
      .Cols (Cols)
  ) u_array (
      .clk_i,
      .en_i(step_valid_q),
      .mode_i(run_q.mode),
      .phase_i(run_q.phase),
      .depthwise_i(run_q.depthwise),
      .upper_i(upper_q),
      .operand_i(operand),
      .window_i(window),
      .weight_i(weight),
      .sum_o(sum)
  );

  // Accumulate, sign, retire.
  logic row_valid, row_group_last, row_job_last, acc_empty;
  logic [31:0] row[Cols];
  logic [7:0] row_index;

  mxu_acc #(
      .Cols(Cols),
      .Lanes(Lanes),
      .Rows(Rows)
  ) u_acc (
      .clk_i,
      .test_en_i,
      .rst_ni,
      .stop_i(stop),
      .sram_pins_i,
      .sram_status_o,
      .ask_group_i(beat.step.target.group),
      .ask_first_i(beat.step.target.first),
      .ask_row_i(highest_row),
      .ask_last_i(beat.step.target.job_last),
      .free_o(row_free),
      .valid_i(step_valid_q),
      .target_i(step_target),
      .two_i(run_q.more),
      .sum_i(sum),
      .row_valid_o(row_valid),
      .row_o(row),
      .row_index_o(row_index),
      .row_group_last_o(row_group_last),
      .row_job_last_o(row_job_last),
      .acc_valid_o,
      .acc_data_o,
      .acc_ready_i,
      .empty_o(acc_empty)
  );

  mxu_signature #(
      .Cols(Cols)
  ) u_signature (
      .clk_i,
      .rst_ni,
      .stop_i(stop),
      .valid_i(row_valid),
      .row_i(row),
      .index_i(row_index),
      .group_last_i(row_group_last),
      .job_last_i(row_job_last),
      .retire_o(retire),
      .signature_o(engine_o.signature)
  );

  // Instructions in flight: setup and loader hold the youngest, the stream the same one or the one before.
  logic [2:0] unretired_d, unretired_q;
  assign unretired_d = stop ? '0 : unretired_q + 3'(engine_i.valid && ready) - 3'(retire);
  `FF(unretired_q, unretired_d, '0)

  logic fault;
  assign fault = !stop && ((loader_fault && unretired_q == 3'd1) ||
                           (offered && out_of_range && unretired_q == (setup_ahead ? 3'd2 : 3'd1)));
  assign engine_o.ready = ready;
  assign engine_o.retire = retire;
  assign engine_o.fault = fault;
  assign engine_o.cause = fault ? isa_pkg::TrapRange : isa_pkg::TrapNone;
  assign engine_o.idle = unretired_q == '0 && acc_empty;

  // Why this cycle issued no step.
  class_e cycle_class;
  always_comb begin
    if ((go && beat.last) || second_q) cycle_class = ClassActive;
    else if (offered && wait_tile) cycle_class = ClassWeights;
    else if (offered && wait_acc) cycle_class = ClassAcc;
    else if (offered && clear && !go) cycle_class = ClassSpad;
    else if (unretired_q != '0 || (engine_i.valid && ready)) cycle_class = ClassFill;
    else if (engine_i.token_wait) cycle_class = ClassToken;
    else cycle_class = ClassEmpty;
  end
  `FF(engine_o.cycle_class, port_pkg::class_t'(1 << cycle_class), port_pkg::class_t'(1 << ClassEmpty))

  `ASSERT_ALWAYS(FaultAlone, !(engine_o.fault && engine_o.retire))
  `ASSERT_ALWAYS(WindowKept, !(step_valid_q && run_q.more && !upper_q && word_valid_q && word_q.last))
  `ASSERT_STABLE(StreamRequestStable, stream_o.valid, stream_gnt_i || stop, stream_o.addr)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
