// SPDX-License-Identifier: Apache-2.0
// Temporal attention score: the sum of q.k' over all heads of a row, Width products a beat, one sum a row.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module tas_unit #(
    parameter int unsigned Width = 64  // products of a beat
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               valid_i,
    output logic               ready_o,
    input  logic        [ 7:0] q_i    [Width],  // int8
    input  logic        [ 7:0] k_i    [Width],  // int8, the key one frame earlier
    input  logic               last_i,          // of the row
    output logic               valid_o,
    input  logic               ready_i,
    output logic signed [31:0] tas_o
);
  localparam int unsigned Stages = 2;  // products, their sum

  logic advance;
  logic [Stages-1:0] busy_q, last_q;
  logic signed [15:0] product_d[Width], product_q[Width];
  logic signed [31:0] sum_d, sum_q, total_d, total_q;
  logic fresh_q, done_q;

  // A row's score waits at the end; what is behind it may move until it reaches it.
  assign advance = !(done_q && !ready_i);
  assign ready_o = advance;
  assign valid_o = done_q;
  assign tas_o   = total_q;

  always_comb begin
    product_d = product_q;
    sum_d = '0;
    if (valid_i && advance) begin
      for (int unsigned i = 0; i < Width; i++) product_d[i] = $signed(q_i[i]) * $signed(k_i[i]);
    end
    if (busy_q[0]) begin
      for (int unsigned i = 0; i < Width; i++) sum_d += 32'(product_q[i]);
    end
    total_d = (fresh_q ? '0 : total_q) + sum_q;
  end

  `FFL(busy_q, {busy_q[0], valid_i}, advance, '0)
  `FFL(last_q, {last_q[0], last_i}, advance, '0)
  `FFLNR(product_q, product_d, valid_i && advance)
  `FFLNR(sum_q, sum_d, busy_q[0] && advance)
  `FFL(total_q, total_d, busy_q[1] && advance, '0)
  `FFL(fresh_q, last_q[1], busy_q[1] && advance, 1'b1)
  `FFL(done_q, busy_q[1] && last_q[1], advance, 1'b0)

  `ASSERT_STABLE(ScoreStable, valid_o, ready_i, tas_o)
endmodule

`default_nettype wire
