// SPDX-License-Identifier: Apache-2.0
// mxu_setup: whatever MATMUL it takes, the jobs that it offers three cycles later are what the manual makes of the fields:
// counts in full width, addresses modulo 2^WordW; they stand until both are taken; a stop forgets them, whenever.

`default_nettype none

module prove_job
  import mxu_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: 2^31 pixels, 2: an odd number of steps, 3: taken apart
) (
    input logic             clk_i,
    input logic             valid_i,
    input isa_pkg::matmul_t instr_i,
    input logic             stop_i,
    input logic             taken_i,
    input logic             done_i
);
  localparam int unsigned Depth = 16;
  localparam int unsigned Cols = 16;

  logic running = 1'b0;
  logic stop, ready, stream_valid, load_valid, ahead, taken;
  stream_job_t stream;
  load_job_t load;
  isa_pkg::matmul_t instr;
  logic [1:0] age;  // cycles since it was taken, 0: none
  logic streamed, loaded;

  assign stop = stop_i && running;

  mxu_setup #(
      .Depth(Depth),
      .Cols (Cols)
  ) u_setup (
      .clk_i,
      .rst_ni        (running),
      .stop_i        (stop),
      .instr_valid_i (valid_i && running),
      .instr_i,
      .instr_ready_o (ready),
      .stream_valid_o(stream_valid),
      .load_valid_o  (load_valid),
      .stream_job_o  (stream),
      .load_job_o    (load),
      .stream_taken_i(taken_i && stream_valid),
      .loader_done_i (done_i && load_valid),
      .ahead_o       (ahead)
  );

  assign taken = valid_i && running && ready;
  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (taken) instr <= instr_i;
    if (!running || stop) begin
      age <= '0;
    end else if (taken) begin
      age      <= 2'd1;
      streamed <= 1'b0;
      loaded   <= 1'b0;
    end else if (age == 2'd3) begin
      if ((streamed || taken_i) && (loaded || done_i)) age <= '0;
      streamed <= streamed || taken_i;
      loaded   <= loaded || done_i;
    end else if (age != '0) begin
      age <= age + 1'b1;
    end
  end

  // What decode lets pass is aligned.
  logic [23:0] words, bytes;
  assign words = instr_i.act | instr_i.act_row | 24'(instr_i.act_pix) | instr_i.wgt_c;
  assign bytes = instr_i.wgt | instr_i.wgt_n | instr_i.wgt_t;

  // The manual's figures. Products have the widths of their operands together, and are of the machine's copy of the
  // instruction, which is asserted to be the watcher's: so that no multiplier is compared with another form of it.
  logic [31:0] pixels;
  logic [7:0] taps;
  logic [19:0] steps;
  logic [WordW-1:0] row, pix, step_y, step_x, pad_y, pad_x;
  logic byte_weights, low_weights, pairs;
  assign row = WordW'(instr.act_row / 24'(Depth));
  assign pix = WordW'(instr.act_pix / 20'(Depth));
  always_ff @(posedge clk_i) begin
    if (age == 2'd1) begin
      pixels <= 32'(u_setup.instr_q.out_h) * 32'(u_setup.instr_q.out_w);
      taps   <= 8'(u_setup.instr_q.kernel_h) * 8'(u_setup.instr_q.kernel_w);
      step_y <= WordW'(u_setup.instr_q.act_row >> 4) * WordW'(u_setup.instr_q.stride_y);
      step_x <= WordW'(u_setup.instr_q.act_pix >> 4) * WordW'(u_setup.instr_q.stride_x);
      pad_y  <= WordW'(u_setup.instr_q.act_row >> 4) * WordW'(u_setup.instr_q.pad_top);
      pad_x  <= WordW'(u_setup.instr_q.act_pix >> 4) * WordW'(u_setup.instr_q.pad_left);
    end
    if (age == 2'd2) steps <= 20'(u_setup.taps_q) * 20'(u_setup.instr_q.chunks);
  end
  assign byte_weights = instr.weight_format == isa_pkg::WeightFormatInt8;
  assign low_weights  = instr.weight_format == isa_pkg::WeightFormatLow4;
  assign pairs        = instr.act_format != isa_pkg::ActFormatInt8 && !instr.depthwise && !byte_weights;

  always_comb begin
    assume (words % 24'(Depth) == '0 && bytes % 24'(Depth) == '0);
    if (running) begin
      // What ties the machine to the watcher.
      assert (u_setup.stage_q == {age == 2'd3, age == 2'd2, age == 2'd1});
      assert (ready == (age == '0 && !stop));
      assert (stream_valid == (age == 2'd3 && !streamed) && load_valid == (age == 2'd3 && !loaded));
      assert (ahead == (age == 2'd1 || age == 2'd2 || stream_valid));
      if (age == 2'd3) assert (!(streamed && loaded));
      if (age != 2'd3) assert (!u_setup.streamed_q && !u_setup.loaded_q);
      if (age == 2'd1 || age == 2'd2) assert (u_setup.instr_q == instr);
      if (age == 2'd2) begin
        assert (u_setup.pixels_q == pixels && u_setup.taps_q == taps);
        assert (u_setup.step_y_q == step_y && u_setup.step_x_q == step_x);
        assert (u_setup.pad_y_q == pad_y && u_setup.pad_x_q == pad_x);
      end
      if (age == 2'd3) begin
        // What is said to the stream and to the loader.
        assert (stream.mode == (byte_weights ? CellByte : pairs ? CellPair : CellNibble));
        assert (stream.low4 == low_weights && stream.act_format == instr.act_format);
        assert (stream.depthwise == instr.depthwise && stream.code_table == instr.code_table);
        assert (stream.in_h == instr.in_h && stream.in_w == instr.in_w);
        assert (stream.pad_value == instr.pad_value);
        assert (stream.pad_top == instr.pad_top && stream.pad_left == instr.pad_left);
        assert (stream.kernel_h == instr.kernel_h && stream.kernel_w == instr.kernel_w);
        assert (stream.stride_y == instr.stride_y && stream.stride_x == instr.stride_x);
        assert (stream.chunks == instr.chunks && stream.last_elems == instr.last_elems);
        assert (stream.out_w == instr.out_w && stream.pixels == pixels);
        assert (stream.block == instr.block && stream.n == instr.n);
        assert (stream.act_row == row && stream.act_pix == pix);
        assert (stream.step_y == step_y && stream.step_x == step_x);
        assert (stream.origin == WordW'(instr.act / 24'(Depth)) - pad_y - pad_x);
        assert (load.int8 == byte_weights && load.depthwise == instr.depthwise);
        assert (load.transpose == instr.transpose);
        assert (load.chunks == instr.chunks && load.last_elems == instr.last_elems);
        assert (load.pixels == pixels && load.block == instr.block && load.n == instr.n);
        assert (load.wgt == instr.wgt && load.wgt_n == instr.wgt_n);
        assert (load.wgt_t == instr.wgt_t && load.wgt_c == instr.wgt_c);
        // Nibbles that are used apart lie two steps in a tile; nibbles of both halves at once, bytes and a window of
        // its own low half take a tile a step.
        if (instr.depthwise) assert (load.tiles == 20'(instr.chunks));
        else if (byte_weights || low_weights || pairs) assert (load.tiles == steps);
        else assert (21'(load.tiles) == (21'(steps) + 21'd1) / 21'd2);
      end
      if (Reach == 1) assert (!(stream_valid && stream.pixels[31]));
      if (Reach == 2)
        assert (!(load_valid && stream.mode == CellNibble && !instr.depthwise && !low_weights && steps[0]));
      if (Reach == 3) assert (!(load_valid && !stream_valid));
    end
  end
endmodule

`default_nettype wire
