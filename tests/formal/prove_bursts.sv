// SPDX-License-Identifier: Apache-2.0
// dma_bursts, any stream and any stalls: no burst is empty, longer than MaxBurst or across 4 KiB; bursts follow one
// another without a gap in the run, each row begins where its stride says, and the last burst ends the last row.
// It is free when it has nothing, and as the last burst leaves.

`default_nettype none

module prove_bursts
  import dma_pkg::*;
#(
    parameter int unsigned Depth    = 16,
    parameter int unsigned MaxBurst = 32,
    parameter int unsigned Reach    = 0  // 1: a burst ends with a page, 2: an address carries out of 24 bits
) (
    input logic    clk_i,
    input logic    stop_i,
    input logic    valid_i,
    input stream_t stream_i,
    input logic    ready_i
);
  logic running = 1'b0;
  logic ready, valid, last, take, issue;
  logic [31:0] addr;
  logic [8:0] beats;

  always_ff @(posedge clk_i) running <= 1'b1;

  dma_bursts #(
      .Depth   (Depth),
      .MaxBurst(MaxBurst)
  ) u_bursts (
      .clk_i,
      .rst_ni  (running),
      .stop_i,
      .valid_i (valid_i && running),
      .ready_o (ready),
      .stream_i,
      .valid_o (valid),
      .ready_i,
      .addr_o  (addr),
      .beats_o (beats),
      .last_o  (last)
  );

  // The watcher: where the next burst begins, in 64 bits; words left of the row; rows left.
  logic [63:0] at, row_at, left, rows, stride, run;
  logic open, page_ends;
  assign page_ends = ((64'(addr) + 64'(beats) * Depth) & 64'hfff) == '0;
  assign take  = valid_i && running && ready && !stop_i;
  assign issue = valid && ready_i;

  always_ff @(posedge clk_i) begin
    if (issue) begin
      if (left == 64'(beats)) begin
        at     <= row_at + stride;
        row_at <= row_at + stride;
        left   <= run;
        rows   <= rows - 1;
        open   <= rows != 1;
      end else begin
        at   <= at + 64'(beats) * Depth;
        left <= left - 64'(beats);
      end
    end
    if (take) begin
      at     <= 64'(stream_i.dram);
      row_at <= 64'(stream_i.dram);
      stride <= 64'(stream_i.dram_row);
      left   <= 64'(stream_i.run);
      run    <= 64'(stream_i.run);
      rows   <= 64'(stream_i.rows);
      open   <= 1'b1;
    end
    if (stop_i || !running) open <= 1'b0;
  end

  always_comb begin
    assume (stream_i.rows != '0 && stream_i.run != '0);
    assume (stream_i.dram[$clog2(Depth)-1:0] == '0 && stream_i.dram_row[$clog2(Depth)-1:0] == '0);
    if (running) begin
      assert (valid == open);
      assert (ready == (!open || (issue && last)));  // no bubble, and no wait without a reason
      if (valid) begin
        assert (addr == at[31:0]);
        assert (beats >= 9'd1 && 32'(beats) <= MaxBurst);
        assert (64'(beats) <= left);
        assert (addr[31:12] == 20'((64'(addr) + 64'(beats) * Depth - 1) >> 12));
        // None is shorter than it must be.
        assert (32'(beats) == MaxBurst || 64'(beats) == left || page_ends);
        assert (last == (rows == 1 && 64'(beats) == left));
        // What ties the machine to the watcher.
        assert (addr[$clog2(Depth)-1:0] == '0 && u_bursts.row_addr_q == row_at[31:0]);
        assert (u_bursts.dram_row_q == stride[31:0] && stride[63:32] == '0);
        assert (stride[$clog2(Depth)-1:0] == '0);
        assert (row_at[$clog2(Depth)-1:0] == '0);
        assert (64'(u_bursts.left_q) == left && 64'(u_bursts.run_q) == run && 64'(u_bursts.rows_q) == rows);
        assert (left != '0 && left <= run && rows != '0);
      end
      if (Reach == 1) assert (!(issue && page_ends && left > 64'(beats)));
      if (Reach == 2) assert (!(valid && at[24] && at[23:0] == '0 && u_bursts.left_q != u_bursts.run_q));
    end
  end
endmodule

`default_nettype wire
