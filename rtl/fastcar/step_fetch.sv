// SPDX-License-Identifier: Apache-2.0
// The constants of a step, by phase: RoPE's tables of the position and of that one frame earlier, element by element to
// where pairs are turned; a layer's registers; the gains of a norm, which wait here.

`default_nettype none
`include "registers.svh"

module step_fetch
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned RowWords = 128,  // words that a row of x may have
    localparam int unsigned GainW = $clog2(RowWords)
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  phase_e             phase_i,
    input  logic               begins_i,
    input  shape_t             shape_i,
    input  derived_t           derived_i,
    input  logic        [ 7:0] layer_index_i,
    output logic               fetched_o,       // for a cycle: the phase's words are in
    output logic               region_valid_o,
    input  logic               region_ready_i,
    output region_t            region_o,
    input  logic               word_valid_i,
    output logic               word_ready_o,
    input  word_t              word_i,
    output logic               turn_we_o,
    output logic               turn_old_o,
    output logic        [ 7:0] turn_addr_o,
    output logic signed [15:0] turn_o,
    output layer_t             layer_o,
    output word_t              head_weights_o,
    input  logic               gain_re_i,
    input  logic  [GainW-1:0]  gain_addr_i,
    output word_t              gain_o
);
  logic turns, record, gain, mine, taken, element_ends, all_in, ask_d, ask_q, old_d, old_q;
  logic [9:0] word_d, word_q, words;
  logic [4:0] element_d, element_q;
  addr_t gains_d, gains_q, registers;
  (* ram_style = "distributed" *)
  word_t gains[RowWords];

  assign turns  = phase_i == PhaseTurns;
  assign record = phase_i == PhaseRecord;
  assign gain   = phase_i == PhaseGain || phase_i == PhaseMlpGain;
  assign mine   = turns || record || gain;

  // A region a phase, for the turns one more when a frame lies behind.
  always_comb begin
    region_o = '0;
    if (turns) begin
      region_o.addr = shape_i.turns + {(old_q ? derived_i.turn_before : derived_i.turn_now), 6'd0};
      words = 10'((32'(shape_i.head_dim) + Shorts - 1) / Shorts);
    end else if (record) begin
      region_o.addr = registers;
      words = 10'd2;
    end else begin
      region_o.addr = gains_q + ((phase_i == PhaseMlpGain) ? 40'({derived_i.row_words, 6'd0}) : '0);
      words = derived_i.row_words;
    end
    region_o.beats = 24'(words);
  end
  assign region_valid_o = ask_q;
  assign ask_d = (begins_i && mine) || (ask_q && !region_ready_i) ||
      (turns && all_in && !old_q && derived_i.replays);
  `FF(ask_q, ask_d, 1'b0)

  // Turns go on element by element, and end with the head.
  assign turn_we_o    = turns && word_valid_i;
  assign turn_old_o   = old_q;
  assign turn_addr_o  = {word_q[2:0], element_q};
  assign turn_o       = $signed(word_i[16*element_q+:16]);
  assign element_ends = !turns || element_q == '1 || 9'(turn_addr_o) == shape_i.head_dim - 9'd1;
  assign word_ready_o = mine && element_ends;
  assign taken        = word_valid_i && word_ready_o;
  assign all_in       = taken && word_q == words - 10'd1;
  assign fetched_o    = all_in && (!turns || old_q || !derived_i.replays);

  always_comb begin
    element_d = (turn_we_o && !element_ends) ? element_q + 1'b1 : (taken ? '0 : element_q);
    word_d    = word_q + 10'(taken);
    old_d     = old_q;
    if (all_in) begin
      word_d = '0;
      old_d  = turns && !old_q && derived_i.replays;
    end
    if (begins_i) begin
      element_d = '0;
      word_d    = '0;
      old_d     = 1'b0;
    end
  end
  `FFLNR(element_q, element_d, 1'b1)
  `FFLNR(word_q, word_d, 1'b1)
  `FFLNR(old_q, old_d, 1'b1)

  // Where a layer's registers and gains lie.
  assign gains_d = (layer_index_i == '0) ? shape_i.gains : gains_q + 40'({derived_i.row_words, 7'd0});
  `FFLNR(gains_q, gains_d, begins_i && record)
  assign registers = shape_i.registers + {25'd0, layer_index_i, 7'd0};

  `FFLNR(layer_o, unpack_layer(word_i), record && taken && word_q == '0)
  `FFLNR(head_weights_o, word_i, record && taken && word_q == 10'd1)
  always_ff @(posedge clk_i) begin
    if (gain && taken) gains[GainW'(word_q)] <= word_i;
  end
  `FFLNR(gain_o, gains[gain_addr_i], gain_re_i)

  logic unused_shape;
  assign unused_shape = ^{shape_i, derived_i};
endmodule

`default_nettype wire
