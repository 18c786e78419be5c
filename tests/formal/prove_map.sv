// SPDX-License-Identifier: Apache-2.0
// drs_map: every computing row has one place, no replayed row has one, and the order is kept.

`default_nettype none

module prove_map
  import fastcar_pkg::*;
(
    input logic [MaxRows-1:0] index_i,
    input row_t               row_i,    // any row
    input row_t               place_i   // any place
);
  count_t count;
  row_t row[MaxRows], place[MaxRows];

  drs_map u_map (
      .index_i,
      .count_o(count),
      .row_o  (row),
      .place_o(place)
  );

  always_comb begin
    // At least once: the place of a computing row holds it.
    if (index_i[row_i]) begin
      assert (count_t'(place[row_i]) < count);
      assert (row[place[row_i]] == row_i);
    end
    // Never a replayed row; and at most once, in order: places rise strictly.
    if (count_t'(place_i) < count) assert (index_i[row[place_i]]);
    if (count_t'(place_i) + 6'd1 < count) assert (row[place_i] < row[place_i+1]);
    assert (count <= count_t'(MaxRows));
    assert ((count == '0) == (index_i == '0));
  end
endmodule

`default_nettype wire
