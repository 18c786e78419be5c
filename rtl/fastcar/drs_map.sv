// SPDX-License-Identifier: Apache-2.0
// Compaction: the computing rows of an index register in order, and the place of each row among them.

`default_nettype none

module drs_map
  import fastcar_pkg::*;
(
    input  logic   [MaxRows-1:0] index_i,
    output count_t               count_o,           // computing rows
    output row_t                 row_o  [MaxRows],  // the row in place s, for s below the count; 0 above
    output row_t                 place_o[MaxRows]   // the place of row r, if it computes
);
  always_comb begin
    automatic count_t ahead;
    ahead = '0;
    row_o  = '{default: '0};
    for (int unsigned r = 0; r < MaxRows; r++) begin
      place_o[r] = row_t'(ahead);
      ahead += count_t'(index_i[r]);
    end
    count_o = ahead;
    for (int unsigned s = 0; s < MaxRows; s++) begin
      for (int unsigned r = s; r < MaxRows; r++) begin
        if (index_i[r] && place_o[r] == row_t'(s)) row_o[s] |= row_t'(r);
      end
    end
  end
endmodule

`default_nettype wire
