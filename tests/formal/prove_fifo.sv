// SPDX-License-Identifier: Apache-2.0
// fifo, any stalls and flushes: what comes out is what went in, in order, nothing lost and nothing twice; never more than
// Depth entries, and room while there are fewer. Unbounded, by one step of induction over the list that it should hold.

`default_nettype none

module prove_fifo #(
    parameter int unsigned Depth = 4,
    parameter int unsigned Width = 6,
    parameter int unsigned Reach = 0  // 1: it is full
) (
    input logic             clk_i,
    input logic             flush_i,
    input logic             valid_i,
    input logic [Width-1:0] data_i,
    input logic             ready_i
);
  localparam int unsigned IndexW = $clog2(Depth);

  logic running = 1'b0;
  logic ready, valid;
  logic [Width-1:0] data;
  logic [Width-1:0] list_d[Depth], list_q[Depth];  // first come first
  logic [IndexW:0] count_d, count_q;

  always_ff @(posedge clk_i) running <= 1'b1;

  fifo #(
      .Width(Width),
      .Depth(Depth)
  ) u_fifo (
      .clk_i,
      .rst_ni (running),
      .flush_i,
      .valid_i(valid_i && running),
      .ready_o(ready),
      .data_i,
      .valid_o(valid),
      .ready_i(ready_i && running),
      .data_o (data)
  );

  always_comb begin
    list_d  = list_q;
    count_d = count_q;
    if (count_q != 0 && ready_i) begin
      for (int unsigned i = 1; i < Depth; i++) list_d[i-1] = list_q[i];
      count_d = count_q - 1'b1;
    end
    if (valid_i && count_q != (IndexW + 1)'(Depth)) begin
      list_d[count_d[IndexW-1:0]] = data_i;
      count_d = count_d + 1'b1;
    end
    if (flush_i) count_d = '0;
  end

  always_ff @(posedge clk_i) begin
    list_q  <= list_d;
    count_q <= running ? count_d : '0;
  end

  always_comb begin
    if (running) begin
      assert (valid == (count_q != 0));
      assert (ready == (count_q != (IndexW + 1)'(Depth)));
      if (valid) assert (data == list_q[0]);
      assert (count_q <= (IndexW + 1)'(Depth));
      // What ties the two together.
      assert (u_fifo.write_q - u_fifo.read_q == count_q);
      for (int unsigned i = 0; i < Depth; i++) begin
        if (i < 32'(count_q)) assert (u_fifo.entries_q[IndexW'(32'(u_fifo.read_q) + i)] == list_q[i]);
      end
      if (Reach == 1) assert (count_q != (IndexW + 1)'(Depth));
    end
  end
endmodule

`default_nettype wire
