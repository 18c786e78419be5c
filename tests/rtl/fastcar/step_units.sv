// SPDX-License-Identifier: Apache-2.0
// Units of a step, each by itself under step_units_main.cpp: attention, norm, residual, the writer. Memories and streams are
// the bench's.

`default_nettype none

module step_units
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Group     = 2,
    parameter int unsigned HeadWords = 16,
    parameter int unsigned KeyWords  = 2,
    parameter int unsigned Tokens    = 64,
    parameter int unsigned Vector    = 8,
    parameter int unsigned RowWords  = 8,
    parameter int unsigned MaxBurst  = 16,
    localparam int unsigned QueryW = $clog2(2 * MaxRows * HeadWords),
    localparam int unsigned RowW = $clog2(MaxRows * RowWords),
    localparam int unsigned GainW = $clog2(RowWords)
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic        [ 2:0] start_i,             // attention, norm, residual
    output logic        [ 2:0] done_o,
    // of the shape
    input  count_t             rows_i,
    input  logic        [ 7:0] heads_i,
    input  logic        [ 7:0] kv_heads_i,
    input  logic        [ 8:0] head_dim_i,
    input  logic        [12:0] seen_i,
    input  logic        [14:0] multiplier_i,
    input  logic        [ 5:0] shift_i,
    input  logic        [ 2:0] attention_shift_i,
    input  logic        [14:0] width_i,
    input  logic signed [ 9:0] norm_shift_i,
    input  logic [MaxRows-1:0] index_i,             // rows of the norm; whose delta comes from outside
    input  logic               fresh_i,
    input  logic               keep_i,
    // a stream of words in
    input  logic               word_valid_i,
    output logic               word_ready_o,
    input  word_t              word_i,
    // memories: queries or x, deltas or gains
    output logic               query_re_o,
    output logic  [QueryW-1:0] query_addr_o,
    input  word_t              query_i,
    output logic               attended_we_o,
    output row_t               attended_row_o,
    output logic        [11:0] attended_word_o,
    output logic        [ 4:0] attended_at_o,
    output logic        [15:0] attended_o,
    output logic               norm_x_re_o,
    output logic    [RowW-1:0] norm_x_addr_o,
    output logic               gain_re_o,
    output logic   [GainW-1:0] gain_addr_o,
    input  word_t              x_i,
    input  word_t              gain_i,
    output row_t               square_row_o,
    input  logic        [43:0] squares_i,
    output logic               load_valid_o,
    input  logic               load_ready_i,
    output row_t               load_row_o,
    output logic        [ 9:0] load_segment_o,
    output word_t              load_o,
    output logic               load_last_o,
    output logic               x_re_o,
    output logic    [RowW-1:0] x_raddr_o,
    output logic               x_we_o,
    output logic    [RowW-1:0] x_waddr_o,
    output word_t              x_o,
    output logic               delta_re_o,
    output logic    [RowW-1:0] delta_addr_o,
    input  word_t              delta_i,
    output logic               keep_valid_o,
    input  logic               keep_ready_i,
    output word_t              keep_o,
    output logic               row_o,
    input  row_t               square_row_i,
    output logic        [43:0] squares_o,
    // the writer
    input  logic               command_valid_i,
    output logic               command_ready_o,
    input  addr_t              command_addr_i,
    input  logic        [15:0] command_words_i,
    input  logic               write_valid_i,
    output logic               write_ready_o,
    input  word_t              write_i,
    input  logic [  Bytes-1:0] strobe_i,
    output logic               awvalid_o,
    input  logic               awready_i,
    output logic        [39:0] awaddr_o,
    output logic        [ 7:0] awlen_o,
    output logic               wvalid_o,
    input  logic               wready_i,
    output word_t              wdata_o,
    output logic [  Bytes-1:0] wstrb_o,
    output logic               wlast_o,
    input  logic               bvalid_i,
    output logic               bready_o,
    input  logic        [ 1:0] bresp_i,
    output logic               idle_o,
    output logic        [ 1:0] fault_o
);
  shape_t shape;
  derived_t derived;
  layer_t layer;
  seen_t seen;
  byte_pair_t attended;
  fault_e fault;
  logic attention_ready, add_ready, adding_q;
  logic [7:0] unused_rounds;

  always_comb begin
    shape          = '0;
    shape.rows     = rows_i;
    shape.heads    = heads_i;
    shape.kv_heads = kv_heads_i;
    shape.head_dim = head_dim_i;
    shape.width    = width_i;
    derived            = '0;
    derived.heads_each = heads_i / kv_heads_i;
    derived.head_words = 3'((32'(head_dim_i) + Bytes - 1) / Bytes);
    derived.q_width    = 15'(heads_i) * 15'(head_dim_i);
    derived.row_words  = 10'((32'(width_i) + Shorts - 1) / Shorts);
    layer                  = '0;
    layer.score_multiplier = multiplier_i;
    layer.score_shift      = shift_i;
    layer.attention_shift  = attention_shift_i;
    seen       = '0;
    seen.count = seen_i;
  end
  always_ff @(posedge clk_i) if (start_i != '0) adding_q <= start_i[2];
  assign word_ready_o    = adding_q ? add_ready : attention_ready;
  assign attended_row_o  = attended.row;
  assign attended_word_o = attended.word;
  assign attended_at_o   = attended.at;
  assign attended_o      = attended.data;
  assign fault_o         = fault;

  attention_unit #(
      .Group(Group), .HeadWords(HeadWords), .KeyWords(KeyWords), .Tokens(Tokens)
  ) u_attention (
      .clk_i, .rst_ni,
      .start_i      (start_i[0]),
      .done_o       (done_o[0]),
      .shape_i      (shape),
      .derived_i    (derived),
      .layer_i      (layer),
      .seen_i       (seen),
      .rounds_o     (unused_rounds),
      .query_re_o, .query_addr_o, .query_i,
      .word_valid_i (word_valid_i && !adding_q),
      .word_ready_o (attention_ready),
      .word_i,
      .attended_we_o,
      .attended_o   (attended)
  );

  row_norm #(
      .Vector(Vector), .RowWords(RowWords)
  ) u_norm (
      .clk_i, .rst_ni,
      .start_i     (start_i[1]),
      .done_o      (done_o[1]),
      .rows_i      (index_i),
      .row_words_i (derived.row_words),
      .norm_shift_i,
      .square_row_o, .squares_i,
      .x_re_o      (norm_x_re_o),
      .x_addr_o    (norm_x_addr_o),
      .x_i,
      .gain_re_o, .gain_addr_o, .gain_i,
      .load_valid_o, .load_ready_i, .load_row_o, .load_segment_o, .load_o, .load_last_o
  );

  row_add #(
      .Vector(Vector), .RowWords(RowWords)
  ) u_add (
      .clk_i, .rst_ni,
      .start_i     (start_i[2]),
      .done_o      (done_o[2]),
      .rows_i, .width_i,
      .row_words_i (derived.row_words),
      .fresh_i,
      .outside_i   (index_i),
      .keep_i,
      .x_re_o, .x_raddr_o, .x_i, .x_we_o, .x_waddr_o, .x_o, .delta_re_o, .delta_addr_o, .delta_i,
      .word_valid_i(word_valid_i && adding_q),
      .word_ready_o(add_ready),
      .word_i, .keep_valid_o, .keep_ready_i, .keep_o, .row_o, .square_row_i, .squares_o
  );

  step_writer #(
      .MaxBurst(MaxBurst)
  ) u_writer (
      .clk_i, .rst_ni,
      .valid_i     (command_valid_i),
      .ready_o     (command_ready_o),
      .addr_i      (command_addr_i),
      .words_i     (command_words_i),
      .word_valid_i(write_valid_i),
      .word_ready_o(write_ready_o),
      .word_i      (write_i),
      .strobe_i, .awvalid_o, .awready_i, .awaddr_o, .awlen_o, .wvalid_o, .wready_i, .wdata_o, .wstrb_o,
      .wlast_o, .bvalid_i, .bready_o, .bresp_i, .idle_o,
      .fault_o     (fault)
  );

  // The writer's port; a step's writes have no reads beside them, and strobes of their own.
  axi_checker #(
      .AddrW  (40),
      .Bytes  (Bytes),
      .Strobes(1'b1)
  ) u_axi_checker (
      .clk_i,
      .rst_ni,
      .ar_valid_i(1'b0), .ar_ready_i(1'b0), .ar_id_i('0), .ar_addr_i('0), .ar_len_i('0), .ar_size_i('0),
      .ar_burst_i('0),
      .r_valid_i (1'b0), .r_ready_i(1'b0), .r_id_i('0), .r_data_i('0), .r_resp_i('0), .r_last_i(1'b0),
      .aw_valid_i(awvalid_o), .aw_ready_i(awready_i), .aw_id_i('0), .aw_addr_i(awaddr_o), .aw_len_i(awlen_o),
      .aw_size_i (3'($clog2(Bytes))),  // what the step's top says of every burst
      .aw_burst_i(2'b01),
      .w_valid_i (wvalid_o), .w_ready_i(wready_i), .w_data_i(wdata_o), .w_strb_i(wstrb_o), .w_last_i(wlast_o),
      .b_valid_i (bvalid_i), .b_ready_i(bready_o), .b_id_i('0), .b_resp_i(bresp_i)
  );
endmodule

`default_nettype wire
