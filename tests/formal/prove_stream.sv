// SPDX-License-Identifier: Apache-2.0
// vpu_stream_address, any strides, blocks, groups and microwords: the address of every element is its base, its rows, its
// pixels and its groups added up in 32 bits; the next block begins where the pixels of this one end; alignment and range, from `check_i` on.

`default_nettype none

module prove_stream
  import vpu_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: a second block's second group, 2: a block that begins within a row
) (
    input logic        clk_i,
    input logic        start_i,
    input logic [23:0] base_i,
    input logic [23:0] row_stride_i,
    input logic [19:0] pix_stride_i,
    input logic        check_i,
    input logic        half_i,
    input logic        double_i,
    input logic        step_i,
    input logic        row_end_i,
    input logic        block_end_i,
    input logic        last_group_i,
    input logic        advance_i
);
  localparam int unsigned Cols = 16;
  localparam int unsigned Lanes = 8;
  localparam int unsigned Depth = 16;
  localparam int unsigned SpadWords = 1024;

  logic running = 1'b0;
  logic [ByteW-1:0] addr;
  logic misaligned, outside, first;

  vpu_stream_address #(
      .Cols(Cols),
      .Lanes(Lanes),
      .Depth(Depth),
      .SpadWords(SpadWords)
  ) u_address (
      .clk_i,
      .rst_ni       (running),
      .start_i,
      .base_i,
      .row_stride_i,
      .pix_stride_i,
      .check_i,
      .half_i,
      .double_i,
      .step_i,
      .row_end_i,
      .block_end_i,
      .first_group_i(first),
      .last_group_i,
      .advance_i,
      .addr_o       (addr),
      .misaligned_o (misaligned),
      .outside_o    (outside)
  );

  // The watcher: bytes from the base by rows and by pixels, of the element, of the block's first and of the next block's.
  typedef struct packed {
    logic [31:0] rows;
    logic [31:0] pixels;
  } place_t;
  place_t here, block, following, stepped, follower;
  logic begun, second, known, half_known, double_known;
  logic [31:0] base, group, bytes;

  assign bytes = half_i ? 32'd1 : double_i ? 32'd4 : 32'd2;  // half bytes of a channel
  always_comb begin
    stepped = here;
    if (row_end_i) begin
      stepped.rows   = here.rows + 32'(row_stride_i);
      stepped.pixels = '0;
    end else begin
      stepped.pixels = here.pixels + 32'(pix_stride_i);
    end
    follower = first ? stepped : following;
  end

  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running) begin
      begun <= 1'b0;
      known <= 1'b0;
    end else if (start_i) begin
      begun  <= 1'b1;
      known  <= 1'b0;
      base   <= 32'(base_i);
      here   <= '0;
      block  <= '0;
      group  <= '0;
      first  <= 1'b1;
      second <= 1'b0;
    end else if (check_i) begin
      known        <= 1'b1;
      half_known   <= half_i;
      double_known <= double_i;
    end else if (step_i) begin
      here <= stepped;
      if (block_end_i) begin
        here      <= (last_group_i && advance_i) ? follower : block;
        following <= follower;
        group     <= last_group_i ? '0 : group + Lanes * bytes / 2;
        first     <= last_group_i;
        if (last_group_i && advance_i) begin
          block  <= follower;
          second <= 1'b1;
        end
      end
    end
  end

  logic [31:0] wanted;
  assign wanted = base + here.rows + here.pixels + group;

  always_comb begin
    assume (!step_i || (begun && known && !check_i));
    assume (!check_i || (begun && !start_i));
    // A microword's format stands from its check on.
    assume (!known || check_i || (half_i == half_known && double_i == double_known));
    assume (!(half_i && double_i));
    if (running && begun) begin
      assert (addr == ByteW'(wanted));
      if (known && !check_i) begin
        assert (misaligned == (((32'(addr) - group) & (Cols * bytes / 2 - 1)) != '0));
        assert (outside == (32'(addr) >= SpadWords * Depth));
      end
      // What ties the machine to the watcher.
      assert (u_address.at_q.row == ByteW'(base + here.rows + group));
      assert (u_address.block_q.pixel == ByteW'(base + block.rows + block.pixels));
      assert (u_address.block_q.row == ByteW'(base + block.rows));
      assert (u_address.group_q == ByteW'(group));
      assert (!first || group == '0);
      if (!first) begin
        assert (u_address.next_q.pixel == ByteW'(base + following.rows + following.pixels));
        assert (u_address.next_q.row == ByteW'(base + following.rows));
      end
      if (Reach == 1) assert (!(second && !first));
      if (Reach == 2) assert (!(second && block.pixels != '0 && block.rows != '0));
    end
  end
endmodule

`default_nettype wire
