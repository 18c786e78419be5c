// SPDX-License-Identifier: Apache-2.0
// SwiGLU of a pair: sat8(rs(SILU(gate) * up, shift)), gate in Q4.11; five cycles (docs/fastcar.md, SILU).

`default_nettype none
`include "registers.svh"

module swiglu_pair
  import arith_pkg::*;
  import silu_pkg::*;
  import step_pkg::*;
(
    input  logic        clk_i,
    input  logic [ 5:0] shift_i,
    input  pair_t       gate_i,
    input  pair_t       up_i,
    output logic [15:0] hidden_o
);
  localparam int unsigned ProductW = SiluC2W + SiluTBits + 1;

  for (genvar k = 0; k < 2; k++) begin : gen_half
    logic signed [15:0] gate;
    logic [15:0] magnitude;
    logic [5:0] segment;
    logic flat;
    // stage 1: the segment's coefficients and c2 t
    logic signed [SiluC0W-1:0] c0_q;
    logic signed [SiluC1W-1:0] c1_q;
    logic signed [ProductW-1:0] c2t_q;
    logic [SiluTBits-1:0] t_q;
    logic signed [16:0] positive_q[2];
    logic signed [15:0] up_q[3];
    logic [1:0] flat_q;
    // 2: v; 3: silu; 4: its product; 5: rounded
    logic signed [SiluC1W:0] slope;
    logic signed [47:0] v_q;
    logic signed [16:0] silu_q;
    logic signed [47:0] product_q;

    assign gate      = (k == 0) ? gate_i.even : gate_i.odd;
    assign magnitude = gate[15] ? 16'(-17'(gate)) : 16'(gate);
    assign flat      = magnitude >= 16'(SiluSegments << SiluTBits);
    assign segment   = flat ? '0 : 6'(magnitude >> SiluTBits);
    assign slope     = (SiluC1W + 1)'(c1_q) + (SiluC1W + 1)'(rshift(48'(c2t_q), 10'(SiluHShift)));

    always_ff @(posedge clk_i) begin
      c0_q          <= SiluC0[segment];
      c1_q          <= SiluC1[segment];
      c2t_q         <= ProductW'(fastcar_pkg::fabric_product($signed({1'b0, magnitude[SiluTBits-1:0]}),
                                                             9'(SiluC2[segment])));
      t_q           <= magnitude[SiluTBits-1:0];
      flat_q        <= {flat_q[0], flat};
      positive_q[0] <= gate[15] ? '0 : 17'(gate);
      positive_q[1] <= positive_q[0];
      up_q[0]       <= (k == 0) ? up_i.even : up_i.odd;
      for (int unsigned s = 1; s < 3; s++) up_q[s] <= up_q[s-1];
      v_q           <= 48'(c0_q) + 48'(slope) * 48'($signed({1'b0, t_q}));
      silu_q        <= positive_q[1] - (flat_q[1] ? '0 : 17'(rshift(v_q, 10'(SiluVShift))));
      product_q     <= 48'(silu_q) * 48'(up_q[2]);
      hidden_o[8*k+:8] <= sat8(rshift(product_q, 10'({4'd0, shift_i})));
    end
  end
endmodule

`default_nettype wire
