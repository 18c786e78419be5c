// SPDX-License-Identifier: Apache-2.0
// The score of a row, for every chooser: the sum over heads of weight_i times the head's sum of q.k', or of (q - k')^2.
// Width products a beat, one score a row. TAS has weights of 1 or of its own, a distance the weight -1.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module tas_unit #(
    parameter int unsigned Width  = 64,   // products of a beat
    parameter bit          Fabric = 1'b0  // of LUTs, not of DSPs
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               distance_i,      // squares of differences; stands still in a row
    input  logic               valid_i,
    output logic               ready_o,
    input  logic        [ 7:0] q_i    [Width],  // int8: a query, or the new value or key
    input  logic        [ 7:0] k_i    [Width],  // int8, one frame earlier
    input  logic signed [ 3:0] weight_i,        // of the beat's head
    input  logic               last_i,          // of the row
    output logic               valid_o,
    input  logic               ready_i,
    output logic signed [31:0] tas_o
);
  localparam int unsigned Stages = 3;  // products, their sum, its weight

  logic advance;
  logic [Stages-1:0] busy_q, last_q;
  logic signed [8:0] left[Width], right[Width];
  logic signed [16:0] product[Width], product_q[Width];
  logic signed [31:0] sum_d, sum_q, weighted_d, weighted_q, total_d, total_q;
  logic signed [1:0][3:0] weight_q;
  logic fresh_q, done_q;

  // A row's score waits at the end; what is behind it may move until it reaches it.
  assign advance = !(done_q && !ready_i);
  assign ready_o = advance;
  assign valid_o = done_q;
  assign tas_o   = total_q;

  always_comb begin
    for (int unsigned i = 0; i < Width; i++) begin
      left[i]  = 9'($signed(q_i[i]));
      right[i] = 9'($signed(k_i[i]));
      if (distance_i) begin
        left[i]  = left[i] - right[i];
        right[i] = left[i];
      end
    end
  end

  always_comb begin
    sum_d = '0;
    if (busy_q[0]) begin
      for (int unsigned i = 0; i < Width; i++) sum_d += 32'(product_q[i]);
    end
    weighted_d = weight_q[1][3] ? -(sum_q <<< 3) : '0;
    for (int unsigned i = 0; i < 3; i++) if (weight_q[1][i]) weighted_d += sum_q <<< i;
    total_d = (fresh_q ? '0 : total_q) + weighted_q;
  end

  for (genvar i = 0; i < Width; i++) begin : gen_product
    if (Fabric) begin : gen_luts
      logic signed [17:0] whole;
      logic unused_top;
      lut_multiplier #(
          .Left (9),
          .Right(9)
      ) u_product (
          .left_i   (left[i]),
          .right_i  (right[i]),
          .product_o(whole)
      );
      assign product[i] = whole[16:0];
      assign unused_top = whole[17];
    end else begin : gen_dsp
      assign product[i] = left[i] * right[i];
    end
  end
  `FFL(busy_q, {busy_q[1:0], valid_i}, advance, '0)
  `FFL(last_q, {last_q[1:0], last_i}, advance, '0)
  `FFLNR(product_q, product, valid_i && advance)
  `FFLNR(weight_q, {weight_q[0], weight_i}, advance)
  `FFLNR(sum_q, sum_d, busy_q[0] && advance)
  `FFLNR(weighted_q, weighted_d, busy_q[1] && advance)
  `FFL(total_q, total_d, busy_q[2] && advance, '0)
  `FFL(fresh_q, last_q[2], busy_q[2] && advance, 1'b1)
  `FFL(done_q, busy_q[2] && last_q[2], advance, 1'b0)

  `ASSERT_STABLE(ScoreStable, valid_o, ready_i, tas_o)
endmodule

`default_nettype wire
