// SPDX-License-Identifier: Apache-2.0
// The regions of a stream of weights or scales, layer by layer: what attention takes, then what the MLP takes, which
// waits for the layer's decision where a frame lies behind.

`default_nettype none
`include "registers.svh"

module region_walk
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        start_i,
    input  addr_t       base_i,
    input  logic [ 7:0] layers_i,
    input  logic [23:0] attention_i,     // words
    input  logic [23:0] mlp_i,
    input  logic        decides_i,
    output logic        region_valid_o,
    input  logic        region_ready_i,
    output region_t     region_o
);
  logic mlp_d, mlp_q, taken;
  logic [7:0] left_d, left_q;
  addr_t addr_d, addr_q;
  logic [23:0] beats;

  assign region_valid_o = left_q != '0;
  assign beats    = mlp_q ? mlp_i : attention_i;
  assign region_o = region_t'{addr: addr_q, beats: beats, mlp: mlp_q && decides_i, last: 1'b1};
  assign taken    = region_valid_o && region_ready_i;

  always_comb begin
    mlp_d  = mlp_q ^ taken;
    left_d = left_q - 8'(taken && mlp_q);
    addr_d = addr_q + 40'({beats, 6'd0});  // loads with `taken` alone
    if (start_i) begin
      mlp_d  = 1'b0;
      left_d = layers_i;
      addr_d = base_i;
    end
  end
  `FF(mlp_q, mlp_d, 1'b0)
  `FF(left_q, left_d, '0)
  `FFLNR(addr_q, addr_d, start_i || taken)
endmodule

`default_nettype wire
