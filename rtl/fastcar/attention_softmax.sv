// SPDX-License-Identifier: Apache-2.0
// The weight of a key for Group query heads: p = min(4095, rs(EXP2N(octaves), 3)), octaves of the score behind the
// largest (docs/fastcar.md, Attention); six cycles.

`default_nettype none
`include "registers.svh"

module attention_softmax
  import arith_pkg::*;
  import function_pkg::*;
#(
    parameter int unsigned Group = 1  // query heads
) (
    input  logic                          clk_i,
    input  logic        [     14:0]       multiplier_i,
    input  logic        [      5:0]       shift_i,
    input  logic signed [Group-1:0][31:0] score_i,
    input  logic signed [Group-1:0][31:0] largest_i,
    output logic        [Group-1:0][11:0] weight_o
);
  localparam int unsigned ProductW = LaneC2W + LaneTBits + 1;

  for (genvar g = 0; g < Group; g++) begin : gen_head
    logic signed [32:0] behind_q;
    logic signed [47:0] scaled_q;
    logic signed [15:0] octaves;
    logic [15:0] u_q;  // octaves below
    logic [5:0] segment;
    logic [LaneTBits-1:0] t, t_q;
    logic [5:0] whole_q[2];
    logic signed [LaneC0W-1:0] c0_q;
    logic signed [LaneC1W-1:0] c1_q;
    logic signed [ProductW-1:0] c2t_q;
    logic signed [LaneC1W:0] slope;
    logic signed [47:0] v_q, power, rounded;

    assign octaves = sat16(rshift(scaled_q, 10'({4'd0, shift_i})));
    assign segment = 6'(Exp2nBase) + 6'(u_q[9:6]);
    assign t       = LaneTBits'({u_q[5:0], 2'b00});
    assign slope   = (LaneC1W + 1)'(c1_q) + (LaneC1W + 1)'(rshift(48'(c2t_q), 10'(LaneHShift)));
    always_comb begin
      power = rshift(v_q, 10'(LaneVShift) + 10'(whole_q[1]));
      if (power > 48'sd32767) power = 48'sd32767;
      rounded = rshift(power, 10'sd3);
    end
    always_ff @(posedge clk_i) begin
      behind_q    <= 33'($signed(score_i[g])) - 33'($signed(largest_i[g]));
      scaled_q    <= 48'(behind_q) * 48'($signed({1'b0, multiplier_i}));
      u_q         <= octaves[15] ? 16'(-17'(octaves)) : '0;
      c0_q        <= LaneC0[segment];
      c1_q        <= LaneC1[segment];
      c2t_q       <= ProductW'(fastcar_pkg::fabric_product(10'(LaneC2[segment]), $signed({1'b0, t})));
      t_q         <= t;
      whole_q[0]  <= u_q[15:10];
      v_q         <= 48'(c0_q) + 48'(slope) * 48'($signed({1'b0, t_q}));
      whole_q[1]  <= whole_q[0];
      weight_o[g] <= (rounded > 48'sd4095) ? 12'd4095 : rounded[11:0];
    end
  end
endmodule

`default_nettype wire
