// SPDX-License-Identifier: Apache-2.0
// The passes over a window of Words weight words for `count_i` computing rows on Lanes lanes: full passes, in which lane
// k takes every word for the k-th row of the pass, and a last one in which the rows left are split over the lanes:
// lane k works for row `k mod left`, and a row's lanes divide the window's words among them, in order.

`default_nettype none
`include "assertions.svh"

module drs_plan
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes = 16,  // 1..32
    parameter int unsigned Words = 16   // of a window, 1..32
) (
    input  count_t count_i,
    output count_t full_o,          // full passes
    output count_t left_o,          // rows of the last pass, 0: there is none
    output count_t steps_o,         // words that the busiest lane takes in the last pass
    output share_t share_o[Lanes]
);
  always_comb begin
    automatic count_t part, words, first;
    full_o = count_i / count_t'(Lanes);
    left_o = count_i % count_t'(Lanes);
    steps_o = '0;
    share_o = '{default: '0};
    for (int unsigned k = 0; k < Lanes; k++) begin
      part  = '0;
      words = '0;
      for (int unsigned m = 1; m < Lanes; m++) begin
        if (left_o == count_t'(m)) begin
          share_o[k].slot = row_t'(k % m);
          part = count_t'(k / m);
          // The row has (Lanes - 1 - k % m) / m + 1 lanes; a part is a window divided by that, rounded up.
          words = count_t'((Words + (Lanes - 1 - (k % m)) / m) / ((Lanes - 1 - (k % m)) / m + 1));
        end
      end
      first = count_t'(part * words);
      if (first > count_t'(Words)) first = count_t'(Words);
      if (words > count_t'(Words) - first) words = count_t'(Words) - first;
      share_o[k].first = first;
      share_o[k].words = words;
      if (words > steps_o) steps_o = words;
    end
  end

  `CHECK_PARAMETER(LanesInRange, Lanes >= 1 && Lanes <= MaxRows)
  `CHECK_PARAMETER(WordsInRange, Words >= 1 && Words <= MaxWords)
endmodule

`default_nettype wire
