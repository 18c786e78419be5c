// SPDX-License-Identifier: Apache-2.0
// RoPE of a pair of int16 to int8, at the position and at that one frame earlier, and the pair rounded without a turn;
// two cycles. The cosines of all pairs and behind them the sines are written in element by element.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module head_turn
  import arith_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned MaxHeadDim = 128  // elements of a head
) (
    input  logic               clk_i,
    input  logic               turn_we_i,
    input  logic               turn_old_i,   // of the position one frame earlier
    input  logic       [  7:0] turn_addr_i,
    input  logic signed [15:0] turn_i,
    input  logic       [  7:0] half_i,       // half of a head's elements
    input  logic       [  6:0] place_i,      // of the pair in its head
    input  pair_t              pair_i,
    output logic       [ 15:0] now_o,
    output logic       [ 15:0] old_o,
    output logic       [ 15:0] plain_o
);
  localparam int unsigned AddrW = $clog2(MaxHeadDim);

  logic signed [15:0] cosine[2], sine[2];
  pair_t pair_q;
  logic signed [47:0] even[2], odd[2];
  logic [15:0] turned_d[2];

  for (genvar k = 0; k < 2; k++) begin : gen_turns
    logic signed [15:0] turns[MaxHeadDim];
    logic signed [31:0] even_cosine_q, odd_sine_q, even_sine_q, odd_cosine_q;
    always_ff @(posedge clk_i) begin
      if (turn_we_i && turn_old_i == 1'(k)) turns[AddrW'(turn_addr_i)] <= turn_i;
    end
    assign cosine[k] = turns[AddrW'(place_i)];
    assign sine[k]   = turns[AddrW'(half_i + 8'(place_i))];
    always_ff @(posedge clk_i) begin
      even_cosine_q <= pair_i.even * cosine[k];
      odd_sine_q    <= pair_i.odd * sine[k];
      even_sine_q   <= pair_i.even * sine[k];
      odd_cosine_q  <= pair_i.odd * cosine[k];
    end
    assign even[k] = 48'(even_cosine_q) - 48'(odd_sine_q);
    assign odd[k]  = 48'(even_sine_q) + 48'(odd_cosine_q);
    assign turned_d[k] = {sat8(rshift(odd[k], 10'(RopeShift))), sat8(rshift(even[k], 10'(RopeShift)))};
  end

  always_ff @(posedge clk_i) begin
    pair_q <= pair_i;
    now_o   <= turned_d[0];
    old_o   <= turned_d[1];
    plain_o <= {sat8(rshift(48'(pair_q.odd), 10'sd7)), sat8(rshift(48'(pair_q.even), 10'sd7))};
  end

  logic unused_addr;
  assign unused_addr = ^turn_addr_i;

  `CHECK_PARAMETER(HeadInRange, MaxHeadDim >= 2 && MaxHeadDim <= 256)
endmodule

`default_nettype wire
