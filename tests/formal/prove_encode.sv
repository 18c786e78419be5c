// SPDX-License-Identifier: Apache-2.0
// The lanes' last steps as they stand in vpu_lanes: a clamp keeps what lies within it and no more, and the code of a
// value is its place among fifteen rising thresholds: of two that rise the lower one is passed with the higher one, and
// where that holds of all, the number of passed ones is the place, and halving finds it.

`default_nettype none

module prove_encode #(
    parameter int unsigned Reach = 0  // 1: every threshold passed, 2: clamped from above
) (
    input logic signed [32:0] value_i,
    input logic signed [15:0] code_i,
    input logic signed [15:0] threshold_i[2],
    input logic        [14:0] passed_i,
    input logic signed [15:0] lo_i,
    input logic signed [15:0] hi_i
);
  logic signed [32:0] sum;
  logic signed [15:0] encoded;
  logic [3:0] code;
  logic nested;

  always_comb begin
    sum = value_i;
    if (sum < 33'(lo_i)) sum = 33'(lo_i);
    if (sum > 33'(hi_i)) sum = 33'(hi_i);
    if (lo_i <= hi_i) begin
      assert (sum[15:0] == 16'(sum) && sum >= 33'(lo_i) && sum <= 33'(hi_i));
      if (value_i >= 33'(lo_i) && value_i <= 33'(hi_i)) assert (sum == value_i);
    end
    if (threshold_i[0] <= threshold_i[1]) assert (code_i >= threshold_i[0] || !(code_i >= threshold_i[1]));
    encoded = '0;
    nested  = 1'b1;
    for (int unsigned i = 0; i < 15; i++) encoded = encoded + 16'(passed_i[i]);
    for (int unsigned i = 1; i < 15; i++) nested = nested && (passed_i[i-1] || !passed_i[i]);
    if (nested) for (int unsigned i = 0; i < 15; i++) assert (passed_i[i] == (16'(i) < encoded));
    code = '0;
    for (int unsigned b = 0; b < 4; b++) if (passed_i[code|(4'd7>>b)]) code = code | 4'(8 >> b);
    if (nested) assert (16'(code) == encoded);
    if (Reach == 1) assert (!(nested && encoded == 16'd15));
    if (Reach == 2) assert (!(lo_i <= hi_i && sum < value_i));
  end
endmodule

`default_nettype wire
