// SPDX-License-Identifier: Apache-2.0
// mxu_stream, any job: the input column of every beat is output column * stride - padding + kernel column in 64 bits, the
// output column stays within the output, and a beat is padding beyond the picture's columns and not within them.

`default_nettype none

module prove_columns
  import mxu_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: a second column
) (
    input logic        clk_i,
    input logic        stop_i,
    input logic        valid_i,
    input stream_job_t job_i,
    input logic        ready_i
);
  logic running = 1'b0;
  logic taken, beat_valid, range;
  beat_t beat;
  logic [5:0] addr;

  always_ff @(posedge clk_i) running <= 1'b1;

  mxu_stream #(
      .SpadWords(64)
  ) u_stream (
      .clk_i,
      .rst_ni      (running),
      .stop_i,
      .job_valid_i (valid_i && running),
      .job_i,
      .job_taken_o (taken),
      .beat_valid_o(beat_valid),
      .beat_o      (beat),
      .beat_addr_o (addr),
      .beat_range_o(range),
      .beat_ready_i(ready_i)
  );

  function automatic logic signed [63:0] column(input logic [15:0] ox);
    return 64'(ox) * 64'(u_stream.job_q.stride_x) - 64'(u_stream.job_q.pad_left);
  endfunction

  logic signed [63:0] ix;
  assign ix = column(u_stream.place_q.ox) + 64'(u_stream.kx_q);

  always_comb begin
    assume (job_i.out_w != '0 && job_i.kernel_w != '0 && job_i.in_w != '0 && job_i.stride_x != '0);
    if (job_i.depthwise) assume (job_i.kernel_w == 4'd3 && job_i.kernel_h == 4'd3);
    if (running && u_stream.run_q) begin
      assert (u_stream.job_q.out_w != '0 && u_stream.job_q.kernel_w != '0);
      assert (u_stream.job_q.in_w != '0 && u_stream.job_q.stride_x != '0);
      assert (!u_stream.job_q.depthwise || u_stream.job_q.kernel_w == 4'd3);
      assert (u_stream.place_q.ox < u_stream.job_q.out_w && u_stream.origin_q.ox < u_stream.job_q.out_w);
      assert (u_stream.kx_q < u_stream.job_q.kernel_w);
      assert (64'(u_stream.place_q.ix) == column(u_stream.place_q.ox));
      assert (64'(u_stream.origin_q.ix) == column(u_stream.origin_q.ox));
      assert (64'(u_stream.ix) == ix);
      if (ix < 0 || ix >= 64'(u_stream.job_q.in_w)) assert (!u_stream.present);
      else if (u_stream.iy == 0) assert (u_stream.present || u_stream.job_q.in_h == '0);
      if (Reach == 1) assert (!(u_stream.place_q.ox == 16'd1));
    end
  end
endmodule

`default_nettype wire
