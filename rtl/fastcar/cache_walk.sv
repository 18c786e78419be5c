// SPDX-License-Identifier: Apache-2.0
// What is read of the caches of a layer, region by region: for a score each head's key or value of one frame earlier; for
// attention, for each row, key head and round of query heads, the keys seen and then the values seen (the sink, then the
// window). `end_o` is the first place behind the layer's heads, once all is asked for.

`default_nettype none
`include "registers.svh"

module cache_walk
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         start_i,
    input  logic         score_i,         // for a score, of values with:
    input  logic         value_i,
    input  shape_t       shape_i,
    input  derived_t     derived_i,
    input  seen_t        seen_i,
    input  logic   [7:0] rounds_i,
    input  place_t       first_i,         // the layer's first head
    output place_t       end_o,
    output logic         region_valid_o,
    input  logic         region_ready_i,
    output region_t      region_o
);
  logic busy_d, busy_q, window_d, window_q, values_d, values_q, taken, head_ends, has_old;
  row_t row_d, row_q;
  logic [7:0] head_d, head_q, round_d, round_q;
  place_t place_d, place_q, at;
  logic [15:0] sink_words, window_place, window_words;

  assign has_old      = seen_i.old != '0;
  assign sink_words   = 16'(seen_i.old) * 16'(derived_i.head_words);
  assign window_place = 16'(seen_i.first) * 16'(derived_i.head_words);
  assign window_words = 16'(seen_i.count - seen_i.old) * 16'(derived_i.head_words);

  assign region_valid_o = busy_q;
  assign taken          = region_valid_o && region_ready_i;
  always_comb begin
    at = place_q;
    region_o = '0;
    if (score_i) begin
      at = place_q + derived_i.earlier;
      region_o.beats = 24'(derived_i.head_words);
    end else if (window_q) begin
      at = place_q + place_t'(window_place);
      region_o.beats = 24'(window_words);
    end else begin
      region_o.beats = 24'(sink_words);
    end
    region_o.addr = ((score_i ? value_i : values_q) ? shape_i.values : shape_i.keys) + {at, 6'd0};
  end

  assign head_ends = score_i || (window_q && values_q && round_q == rounds_i - 8'd1);
  assign end_o     = place_q;

  always_comb begin
    busy_d   = busy_q;
    window_d = window_q;
    values_d = values_q;
    row_d    = row_q;
    head_d   = head_q;
    round_d  = round_q;
    place_d  = place_q;
    if (taken) begin
      window_d = !window_q || !has_old;
      if (window_q) values_d = !values_q;
      if (window_q && values_q) round_d = round_q + 1'b1;
      if (head_ends) begin
        round_d = '0;
        place_d = place_q + derived_i.head_stride;
        head_d  = head_q + 1'b1;
        if (head_q == shape_i.kv_heads - 8'd1) begin
          head_d = '0;
          row_d  = row_q + 1'b1;
          busy_d = count_t'(row_q) != shape_i.rows - 1'b1;
        end
      end
    end
    if (start_i) begin
      busy_d   = 1'b1;
      window_d = !has_old;
      values_d = 1'b0;
      row_d    = '0;
      head_d   = '0;
      round_d  = '0;
      place_d  = first_i;
    end
  end
  `FF(busy_q, busy_d, 1'b0)
  `FF(window_q, window_d, 1'b0)
  `FF(values_q, values_d, 1'b0)
  `FF(row_q, row_d, '0)
  `FF(head_q, head_d, '0)
  `FF(round_q, round_d, '0)
  `FF(place_q, place_d, '0)

  logic unused_fields;
  assign unused_fields = ^{shape_i, derived_i};
endmodule

`default_nettype wire
