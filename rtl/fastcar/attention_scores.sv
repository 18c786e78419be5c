// SPDX-License-Identifier: Apache-2.0
// Scores of Group query heads with a key: their products with its words, a word a cycle. A score leaves with its key's
// last word, three cycles after it was taken; `largest_o` is the largest of each head since the start.

`default_nettype none
`include "registers.svh"

module attention_scores
  import step_pkg::*;
#(
    parameter int unsigned Group    = 1,  // query heads that share a key's words
    parameter int unsigned KeyWords = 2,  // of a head at most
    parameter bit          Fabric   = 1'b0,  // products of LUTs, not of DSPs
    localparam int unsigned GroupW = (Group > 1) ? $clog2(Group) : 1,
    localparam int unsigned KeyW = (KeyWords > 1) ? $clog2(KeyWords) : 1
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     start_i,
    input  logic        [       2:0] head_words_i,
    input  logic                     query_we_i,
    input  logic        [GroupW-1:0] query_head_i,
    input  logic        [  KeyW-1:0] query_word_i,
    input  word_t                    query_i,
    input  logic                     valid_i,        // a key's word
    input  word_t                    key_i,
    output logic                     busy_o,
    output logic                     valid_o,
    output logic signed [Group-1:0][31:0] score_o,
    output logic signed [Group-1:0][31:0] largest_o
);
  word_t query_q[Group][KeyWords];
  logic [2:0] word_d, word_q;
  logic word_ends;
  logic signed [15:0] product_d[Group][Bytes], product_q[Group][Bytes];
  logic signed [31:0] sum_d[Group], sum_q[Group], score_d[Group], score_q[Group];
  logic [2:0] busy_q;
  logic [1:0] first_q;
  logic [2:0] last_q;

  for (genvar g = 0; g < Group; g++) begin : gen_query
    for (genvar w = 0; w < KeyWords; w++) begin : gen_word
      `FFLNR(query_q[g][w], query_i, query_we_i && query_head_i == GroupW'(g) && query_word_i == KeyW'(w))
    end
  end

  assign word_ends = word_q == head_words_i - 3'd1;
  assign word_d    = (start_i || word_ends) ? '0 : word_q + 1'b1;
  `FFL(word_q, word_d, start_i || valid_i, '0)
  `FF(busy_q, {busy_q[1:0], valid_i}, '0)
  `FFLNR(first_q, {first_q[0], word_q == '0}, 1'b1)
  `FFLNR(last_q, {last_q[1:0], word_ends}, 1'b1)

  for (genvar g = 0; g < Group; g++) begin : gen_head
    word_t query;
    assign query = query_q[g][KeyW'(word_q)];
    for (genvar b = 0; b < Bytes; b++) begin : gen_product
      if (Fabric) begin : gen_luts
        lut_multiplier #(
            .Left (8),
            .Right(8)
        ) u_product (
            .left_i   (query[8*b+:8]),
            .right_i  (key_i[8*b+:8]),
            .product_o(product_d[g][b])
        );
      end else begin : gen_dsp
        assign product_d[g][b] = $signed(query[8*b+:8]) * $signed(key_i[8*b+:8]);
      end
    end
  end
  `FFLNR(product_q, product_d, valid_i)
  always_comb begin
    for (int unsigned g = 0; g < Group; g++) begin
      sum_d[g] = '0;
      for (int unsigned b = 0; b < Bytes; b++) sum_d[g] += 32'(product_q[g][b]);
      score_d[g] = sum_q[g] + (first_q[1] ? '0 : score_q[g]);
    end
  end
  for (genvar g = 0; g < Group; g++) begin : gen_score
    logic signed [31:0] largest_d, largest_q;
    `FFLNR(sum_q[g], sum_d[g], busy_q[0])
    `FFLNR(score_q[g], score_d[g], busy_q[1])
    assign largest_d = start_i ? 32'sh80000000 :
        ((valid_o && score_q[g] > largest_q) ? score_q[g] : largest_q);
    `FFLNR(largest_q, largest_d, 1'b1)
    assign score_o[g]   = score_q[g];
    assign largest_o[g] = largest_q;
  end
  assign valid_o = busy_q[2] && last_q[2];
  assign busy_o  = busy_q != '0;
endmodule

`default_nettype wire
