// SPDX-License-Identifier: Apache-2.0
// Takes a MATMUL and works out what the address generators need: products of strides, the origin, tile and pixel
// counts. The job stands three cycles after the instruction was taken, until both generators are done with it.

`default_nettype none
`include "registers.svh"
`include "assertions.svh"

module mxu_setup
  import mxu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned Cols  = 8    // columns
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             stop_i,
    input  logic             instr_valid_i,
    input  isa_pkg::matmul_t instr_i,
    output logic             instr_ready_o,
    output logic             stream_valid_o,  // the job, until the stream has copied it
    output logic             load_valid_o,    // the job, until the loader is done with it
    output stream_job_t      stream_job_o,
    output load_job_t        load_job_o,
    input  logic             stream_taken_i,  // the stream has copied the job
    input  logic             loader_done_i,   // the last word of the last tile was requested
    output logic             ahead_o          // holds one that the stream has not copied
);
  localparam int unsigned Shift = $clog2(Depth);
  typedef logic [WordW-1:0] word_t;

  isa_pkg::matmul_t instr_q;
  logic [2:0] stage_d, stage_q;  // one-hot progress: instruction, products, job
  logic take, int8, low4, pair, streamed_d, streamed_q, loaded_d, loaded_q, release_job;
  logic [7:0] taps_q;
  word_t step_y_q, step_x_q, pad_y_q, pad_x_q;
  logic [31:0] pixels_q;
  logic [19:0] steps;
  stream_job_t job_d, job_q;
  load_job_t load_d, load_q;

  assign take = instr_valid_i && instr_ready_o;
  assign release_job = stage_q[2] && (streamed_q || stream_taken_i) && (loaded_q || loader_done_i);
  assign instr_ready_o = stage_q == '0 && !stop_i;

  always_comb begin
    stage_d = {stage_q[1:0], take};
    if (stage_q[2] && !release_job) stage_d[2] = 1'b1;
    streamed_d = stage_q[2] && (streamed_q || stream_taken_i) && !release_job;
    loaded_d = stage_q[2] && (loaded_q || loader_done_i) && !release_job;
    if (stop_i) begin
      stage_d = '0;
      streamed_d = 1'b0;
      loaded_d = 1'b0;
    end
  end
  `FF(stage_q, stage_d, '0)
  `FF(streamed_q, streamed_d, 1'b0)
  `FF(loaded_q, loaded_d, 1'b0)
  `FFLNR(instr_q, instr_i, take)

  // Second cycle: products of two instruction fields.
  `FFLNR(taps_q, 8'(instr_q.kernel_h) * 8'(instr_q.kernel_w), stage_q[0])
  `FFLNR(pixels_q, 32'(instr_q.out_h) * 32'(instr_q.out_w), stage_q[0])
  `FFLNR(step_y_q, WordW'(instr_q.act_row >> Shift) * WordW'(instr_q.stride_y), stage_q[0])
  `FFLNR(step_x_q, WordW'(instr_q.act_pix >> Shift) * WordW'(instr_q.stride_x), stage_q[0])
  `FFLNR(pad_y_q, WordW'(instr_q.act_row >> Shift) * WordW'(instr_q.pad_top), stage_q[0])
  `FFLNR(pad_x_q, WordW'(instr_q.act_pix >> Shift) * WordW'(instr_q.pad_left), stage_q[0])

  // Third cycle: the job.
  assign int8 = instr_q.weight_format == isa_pkg::WeightFormatInt8;
  assign low4 = instr_q.weight_format == isa_pkg::WeightFormatLow4;
  assign pair = instr_q.act_format != isa_pkg::ActFormatInt8 && !instr_q.depthwise;
  assign steps = 20'(taps_q) * 20'(instr_q.chunks);

  always_comb begin
    job_d  = '0;
    load_d = '0;
    if (stage_q[1]) begin
      if (int8) job_d.mode = CellByte;
      else if (pair) job_d.mode = CellPair;
      else job_d.mode = CellNibble;
      job_d.low4 = low4;
      job_d.act_format = isa_pkg::act_format_e'(instr_q.act_format);
      job_d.depthwise = instr_q.depthwise;
      job_d.code_table = instr_q.code_table;
      job_d.pad_value = instr_q.pad_value;
      job_d.in_h = instr_q.in_h;
      job_d.in_w = instr_q.in_w;
      job_d.pad_top = instr_q.pad_top;
      job_d.pad_left = instr_q.pad_left;
      job_d.kernel_h = instr_q.kernel_h;
      job_d.kernel_w = instr_q.kernel_w;
      job_d.stride_y = instr_q.stride_y;
      job_d.stride_x = instr_q.stride_x;
      job_d.chunks = instr_q.chunks;
      job_d.last_elems = instr_q.last_elems;
      job_d.out_w = instr_q.out_w;
      job_d.pixels = pixels_q;
      job_d.block = instr_q.block;
      job_d.n = instr_q.n;
      job_d.act_row = WordW'(instr_q.act_row >> Shift);
      job_d.act_pix = WordW'(instr_q.act_pix >> Shift);
      job_d.step_y = step_y_q;
      job_d.step_x = step_x_q;
      job_d.origin = WordW'(instr_q.act >> Shift) - pad_y_q - pad_x_q;

      load_d.int8 = int8;
      load_d.depthwise = instr_q.depthwise;
      load_d.transpose = instr_q.transpose;
      load_d.chunks = instr_q.chunks;
      load_d.last_elems = instr_q.last_elems;
      load_d.pixels = pixels_q;
      load_d.block = instr_q.block;
      load_d.n = instr_q.n;
      load_d.wgt = instr_q.wgt;
      load_d.wgt_n = instr_q.wgt_n;
      load_d.wgt_t = instr_q.wgt_t;
      load_d.wgt_c = instr_q.wgt_c;
      if (instr_q.depthwise) load_d.tiles = 20'(instr_q.chunks);
      else if (int8 || low4 || pair) load_d.tiles = steps;
      else load_d.tiles = (steps >> 1) + 20'(steps[0]);
    end
  end
  `FFLNR(job_q, job_d, stage_q[1])
  `FFLNR(load_q, load_d, stage_q[1])

  assign stream_valid_o = stage_q[2] && !streamed_q;
  assign stream_job_o = job_q;
  assign load_valid_o = stage_q[2] && !loaded_q;
  assign load_job_o = load_q;
  assign ahead_o = stage_q != '0 && !streamed_q;

  logic unused_fields;
  assign unused_fields = ^{instr_q.unused, instr_q.opcode, instr_q.wait_load, instr_q.wait_mxu,
                           instr_q.wait_vpu, instr_q.wait_store};

  // What decode has checked.
  logic unused_misaligned;
  assign unused_misaligned =
      (instr_i.act | instr_i.act_row | 24'(instr_i.act_pix) | instr_i.wgt_c) % 24'(Depth) != '0 ||
      (instr_i.wgt | instr_i.wgt_n | instr_i.wgt_t) % 24'(instr_i.transpose ? Cols : Depth) != '0;
  `ASSERT_ALWAYS(Aligned, !take || !unused_misaligned)
  `ASSERT_ALWAYS(StillAtStop, !stop_i || !instr_ready_o)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
endmodule

`default_nettype wire
