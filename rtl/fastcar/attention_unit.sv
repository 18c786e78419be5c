// SPDX-License-Identifier: Apache-2.0
// Attention of every row over the keys and values that come from its caches (cache_walk names them), a word a cycle: for
// each row, key head and round of Group query heads first the keys, whose scores wait in a memory, then the values. A
// group's heads leave while the next one's keys come in.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module attention_unit
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Group     = 1,     // query heads that share a pass over keys: 1, 2, 4, 8
    parameter int unsigned HeadWords = 64,    // words of a row's heads in the memory
    parameter int unsigned KeyWords  = 2,     // words of a head at most
    parameter int unsigned Tokens    = 4096,  // keys at most
    parameter bit          Fabric    = 1'b0,  // scores' products of LUTs, not of DSPs
    parameter bit          Ultra     = 1'b1,  // scores wait in UltraRAM
    localparam int unsigned AddrW = $clog2(2 * MaxRows * HeadWords)
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic                start_i,
    output logic                done_o,          // for a cycle
    input  shape_t              shape_i,
    input  derived_t            derived_i,
    input  layer_t              layer_i,
    input  seen_t               seen_i,
    output logic   [       7:0] rounds_o,
    output logic                query_re_o,
    output logic   [ AddrW-1:0] query_addr_o,
    input  word_t               query_i,
    input  logic                word_valid_i,
    output logic                word_ready_o,
    input  word_t               word_i,
    output logic                attended_we_o,
    output byte_pair_t          attended_o
);
  localparam int unsigned GroupW = (Group > 1) ? $clog2(Group) : 1;
  localparam int unsigned GroupShift = $clog2(Group);
  localparam int unsigned KeyW = (KeyWords > 1) ? $clog2(KeyWords) : 1;
  localparam int unsigned TokenW = $clog2(Tokens);
  localparam int unsigned Softmax = 6;  // cycles
  localparam int unsigned Depth = 16;  // weights that wait

  typedef enum logic [2:0] {
    Idle,
    Load,
    Keys,
    Settle,
    Values,
    Leave,
    Finish
  } state_e;

  state_e state_d, state_q;
  row_t row_d, row_q;
  logic [7:0] head_d, head_q, round_d, round_q;  // key head
  logic [11:0] at_d, at_q;  // word of the row's queries
  logic [3:0] here, load_head_d, load_head_q;
  logic [GroupW-1:0] load_head_p;
  logic [2:0] word_d, word_q;
  logic [KeyW-1:0] load_word_p;
  logic [12:0] key_d, key_q;
  logic loaded_q, load_ends, word_ends, key_ends, begins, take_key, take_value;
  logic [7:0] behind;  // query heads of the key head from this round on

  assign rounds_o  = 8'((derived_i.heads_each + 8'(Group - 1)) >> GroupShift);
  assign behind    = derived_i.heads_each - 8'(round_q << GroupShift);
  assign here      = (behind < 8'(Group)) ? behind[3:0] : 4'(Group);
  assign word_ends = word_q == derived_i.head_words - 3'd1;
  assign key_ends  = word_ends && key_q == seen_i.count - 13'd1;
  assign load_ends = word_ends && load_head_q == here - 4'd1;

  assign query_re_o   = state_q == Load;
  assign query_addr_o = AddrW'(32'(row_q) * HeadWords + 32'(at_q));
  `FF(loaded_q, state_q == Load, 1'b0)
  `FFLNR(load_head_p, GroupW'(load_head_q), 1'b1)
  `FFLNR(load_word_p, KeyW'(word_q), 1'b1)
  assign begins = state_q == Load && word_q == '0 && load_head_q == '0;

  // -- Scores
  logic scores_busy, score_valid;
  logic signed [Group-1:0][31:0] score, largest, stored;
  logic [TokenW-1:0] score_at_d, score_at_q;

  assign take_key = state_q == Keys && word_valid_i && !loaded_q;
  attention_scores #(
      .Group   (Group),
      .KeyWords(KeyWords),
      .Fabric  (Fabric)
  ) u_scores (
      .clk_i,
      .rst_ni,
      .start_i     (begins),
      .head_words_i(derived_i.head_words),
      .query_we_i  (loaded_q),
      .query_head_i(load_head_p),
      .query_word_i(load_word_p),
      .query_i,
      .valid_i     (take_key),
      .key_i       (word_i),
      .busy_o      (scores_busy),
      .valid_o     (score_valid),
      .score_o     (score),
      .largest_o   (largest)
  );
  assign score_at_d = begins ? '0 : score_at_q + TokenW'(score_valid);
  `FFLNR(score_at_q, score_at_d, 1'b1)

  // -- Weights: as many are under way as there is room for
  logic ask, weight_valid, weight_ready, unused_room, unused_first;
  logic [4:0] room_d, room_q;
  logic [12:0] asked_d, asked_q;
  logic [Softmax:0] flight_q;
  logic [Group-1:0][11:0] fresh, weight;

  assign ask     = state_q == Values && asked_q != seen_i.count && room_q != '0;
  assign asked_d = (state_q == Settle) ? '0 : asked_q + 13'(ask);
  assign room_d  = room_q - 5'(ask) + 5'(weight_valid && weight_ready);
  `FFLNR(asked_q, asked_d, 1'b1)
  `FF(room_q, room_d, 5'(Depth))
  `FF(flight_q, {flight_q[Softmax-1:0], ask}, '0)

  step_ram #(
      .Words(Tokens),
      .Bytes(4 * Group),
      .Ultra(Ultra)
  ) u_stored (
      .clk_i,
      .re_i   (ask),
      .raddr_i(TokenW'(asked_q)),
      .rdata_o(stored),
      .we_i   (score_valid),
      .waddr_i(score_at_q),
      .wbe_i  ('1),
      .wdata_i(score)
  );

  attention_softmax #(
      .Group(Group)
  ) u_softmax (
      .clk_i,
      .multiplier_i(layer_i.score_multiplier),
      .shift_i     (layer_i.score_shift),
      .score_i     (stored),
      .largest_i   (largest),
      .weight_o    (fresh)
  );

  fifo #(
      .Width(12 * Group),
      .Depth(Depth)
  ) u_weights (
      .clk_i,
      .rst_ni,
      .flush_i(1'b0),
      .valid_i(flight_q[Softmax]),
      .ready_o(unused_room),
      .data_i (fresh),
      .valid_o(weight_valid),
      .ready_i(weight_ready),
      .data_o (weight)
  );

  // -- Values
  logic leaving, pair_valid;
  logic [15:0] pair;
  row_t out_row_d, out_row_q;
  logic [13:0] out_d, out_q;

  assign take_value   = state_q == Values && word_valid_i && weight_valid && !leaving;
  assign weight_ready = take_value && word_ends;
  assign word_ready_o = take_key || take_value;

  attention_values #(
      .Group   (Group),
      .KeyWords(KeyWords)
  ) u_values (
      .clk_i,
      .rst_ni,
      .head_dim_i (shape_i.head_dim),
      .shift_i    (layer_i.attention_shift),
      .valid_i    (take_value),
      .first_key_i(key_q == '0),
      .word_i     (KeyW'(word_q)),
      .weight_i   (weight),
      .value_i    (word_i),
      .leave_i    (state_q == Leave && word_q == 3'd1),
      .here_i     (here),
      .leaving_o  (leaving),
      .valid_o    (pair_valid),
      .head_ends_o(unused_first),
      .pair_o     (pair)
  );

  assign attended_we_o = pair_valid;
  always_comb begin
    attended_o      = '0;
    attended_o.row  = out_row_q;
    attended_o.word = 12'(out_q >> 5);
    attended_o.at   = out_q[4:0];
    attended_o.data = pair;
    out_d     = out_q + 14'(pair_valid);
    out_row_d = out_row_q;
    if (pair_valid && 15'({out_q + 14'd1, 1'b0}) == derived_i.q_width) begin
      out_d     = '0;
      out_row_d = out_row_q + 1'b1;
    end
    if (start_i) begin
      out_d     = '0;
      out_row_d = '0;
    end
  end
  `FFLNR(out_q, out_d, 1'b1)
  `FFLNR(out_row_q, out_row_d, 1'b1)

  // -- Groups
  always_comb begin
    state_d     = state_q;
    row_d       = row_q;
    head_d      = head_q;
    round_d     = round_q;
    at_d        = at_q;
    load_head_d = load_head_q;
    word_d      = word_q;
    key_d       = key_q;
    done_o      = 1'b0;
    unique case (state_q)
      Idle:
      if (start_i) begin
        state_d     = Load;
        row_d       = '0;
        head_d      = '0;
        round_d     = '0;
        at_d        = '0;
        word_d      = '0;
        load_head_d = '0;
      end
      Load: begin
        at_d   = at_q + 1'b1;
        word_d = word_ends ? '0 : word_q + 1'b1;
        load_head_d = load_head_q + 4'(word_ends);
        if (load_ends) begin
          state_d     = Keys;
          load_head_d = '0;
          key_d       = '0;
        end
      end
      Keys, Values:
      if (word_ready_o) begin
        word_d = word_ends ? '0 : word_q + 1'b1;
        key_d  = key_q + 13'(word_ends);
        if (key_ends) begin
          state_d = (state_q == Keys) ? Settle : Leave;
          key_d   = '0;
        end
      end
      Settle: if (!scores_busy) state_d = Values;
      Leave: begin
        // The last word's sums settle, then the group leaves and the next one begins.
        word_d = word_q + 3'd1;
        if (word_q == 3'd1) begin
          word_d  = '0;
          state_d = Load;
          round_d = round_q + 1'b1;
          if (round_q == rounds_o - 8'd1) begin
            round_d = '0;
            head_d  = head_q + 1'b1;
            if (head_q == shape_i.kv_heads - 8'd1) begin
              head_d = '0;
              at_d   = '0;
              row_d  = row_q + 1'b1;
              if (count_t'(row_q) == shape_i.rows - 1'b1) state_d = Finish;
            end
          end
        end
      end
      default:
      if (out_row_q == row_q && out_q == '0) begin  // the last pair has left
        state_d = Idle;
        done_o  = 1'b1;
      end
    endcase
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(row_q, row_d, 1'b1)
  `FFLNR(head_q, head_d, 1'b1)
  `FFLNR(round_q, round_d, 1'b1)
  `FFLNR(at_q, at_d, 1'b1)
  `FFLNR(load_head_q, load_head_d, 1'b1)
  `FFLNR(word_q, word_d, 1'b1)
  `FFLNR(key_q, key_d, 1'b1)

  logic unused_registers;
  assign unused_registers = ^{shape_i, derived_i, layer_i, seen_i};

  `ASSERT_ALWAYS(WeightsHaveRoom, !flight_q[Softmax] || unused_room)
  `CHECK_PARAMETER(GroupIsPowerOfTwo, Group >= 1 && Group <= 8 && Group == 1 << GroupShift)
  `CHECK_PARAMETER(KeysInRange, KeyWords >= 1 && KeyWords <= 4 && Tokens == 1 << TokenW)
endmodule

`default_nettype wire
