// SPDX-License-Identifier: Apache-2.0
// dma_setup: any copy is refused when, and only when, a word of it lies beyond the space, computed in 64 bits; what is
// offered is the copy that was asked for, rows that lie end to end in memory as one run; a stop forgets it, whenever.

`default_nettype none

module prove_setup
  import dma_pkg::*;
#(
    parameter int unsigned Depth = 16,
    parameter int unsigned Reach = 0  // 1: a fault of a copy whose end wraps in 24 bits, 2: rows joined
) (
    input logic         clk_i,
    input logic         valid_i,
    input copy_t        copy_i,
    input logic  [23:0] limit_i,
    input logic         ready_i,
    input logic         stop_i
);
  logic running = 1'b0;
  logic taken, ready, valid, fault, idle;
  logic [1:0] space;
  stream_t stream;
  box_t box;
  copy_t copy;
  logic [23:0] limit;
  logic [2:0] age;  // cycles since it was taken

  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running) limit <= limit_i;  // stands still
  end

  dma_setup #(
      .Depth(Depth)
  ) u_setup (
      .clk_i,
      .rst_ni       (running),
      .stop_i       (stop_i && running),
      .instr_valid_i(valid_i && running),
      .instr_ready_o(ready),
      .copy_i,
      .space_o      (space),
      .limit_i      (limit),
      .valid_o      (valid),
      .ready_i,
      .stream_o     (stream),
      .box_o        (box),
      .range_fault_o(fault),
      .idle_o       (idle)
  );

  assign taken = valid_i && running && ready;
  always_ff @(posedge clk_i) begin
    if (taken) copy <= copy_i;
    if (!running || stop_i || (valid && ready_i)) age <= '0;
    else if (taken) age <= 3'd1;
    else if (age != '0 && age != 3'd3) age <= age + 1'b1;
  end

  // What decode lets pass is aligned and has a row and a byte.
  always_comb begin
    assume (copy_i.rows != '0 && copy_i.row_bytes != '0);
    assume ((copy_i.dram & 32'(Depth - 1)) == '0 && (copy_i.dram_row & 32'(Depth - 1)) == '0);
    assume ((copy_i.spad & 24'(Depth - 1)) == '0 && (copy_i.spad_row & 24'(Depth - 1)) == '0);
    assume ((copy_i.row_bytes & 24'(Depth - 1)) == '0);
  end

  // Its two products in 64 bits: what they are of is asserted, so that no multiplier is compared with another form of it.
  logic [63:0] product, words;
  logic beyond, joined;
  assign words  = 64'(copy.row_bytes) / Depth;
  assign joined = copy.dram_row == 32'(copy.row_bytes);
  always_ff @(posedge clk_i) begin
    if (age == 3'd1 || age == 3'd2) product <= 64'(u_setup.factor) * 64'(u_setup.other);
    if (age == 3'd2) beyond <= 64'(copy.spad) / Depth + product + words > 64'(limit);
  end

  always_comb begin
    if (running) begin
      // What ties the machine to the watcher.
      assert (idle == (age == '0) && ready == idle);
      if (age != '0) begin
        assert (u_setup.box_q.rows == copy.rows && copy.rows != '0 && copy.row_bytes != '0);
        assert (64'(u_setup.box_q.spad) * Depth == 64'(copy.spad));
        assert (64'(u_setup.box_q.spad_row) * Depth == 64'(copy.spad_row));
        assert (64'(u_setup.box_q.words) * Depth == 64'(copy.row_bytes));
        assert (u_setup.dram_q == copy.dram && u_setup.dram_row_q == copy.dram_row);
        assert (u_setup.box_q.space == copy.space);
      end
      assert ((32'(u_setup.state_q) == 1) == (age == 3'd1));
      assert ((32'(u_setup.state_q) == 2) == (age == 3'd2));
      assert ((valid || fault) == (age == 3'd3));
      if (age == 3'd1) assert (u_setup.factor == copy.rows - 1'b1);
      if (age == 3'd1) assert (64'(u_setup.other) * Depth == 64'(copy.spad_row));
      if (age == 3'd2) assert (u_setup.factor == copy.rows && 64'(u_setup.other) == words);
      if (age == 3'd2 || age == 3'd3) assert (64'(u_setup.product_q) == product);
      if (age == 3'd3) begin
        // What is said to the rest of the engine.
        assert (fault == beyond && valid == !beyond);
        assert (stream.dram == copy.dram && box.space == copy.space && box.rows == copy.rows);
        assert (64'(stream.run) == (joined ? product : words));
        assert (stream.rows == (joined ? 16'd1 : copy.rows));
        if (!joined) assert (stream.dram_row == copy.dram_row);
      end
      if (Reach == 1) assert (!(fault && copy.spad == '0 && words < 64'(limit)));
      if (Reach == 2) assert (!(valid && joined && copy.rows > 16'd1));
    end
  end
endmodule

`default_nettype wire
