// SPDX-License-Identifier: Apache-2.0
// Reads a finished tile's sums out of the lanes, row by row in the order of the rows, a pair of outputs a cycle.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module sum_drain
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes   = 16,  // lanes of the cluster, 1..32
    parameter int unsigned Words   = 16,  // words of a window, 1..32
    parameter int unsigned Entries = 64,                  // accumulators of a tile
    localparam int unsigned EntryW = $clog2(2 * Entries)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      start_i,          // of a job
    input  logic        [       15:0] pairs_i,          // of the job
    input  count_t                    count_i,
    input  row_t                      row_i    [MaxRows],
    input  count_t                    full_i,
    input  count_t                    left_i,
    input  share_t                    share_i  [Lanes],
    input  logic                      tile_valid_i,     // a tile is finished
    output logic                      tile_done_o,      // its last sum is read in this cycle
    output logic        [ EntryW-1:0] addr_o,
    input  logic signed [       31:0] even_i   [Lanes],
    input  logic signed [       31:0] odd_i    [Lanes],
    output logic                      valid_o,
    input  logic                      ready_i,
    output row_t                      row_o,
    output logic        [       15:0] pair_o,
    output logic signed [       31:0] even_o,
    output logic signed [       31:0] odd_o
);
  localparam int unsigned LaneW = (Lanes > 1) ? $clog2(Lanes) : 1;

  logic bank_d, bank_q, step, slot_ends, pass_ends, split, tile_ends, part_ends;
  logic [15:0] base_d, base_q;  // the tile's first pair
  count_t place_d, place_q;  // of the row among those that compute
  count_t slot_d, slot_q, pass_d, pass_q;  // of the row
  count_t word_d, word_q;  // of the tile
  count_t part_d, part_q, local_d, local_q;  // split rows: lane of the row, word of the lane's share
  logic [LaneW-1:0] lane;
  count_t entry_word;

  assign step       = tile_valid_i && (!valid_o || ready_i);
  assign split      = pass_q == full_i;
  assign lane       = LaneW'(split ? count_t'(part_q * left_i) + slot_q : slot_q);
  assign entry_word = split ? local_q : word_q;
  assign addr_o     = EntryW'(32'(bank_q) * Entries + 32'(pass_q) * Words + 32'(entry_word));
  assign slot_ends  = word_q == count_t'(Words - 1) || base_q + 16'(word_q) == pairs_i - 16'd1;
  assign part_ends  = local_q == share_i[lane].words - 1'b1;
  assign pass_ends  = slot_q == count_t'(Lanes - 1);
  assign tile_ends  = place_q == count_i - 1'b1;
  assign tile_done_o = step && slot_ends && tile_ends;

  always_comb begin
    bank_d  = bank_q ^ tile_done_o;
    base_d  = base_q;
    place_d = place_q;
    slot_d  = slot_q;
    pass_d  = pass_q;
    word_d  = word_q + 1'b1;
    local_d = part_ends ? '0 : local_q + 1'b1;
    part_d  = part_ends ? part_q + 1'b1 : part_q;
    if (slot_ends) begin
      word_d  = '0;
      local_d = '0;
      part_d  = '0;
      place_d = tile_ends ? '0 : place_q + 1'b1;
      slot_d  = (pass_ends || tile_ends) ? '0 : slot_q + 1'b1;
      pass_d  = tile_ends ? '0 : (pass_ends ? pass_q + 1'b1 : pass_q);
      if (tile_ends) base_d = base_q + 16'(Words);
    end
    if (start_i) base_d = '0;
  end

  `FFL(bank_q, bank_d, step, 1'b0)
  `FFL(base_q, base_d, step || start_i, '0)
  `FFL(place_q, place_d, step, '0)
  `FFL(slot_q, slot_d, step, '0)
  `FFL(pass_q, pass_d, step, '0)
  `FFL(word_q, word_d, step, '0)
  `FFL(local_q, local_d, step, '0)
  `FFL(part_q, part_d, step, '0)

  `FF(valid_o, step || (valid_o && !ready_i), 1'b0)
  `FFLNR(row_o, row_i[place_q[4:0]], step)
  `FFLNR(pair_o, base_q + 16'(word_q), step)
  `FFLNR(even_o, even_i[lane], step)
  `FFLNR(odd_o, odd_i[lane], step)

  `ASSERT_STABLE(SumStable, valid_o, ready_i, {row_o, pair_o, even_o, odd_o})
endmodule

`default_nettype wire
