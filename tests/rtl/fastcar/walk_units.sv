// SPDX-License-Identifier: Apache-2.0
// Units of a step that walk over memory or behind a product, each by itself under walk_units_main.cpp: regions of the
// caches and of weights, rows and heads that leave, chain counts, what becomes of sums. Streams and memories are the bench's.

`default_nettype none

module walk_units
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Words      = 16,
    parameter int unsigned MaxHeadDim = 256
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic        [ 5:0] start_i,            // caches, rows, counts in, counts out, sums, weights
    output logic        [ 2:0] done_o,             // rows, counts in, counts out
    // of the shape
    input  count_t             rows_i,
    input  logic        [ 7:0] heads_i,
    input  logic        [ 7:0] kv_heads_i,
    input  logic        [ 8:0] head_dim_i,
    input  logic        [ 2:0] chooser_i,
    input  logic        [ 5:0] swiglu_shift_i,
    // the caches
    input  logic               score_i,
    input  logic               value_i,
    input  addr_t              keys_i,
    input  addr_t              values_i,
    input  place_t             earlier_i,
    input  logic        [12:0] old_i,
    input  logic        [12:0] window_i,
    input  logic        [12:0] seen_i,
    input  logic        [ 7:0] rounds_i,
    output place_t             end_o,
    output logic               region_valid_o,
    input  logic               region_ready_i,
    output addr_t              region_addr_o,
    output logic        [23:0] region_beats_o,
    // weights or scales, whose base is that of the keys
    input  logic               stream_i,           // regions are of a stream
    input  logic        [ 7:0] layers_i,
    input  logic        [23:0] attention_i,
    input  logic        [23:0] mlp_i,
    input  logic               decides_i,
    output logic               region_mlp_o,
    // rows that leave; the places are those of the caches, too
    input  logic        [ 7:0] chunks_i,
    input  logic        [ 9:0] words_i,
    input  logic        [15:0] bytes_i,
    input  place_t             first_i,
    input  place_t             stride_i,
    output logic               read_o,
    output row_t               read_row_o,
    output logic        [11:0] read_at_o,
    input  word_t              read_i,
    // chain counts
    input  logic               counts_i,           // what leaves are counts
    input  addr_t              byte_i,
    input  addr_t              byte_stride_i,
    input  logic        [ 7:0] cap_i,
    input  logic [MaxRows-1:0] index_i,
    output logic [MaxRows-1:0] may_replay_o,
    output addr_t              byte_end_o,
    input  logic               word_valid_i,
    output logic               word_ready_o,
    input  word_t              word_i,
    // what leaves
    output logic               command_valid_o,
    input  logic               command_ready_i,
    output addr_t              command_addr_o,
    output logic        [15:0] command_words_o,
    output logic               leave_valid_o,
    input  logic               leave_ready_i,
    output word_t              leave_o,
    output logic  [ Bytes-1:0] strobe_o,
    // sums
    input  logic        [ 1:0] kind_i,
    output logic               busy_o,
    input  logic               turn_we_i,
    input  logic               turn_old_i,
    input  logic        [ 7:0] turn_addr_i,
    input  logic signed [15:0] turn_i,
    input  logic               sum_valid_i,
    output logic               sum_ready_o,
    input  row_t               sum_row_i,
    input  logic        [15:0] sum_pair_i,
    input  logic signed [31:0] sum_even_i,
    input  logic signed [31:0] sum_odd_i,
    input  logic               scale_valid_i,
    output logic               scale_ready_o,
    input  word_t              scale_i,
    // queries or keys; what is scored or values; deltas; hidden: who writes, and where to
    output logic        [ 3:0] we_o,
    output logic        [ 1:0] other_o,            // of the first two: keys, values
    output row_t        [ 3:0] row_o,
    output logic [3:0][11:0]   place_o,
    output logic [3:0][ 4:0]   at_o,
    output logic [3:0][31:0]   data_o
);
  shape_t shape;
  derived_t derived;
  layer_t layer;
  seen_t seen;
  region_t region, stream_region;
  logic cache_valid, stream_valid;
  byte_pair_t attended, scored, hidden;
  row_t delta_row;
  logic [13:0] delta_place;
  pair_t delta;
  logic walk_command, walk_leaves, chain_command, chain_leaves;
  addr_t walk_addr, chain_addr;
  logic [15:0] walk_words;
  word_t walk_word, chain_word;
  logic [Bytes-1:0] chain_strobe;

  always_comb begin
    shape              = '0;
    shape.rows         = rows_i;
    shape.heads        = heads_i;
    shape.kv_heads     = kv_heads_i;
    shape.head_dim     = head_dim_i;
    shape.keys         = keys_i;
    shape.values       = values_i;
    derived             = '0;
    derived.head_words  = 3'((32'(head_dim_i) + Bytes - 1) / Bytes);
    derived.head_stride = stride_i;
    derived.earlier     = earlier_i;
    layer              = '0;
    layer.chooser      = chooser_e'(chooser_i);
    layer.swiglu_shift = swiglu_shift_i;
    seen       = '0;
    seen.old   = old_i;
    seen.first = window_i;
    seen.count = seen_i;
  end

  cache_walk u_caches (
      .clk_i, .rst_ni,
      .start_i       (start_i[0]),
      .score_i, .value_i,
      .shape_i       (shape),
      .derived_i     (derived),
      .seen_i        (seen),
      .rounds_i, .first_i, .end_o,
      .region_valid_o(cache_valid),
      .region_ready_i(region_ready_i && !stream_i),
      .region_o      (region)
  );

  region_walk u_stream (
      .clk_i, .rst_ni,
      .start_i       (start_i[5]),
      .base_i        (keys_i),
      .layers_i, .attention_i, .mlp_i, .decides_i,
      .region_valid_o(stream_valid),
      .region_ready_i(region_ready_i && stream_i),
      .region_o      (stream_region)
  );
  assign region_valid_o = stream_i ? stream_valid : cache_valid;
  assign region_addr_o  = stream_i ? stream_region.addr : region.addr;
  assign region_beats_o = stream_i ? stream_region.beats : region.beats;
  assign region_mlp_o   = stream_region.mlp;

  store_walk u_store (
      .clk_i, .rst_ni,
      .start_i     (start_i[1]),
      .done_o      (done_o[0]),
      .rows_i, .chunks_i, .words_i, .bytes_i,
      .base_i      (keys_i),
      .first_i, .stride_i,
      .re_o        (read_o),
      .row_o       (read_row_o),
      .at_o        (read_at_o),
      .data_i      (read_i),
      .cmd_valid_o (walk_command),
      .cmd_ready_i (command_ready_i && !counts_i),
      .cmd_addr_o  (walk_addr),
      .cmd_words_o (walk_words),
      .word_valid_o(walk_leaves),
      .word_ready_i(leave_ready_i && !counts_i),
      .word_o      (walk_word)
  );

  chain_counts u_counts (
      .clk_i, .rst_ni, .rows_i,
      .first_i      (byte_i),
      .stride_i     (byte_stride_i),
      .cap_i, .may_replay_o,
      .fetch_i      (start_i[2]),
      .word_valid_i, .word_ready_o, .word_i,
      .fetched_o    (done_o[1]),
      .store_i      (start_i[3]),
      .index_i,
      .cmd_valid_o  (chain_command),
      .cmd_ready_i  (command_ready_i && counts_i),
      .cmd_addr_o   (chain_addr),
      .store_valid_o(chain_leaves),
      .store_ready_i(leave_ready_i && counts_i),
      .store_o      (chain_word),
      .strobe_o     (chain_strobe),
      .stored_o     (done_o[2]),
      .end_o        (byte_end_o)
  );
  assign command_valid_o = counts_i ? chain_command : walk_command;
  assign command_addr_o  = counts_i ? chain_addr : walk_addr;
  assign command_words_o = counts_i ? 16'd1 : walk_words;
  assign leave_valid_o   = counts_i ? chain_leaves : walk_leaves;
  assign leave_o         = counts_i ? chain_word : walk_word;
  assign strobe_o        = counts_i ? chain_strobe : '1;

  row_pipe #(
      .Words(Words), .MaxHeadDim(MaxHeadDim)
  ) u_pipe (
      .clk_i, .rst_ni,
      .shape_i       (shape),
      .derived_i     (derived),
      .layer_i       (layer),
      .start_i       (start_i[4]),
      .kind_i        (sum_e'(kind_i)),
      .busy_o, .turn_we_i, .turn_old_i, .turn_addr_i, .turn_i, .sum_valid_i, .sum_ready_o, .sum_row_i,
      .sum_pair_i, .sum_even_i, .sum_odd_i, .scale_valid_i, .scale_ready_o, .scale_i,
      .attended_we_o (we_o[0]),
      .attended_key_o(other_o[0]),
      .attended_o    (attended),
      .scored_we_o   (we_o[1]),
      .scored_value_o(other_o[1]),
      .scored_o      (scored),
      .delta_we_o    (we_o[2]),
      .delta_row_o   (delta_row),
      .delta_place_o (delta_place),
      .delta_o       (delta),
      .hidden_we_o   (we_o[3]),
      .hidden_o      (hidden)
  );
  assign row_o   = {hidden.row, delta_row, scored.row, attended.row};
  assign place_o = {hidden.word, 12'(delta_place), scored.word, attended.word};
  assign at_o    = {hidden.at, 5'd0, scored.at, attended.at};
  assign data_o  = {16'd0, hidden.data, delta, 16'd0, scored.data, 16'd0, attended.data};

  logic unused_region;
  assign unused_region = ^{region, stream_region, delta_place};
endmodule

`default_nettype wire
