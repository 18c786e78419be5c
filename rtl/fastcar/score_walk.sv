// SPDX-License-Identifier: Apache-2.0
// Feeds the score of every row: the row's queries (or its values, or its keys turned to the old place) beside what the
// cache held one frame earlier, a word a cycle, the query heads of a key head one after the other.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module score_walk
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned HeadWords = 64,  // words of a row's heads in the memory
    parameter int unsigned KeyWords  = 2,   // of a head at most
    localparam int unsigned AddrW = $clog2(2 * MaxRows * HeadWords)
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic                start_i,
    output logic                done_o,         // for a cycle: all is with the score
    input  shape_t              shape_i,
    input  derived_t            derived_i,
    input  chooser_e            chooser_i,
    input  word_t               head_weights_i,  // the layer's, a nibble a head
    output logic                re_o,
    output logic  [  AddrW-1:0] addr_o,
    input  word_t               now_i,
    input  logic                word_valid_i,   // of the cache
    output logic                word_ready_o,
    input  word_t               word_i,
    output logic                tas_distance_o,
    output logic                tas_valid_o,
    input  logic                tas_ready_i,
    output logic  [        7:0] tas_now_o    [Bytes],
    output logic  [        7:0] tas_before_o [Bytes],
    output logic signed [  3:0] tas_weight_o,
    output logic                tas_last_o
);
  localparam int unsigned KeyW = (KeyWords > 1) ? $clog2(KeyWords) : 1;

  typedef enum logic [1:0] {
    Idle,
    Read,
    Feed
  } state_e;

  state_e state_d, state_q;
  row_t row;
  logic [7:0] head, member_d, member_q, heads, members;
  logic [2:0] word;
  logic [11:0] at;
  logic distance, fresh, word_ends, row_ends, ends, taken;
  word_t old_q[KeyWords], earlier, now;

  assign distance   = chooser_i == ChooserValue || chooser_i == ChooserKey;
  assign heads      = distance ? shape_i.kv_heads : shape_i.heads;
  assign members    = distance ? 8'd1 : derived_i.heads_each;
  assign fresh      = member_q == '0;

  walk_counter #(
      .WordW(3)
  ) u_walk (
      .clk_i,
      .rst_ni,
      .start_i,
      .step_i      (taken),
      .rows_i      (shape_i.rows),
      .chunks_i    (heads),
      .words_i     (derived_i.head_words),
      .row_o       (row),
      .chunk_o     (head),
      .word_o      (word),
      .at_o        (at),
      .chunk_ends_o(word_ends),
      .row_ends_o  (row_ends),
      .ends_o      (ends)
  );

  assign re_o           = state_q == Read;
  assign addr_o         = AddrW'((32'(chooser_i == ChooserValue) * MaxRows + 32'(row)) * HeadWords + 32'(at));
  assign earlier         = fresh ? word_i : old_q[KeyW'(word)];
  assign now            = mask_word(now_i, tail_bytes(12'(word), 18'(shape_i.head_dim)));
  assign tas_distance_o = distance;
  assign tas_valid_o    = state_q == Feed && (!fresh || word_valid_i);
  assign word_ready_o   = state_q == Feed && fresh && tas_ready_i;
  assign tas_last_o     = row_ends;
  assign taken          = tas_valid_o && tas_ready_i;
  for (genvar b = 0; b < Bytes; b++) begin : gen_byte
    assign tas_now_o[b]    = now[8*b+:8];
    assign tas_before_o[b] = earlier[8*b+:8];
  end
  always_comb begin
    tas_weight_o = 4'sd1;
    if (distance) tas_weight_o = -4'sd1;
    else if (chooser_i == ChooserHeads) tas_weight_o = $signed(head_weights_i[4*head[6:0]+:4]);
  end
  for (genvar w = 0; w < KeyWords; w++) begin : gen_old
    `FFLNR(old_q[w], word_i, taken && fresh && word == 3'(w))
  end

  always_comb begin
    state_d  = state_q;
    member_d = member_q;
    done_o   = 1'b0;
    unique case (state_q)
      Idle:
      if (start_i) begin
        state_d  = Read;
        member_d = '0;
      end
      Read: state_d = Feed;
      default:
      if (taken) begin
        state_d = ends ? Idle : Read;
        done_o  = ends;
        if (word_ends) member_d = (row_ends || member_q == members - 8'd1) ? '0 : member_q + 1'b1;
      end
    endcase
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(member_q, member_d, start_i || state_q != Idle)

  `ASSERT_STABLE(FeedStable, tas_valid_o, tas_ready_i, {tas_last_o, tas_weight_o})

  logic unused_fields;
  assign unused_fields = ^{shape_i, derived_i, head[7]};
endmodule

`default_nettype wire
