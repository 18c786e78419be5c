// SPDX-License-Identifier: Apache-2.0
// drs_plan: the passes take every place, and in the last pass each word of each row is taken by one lane.

`default_nettype none

module prove_plan
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Words = 16
) (
    input count_t count_i,
    input row_t   slot_i,   // any row of the last pass
    input count_t word_i    // any word of a window
);
  count_t full, left, steps, takers;
  share_t share[Lanes];

  drs_plan #(
      .Lanes(Lanes),
      .Words(Words)
  ) u_plan (
      .count_i,
      .full_o (full),
      .left_o (left),
      .steps_o(steps),
      .share_o(share)
  );

  always_comb begin
    takers = '0;
    for (int unsigned k = 0; k < Lanes; k++) begin
      if (share[k].slot == slot_i && word_i >= share[k].first && word_i < share[k].first + share[k].words)
        takers = takers + 1'b1;
    end
    if (count_i <= count_t'(MaxRows)) begin
      assert (32'(full) * Lanes + 32'(left) == 32'(count_i));
      assert (32'(left) < Lanes);
      if (count_t'(slot_i) < left && 32'(word_i) < Words) assert (takers == 6'd1);
      for (int unsigned k = 0; k < Lanes; k++) begin
        assert (share[k].words <= steps);
        if (left != '0) assert (count_t'(share[k].slot) < left);
        else assert (share[k].words == '0);
      end
      // No more steps than the slowest share of an even division needs.
      if (left != '0) assert (32'(steps) * (Lanes / 32'(left)) < Words + Lanes / 32'(left));
    end
  end
endmodule

`default_nettype wire
