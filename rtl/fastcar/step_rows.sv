// SPDX-License-Identifier: Apache-2.0
// The row-wise half of a step: its memories and the units that walk over rows, each in its phase (norm, residual, score,
// attention, what becomes of sums, inputs of the lanes).

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_rows
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Words       = 16,    // pairs of outputs of a tile
    parameter int unsigned RowWords    = 128,   // words of a row of x, a power of two
    parameter int unsigned HeadWords   = 64,    // of a row's query heads, a power of two
    parameter int unsigned HiddenWords = 256,   // of a row's hidden, a power of two
    parameter int unsigned MaxHeadDim  = 128,   // elements of a head
    parameter int unsigned KeyWords    = 2,     // words of a head at most
    parameter int unsigned Tokens      = 4096,  // positions of a context
    parameter int unsigned Group       = 1,     // query heads that share a pass over keys
    parameter int unsigned Vector      = 8,     // elements a cycle of norm and residual
    parameter bit          Fabric      = 1'b0,  // attention scores' products of LUTs, not of DSPs
    parameter bit          Ultra       = 1'b1,  // memories in UltraRAM
    localparam int unsigned GainW = $clog2(RowWords)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  phase_e                    phase_i,
    input  logic                      begins_i,
    input  shape_t                    shape_i,
    input  derived_t                  derived_i,
    input  layer_t                    layer_i,
    input  seen_t                     seen_i,
    input  word_t                     head_weights_i,
    input  logic        [MaxRows-1:0] index_i,
    input  logic        [MaxRows-1:0] rows_all_i,
    input  sum_e                      kind_i,
    input  logic                [9:0] segments_i,
    input  logic                      word_valid_i,
    input  word_t                     word_i,
    input  logic        [MaxRows-1:0] outside_i,
    input  logic                      turn_we_i,
    input  logic                      turn_old_i,
    input  logic                [7:0] turn_addr_i,
    input  logic signed        [15:0] turn_i,
    input  word_t                     gain_i,
    input  logic                      load_ready_i,
    input  logic                      sum_valid_i,
    input  row_t                      sum_row_i,
    input  logic               [15:0] sum_pair_i,
    input  logic signed        [31:0] sum_even_i,
    input  logic signed        [31:0] sum_odd_i,
    input  logic                      scale_valid_i,
    input  word_t                     scale_i,
    input  logic                      tas_ready_i,
    input  logic                      walk_re_i,
    input  row_t                      walk_row_i,
    input  logic               [11:0] walk_at_i,
    input  logic                      keep_ready_i,
    output logic                      add_done_o,
    output logic                      add_ready_o,
    output logic                      score_ready_o,
    output logic                      attend_done_o,
    output logic                      attend_ready_o,
    output logic                [7:0] rounds_o,
    output logic                      gain_re_o,
    output logic          [GainW-1:0] gain_addr_o,
    output logic                      load_valid_o,
    output row_t                      load_row_o,
    output logic                [9:0] load_segment_o,
    output word_t                     load_o,
    output logic                      load_last_o,
    output logic                      sum_ready_o,
    output logic                      scale_ready_o,
    output logic                      pipe_busy_o,
    output logic                      tas_distance_o,
    output logic                      tas_valid_o,
    output logic                [7:0] tas_now_o [Bytes],
    output logic                [7:0] tas_before_o [Bytes],
    output logic signed         [3:0] tas_weight_o,
    output logic                      tas_last_o,
    output logic                      keep_valid_o,
    output word_t                     keep_o,
    output logic                      row_done_o,
    output word_t                     x_read_o,
    output word_t                     attended_read_o,
    output word_t                     scored_read_o
);
  localparam int unsigned RowW = $clog2(MaxRows * RowWords);
  localparam int unsigned HeadW = $clog2(2 * MaxRows * HeadWords);
  localparam int unsigned HiddenW = $clog2(MaxRows * HiddenWords);

  // -- Units that walk over rows
  logic x_re, add_x_re, norm_x_re, delta_re, x_we;
  logic [RowW-1:0] x_raddr, add_x_raddr, norm_x_addr, x_waddr, delta_addr;
  word_t x_write, delta_read;
  row_t square_row;
  logic [43:0] squares;
  logic norm_load_valid, norm_load_last, unused_normed;
  row_t norm_load_row;
  logic [9:0] norm_load_segment;
  word_t norm_load;
  logic [MaxRows-1:0] computing;

  row_add #(
      .Vector(Vector), .RowWords(RowWords)
  ) u_add (
      .clk_i, .rst_ni,
      .start_i     (begins_i && (phase_i == PhaseRows || phase_i == PhaseAdd || phase_i == PhaseRing)),
      .done_o      (add_done_o),
      .rows_i      (shape_i.rows),
      .width_i     (shape_i.width),
      .row_words_i (derived_i.row_words),
      .fresh_i     (phase_i == PhaseRows),
      .outside_i   (outside_i),
      .keep_i      (phase_i == PhaseRing),
      .x_re_o      (add_x_re),
      .x_raddr_o   (add_x_raddr),
      .x_i         (x_read_o),
      .x_we_o      (x_we),
      .x_waddr_o   (x_waddr),
      .x_o         (x_write),
      .delta_re_o  (delta_re),
      .delta_addr_o(delta_addr),
      .delta_i     (delta_read),
      .word_valid_i(word_valid_i && (phase_i == PhaseRows || phase_i == PhaseRing)),
      .word_ready_o(add_ready_o),
      .word_i      (word_i),
      .keep_valid_o(keep_valid_o),
      .keep_ready_i(keep_ready_i),
      .keep_o      (keep_o),
      .row_o       (row_done_o),
      .square_row_i(square_row),
      .squares_o   (squares)
  );

  // The MLP's inputs are those of computing rows, or of all rows without scheduling.
  assign computing = (index_i == '0) ? MaxRows'(1) : (shape_i.scheduling ? index_i : rows_all_i);
  row_norm #(
      .Vector(Vector), .RowWords(RowWords)
  ) u_norm (
      .clk_i, .rst_ni,
      .start_i       (begins_i && (phase_i == PhaseHeads || phase_i == PhaseHidden)),
      .done_o        (unused_normed),
      .rows_i        ((phase_i == PhaseHeads) ? rows_all_i : computing),
      .row_words_i   (derived_i.row_words),
      .norm_shift_i  ((phase_i == PhaseHeads) ? layer_i.attention_norm_shift : layer_i.mlp_norm_shift),
      .square_row_o  (square_row),
      .squares_i     (squares),
      .x_re_o        (norm_x_re),
      .x_addr_o      (norm_x_addr),
      .x_i           (x_read_o),
      .gain_re_o     (gain_re_o),
      .gain_addr_o   (gain_addr_o),
      .gain_i        (gain_i),
      .load_valid_o  (norm_load_valid),
      .load_ready_i  (load_ready_i && (phase_i == PhaseHeads || phase_i == PhaseHidden)),
      .load_row_o    (norm_load_row),
      .load_segment_o(norm_load_segment),
      .load_o        (norm_load),
      .load_last_o   (norm_load_last)
  );

  logic hidden_re, hidden_load_valid, hidden_load_last;
  logic [HiddenW-1:0] hidden_addr;
  word_t hidden_read, hidden_load;
  row_t hidden_load_row;
  logic [9:0] hidden_load_segment;
  row_load #(
      .RowWords(HiddenWords)
  ) u_load (
      .clk_i, .rst_ni,
      .start_i       (begins_i && (phase_i == PhaseOutput || phase_i == PhaseDown)),
      .rows_i        ((phase_i == PhaseOutput) ? rows_all_i : computing),
      .segments_i    (segments_i),
      .re_o          (hidden_re),
      .addr_o        (hidden_addr),
      .data_i        (hidden_read),
      .load_valid_o  (hidden_load_valid),
      .load_ready_i  (load_ready_i && (phase_i == PhaseOutput || phase_i == PhaseDown)),
      .load_row_o    (hidden_load_row),
      .load_segment_o(hidden_load_segment),
      .load_o        (hidden_load),
      .load_last_o   (hidden_load_last)
  );
  always_comb begin
    load_valid_o   = hidden_load_valid;
    load_row_o     = hidden_load_row;
    load_segment_o = hidden_load_segment;
    load_o         = hidden_load;
    load_last_o    = hidden_load_last;
    if (phase_i == PhaseHeads || phase_i == PhaseHidden) begin
      load_valid_o   = norm_load_valid;
      load_row_o     = norm_load_row;
      load_segment_o = norm_load_segment;
      load_o         = norm_load;
      load_last_o    = norm_load_last;
    end
  end

  logic attended_we, attended_key, scored_we, scored_value, delta_we, glu_we, out_we;
  byte_pair_t attended, scored_pair, glu, out;
  row_t delta_row;
  logic [13:0] delta_place;
  pair_t delta;
  row_pipe #(
      .Words(Words), .MaxHeadDim(MaxHeadDim)
  ) u_pipe (
      .clk_i, .rst_ni,
      .shape_i       (shape_i),
      .derived_i     (derived_i),
      .layer_i       (layer_i),
      .start_i       (begins_i && (phase_i inside {PhaseHeads, PhaseOutput, PhaseHidden, PhaseDown})),
      .kind_i        (kind_i),
      .busy_o        (pipe_busy_o),
      .turn_we_i     (turn_we_i),
      .turn_old_i    (turn_old_i),
      .turn_addr_i   (turn_addr_i),
      .turn_i        (turn_i),
      .sum_valid_i   (sum_valid_i),
      .sum_ready_o   (sum_ready_o),
      .sum_row_i     (sum_row_i),
      .sum_pair_i    (sum_pair_i),
      .sum_even_i    (sum_even_i),
      .sum_odd_i     (sum_odd_i),
      .scale_valid_i (scale_valid_i),
      .scale_ready_o (scale_ready_o),
      .scale_i       (scale_i),
      .attended_we_o (attended_we),
      .attended_key_o(attended_key),
      .attended_o    (attended),
      .scored_we_o   (scored_we),
      .scored_value_o(scored_value),
      .scored_o      (scored_pair),
      .delta_we_o    (delta_we),
      .delta_row_o   (delta_row),
      .delta_place_o (delta_place),
      .delta_o       (delta),
      .hidden_we_o   (glu_we),
      .hidden_o      (glu)
  );

  logic score_re, query_re, unused_scored;
  logic [HeadW-1:0] score_addr, query_addr;
  score_walk #(
      .HeadWords(HeadWords), .KeyWords(KeyWords)
  ) u_score (
      .clk_i, .rst_ni,
      .start_i       (begins_i && phase_i == PhaseScore),
      .done_o        (unused_scored),
      .shape_i       (shape_i),
      .derived_i     (derived_i),
      .chooser_i     (layer_i.chooser),
      .head_weights_i(head_weights_i),
      .re_o          (score_re),
      .addr_o        (score_addr),
      .now_i         (scored_read_o),
      .word_valid_i  (word_valid_i && phase_i == PhaseScore),
      .word_ready_o  (score_ready_o),
      .word_i        (word_i),
      .tas_distance_o(tas_distance_o),
      .tas_valid_o   (tas_valid_o),
      .tas_ready_i   (tas_ready_i),
      .tas_now_o     (tas_now_o),
      .tas_before_o  (tas_before_o),
      .tas_weight_o  (tas_weight_o),
      .tas_last_o    (tas_last_o)
  );

  attention_unit #(
      .Group(Group), .HeadWords(HeadWords), .KeyWords(KeyWords), .Tokens(Tokens), .Fabric(Fabric),
      .Ultra(Ultra)
  ) u_attention (
      .clk_i, .rst_ni,
      .start_i      (begins_i && phase_i == PhaseAttend),
      .done_o       (attend_done_o),
      .shape_i      (shape_i),
      .derived_i    (derived_i),
      .layer_i      (layer_i),
      .seen_i       (seen_i),
      .rounds_o     (rounds_o),
      .query_re_o   (query_re),
      .query_addr_o (query_addr),
      .query_i      (attended_read_o),
      .word_valid_i (word_valid_i && phase_i == PhaseAttend),
      .word_ready_o (attend_ready_o),
      .word_i       (word_i),
      .attended_we_o(out_we),
      .attended_o   (out)
  );
  // -- Memories: one reader at a time, by phase
  always_comb begin
    x_re    = add_x_re || norm_x_re;
    x_raddr = norm_x_re ? norm_x_addr : add_x_raddr;
    if (phase_i == PhaseResult) begin
      x_re    = walk_re_i;
      x_raddr = RowW'(32'(walk_row_i) * RowWords + 32'(walk_at_i));
    end
  end
  logic key_re, value_re;
  logic [HeadW-1:0] key_addr, value_addr;
  assign key_re     = walk_re_i && phase_i == PhaseKeys;
  assign value_re   = walk_re_i && phase_i == PhaseValues;
  assign key_addr   = HeadW'((MaxRows + 32'(walk_row_i)) * HeadWords + 32'(walk_at_i));
  assign value_addr = key_addr;

  step_memories #(
      .RowWords(RowWords), .HeadWords(HeadWords), .HiddenWords(HiddenWords), .Ultra(Ultra)
  ) u_memories (
      .clk_i,
      .x_re_i         (x_re),
      .x_raddr_i      (x_raddr),
      .x_o            (x_read_o),
      .x_we_i         (x_we),
      .x_waddr_i      (x_waddr),
      .x_i            (x_write),
      .delta_re_i     (delta_re),
      .delta_addr_i   (delta_addr),
      .delta_o        (delta_read),
      .delta_we_i     (delta_we),
      .delta_row_i    (delta_row),
      .delta_place_i  (delta_place),
      .delta_i        (delta),
      .attended_re_i  (query_re || key_re),
      .attended_addr_i(key_re ? key_addr : query_addr),
      .attended_o     (attended_read_o),
      .attended_we_i  (attended_we),
      .attended_key_i (attended_key),
      .attended_i     (attended),
      .scored_re_i    (score_re || value_re),
      .scored_addr_i  (value_re ? value_addr : score_addr),
      .scored_o       (scored_read_o),
      .scored_we_i    (scored_we),
      .scored_value_i (scored_value),
      .scored_i       (scored_pair),
      .hidden_re_i    (hidden_re),
      .hidden_addr_i  (hidden_addr),
      .hidden_o       (hidden_read),
      .hidden_we_i    (out_we || glu_we),
      .hidden_i       (out_we ? out : glu)
  );
endmodule

`default_nettype wire
