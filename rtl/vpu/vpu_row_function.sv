// SPDX-License-Identifier: Apache-2.0
// RECIP and RSQRT of one int32 (docs/numerics.md, Functions): packed {exponent, mantissa}, four enabled cycles later.

`default_nettype none
`include "registers.svh"

module vpu_row_function
  import arith_pkg::*;
  import function_pkg::*;
(
    input  logic               clk_i,
    input  logic               enable_i,  // nothing moves, and nothing is computed, without it
    input  logic        [ 3:0] valid_i,  // stages that hold something
    input  logic               root_i,   // RSQRT
    input  logic signed [31:0] y_i,
    output logic        [31:0] packed_o
);
  localparam int unsigned C2tW = RowC2W + RowTBits;

  logic [31:0] positive, shifted, normal_d, normal_q;
  logic [4:0] log2_d;
  logic [4:0] log2_q[3];
  logic [5:0] segment;
  logic [RowTBits-1:0] t_d, t_q;
  logic signed [RowC0W-1:0] c0_q;
  logic signed [RowC1W-1:0] c1_q;
  logic signed [C2tW-1:0] c2t_q;
  logic signed [RowC1W:0] h;
  logic signed [RowC0W:0] v_d, v_q;
  logic signed [47:0] rounded;
  logic [31:0] packed_d;

  // leading one to the top
  always_comb begin
    positive = (y_i > 32'sd0) ? 32'(y_i) : 32'd1;
    shifted  = positive;
    log2_d   = 5'd31;
    if (enable_i) begin
      for (int unsigned i = 0; i < 5; i++) begin
        if (shifted >> (32 - (16 >> i)) == '0) begin
          shifted = shifted << (16 >> i);
          log2_d  = log2_d - 5'(16 >> i);
        end
      end
    end
    normal_d = shifted;
  end

  assign segment = root_i ? 6'(RsqrtBase) + {1'b0, log2_q[0][0], normal_q[30:27]} : {1'b0, normal_q[30:26]};
  assign t_d = root_i ? normal_q[26-:RowTBits] : normal_q[25-:RowTBits];

  always_comb begin
    h   = '0;
    v_d = '0;
    if (enable_i) begin
      h   = (RowC1W + 1)'(c1_q) + (RowC1W + 1)'(rshift(48'(c2t_q), 10'(RowHShift)));
      v_d = (RowC0W + 1)'(c0_q) + (RowC0W + 1)'(h * $signed({1'b0, t_q}));
    end
  end

  always_comb begin
    rounded = '0;
    if (enable_i) rounded = rshift(48'(v_q), 10'(RowVShift));
    packed_d[31:16] = 16'd15 + {11'd0, root_i ? log2_q[2] >> 1 : log2_q[2]};
    packed_d[15:0] = (rounded > 48'sd32767) ? 16'd32767 : (rounded < 48'sd16384) ? 16'd16384 : rounded[15:0];
  end

  `FFLNR(normal_q, normal_d, enable_i && valid_i[0])
  `FFLNR(log2_q[0], log2_d, enable_i && valid_i[0])
  `FFLNR(c0_q, RowC0[segment], enable_i && valid_i[1])
  `FFLNR(c1_q, RowC1[segment], enable_i && valid_i[1])
  `FFLNR(c2t_q, RowC2[segment] * $signed({1'b0, t_d}), enable_i && valid_i[1])
  `FFLNR(t_q, t_d, enable_i && valid_i[1])
  `FFLNR(log2_q[1], log2_q[0], enable_i && valid_i[1])
  `FFLNR(v_q, v_d, enable_i && valid_i[2])
  `FFLNR(log2_q[2], log2_q[1], enable_i && valid_i[2])
  `FFLNR(packed_o, packed_d, enable_i && valid_i[3])

  logic unused_normal;
  assign unused_normal = ^{normal_q[31], normal_q[12:0]};
endmodule

`default_nettype wire
