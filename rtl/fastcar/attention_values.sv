// SPDX-License-Identifier: Apache-2.0
// Weighted sums of values for Group query heads, a word a cycle, and the sums of the weights; two values share a DSP. When
// a group's values are in, its heads leave a pair of int8 a cycle: sat8(rs(acc * m, e - shift)), {e, m} = RECIP(sum of
// weights); the next group's values must not begin before (`leaving_o`).

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module attention_values
  import arith_pkg::*;
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Group    = 1,  // query heads
    parameter int unsigned KeyWords = 2,  // words of a head at most
    localparam int unsigned GroupW = (Group > 1) ? $clog2(Group) : 1,
    localparam int unsigned KeyW = (KeyWords > 1) ? $clog2(KeyWords) : 1
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic        [            8:0] head_dim_i,
    input  logic        [            2:0] shift_i,
    input  logic                          valid_i,
    input  logic                          first_key_i,   // of the group
    input  logic        [       KeyW-1:0] word_i,
    input  logic        [Group-1:0][11:0] weight_i,
    input  logic        [8*Bytes-1:0]     value_i,
    input  logic                          leave_i,       // the group is whole: heads 0 .. here - 1 leave
    input  logic        [            3:0] here_i,
    output logic                          leaving_o,
    output logic                          valid_o,
    output logic                          head_ends_o,
    output logic        [           15:0] pair_o
);
  localparam int unsigned RecipLatency = 5;

  // -- Sums
  localparam int unsigned Halves = Bytes / 2;
  logic [Group-1:0][11:0] weight_q;
  logic signed [31:0] sum[Group][KeyWords][Bytes];
  logic signed [31:0] total_q[Group];
  logic busy_q, fresh_q;
  logic [KeyW-1:0] at_q;

  // A register of its own for each sum: an array that is written at `at_q` is a memory of 64 ports to Yosys.
  for (genvar p = 0; p < Halves; p++) begin : gen_pair
    logic negative_q;  // the even value of the pair
    `FFLNR(negative_q, value_i[16*p+7], valid_i)
    for (genvar g = 0; g < Group; g++) begin : gen_head
      logic signed [38:0] product_q;
      logic signed [31:0] even, odd;
      values_t made;
      `FFLNR(product_q,
             value_operand(value_i[16*p+:7], value_i[16*p+8+:8]) * $signed({1'b0, weight_i[g]}), valid_i)
      assign made = split_values(product_q, negative_q, weight_q[g]);
      assign even = 32'(made.even) + (fresh_q ? '0 : sum[g][at_q][2*p]);
      assign odd  = 32'(made.odd) + (fresh_q ? '0 : sum[g][at_q][2*p+1]);
      for (genvar w = 0; w < KeyWords; w++) begin : gen_word
        logic signed [31:0] even_q, odd_q;
        `FFLNR(even_q, even, busy_q && at_q == KeyW'(w))
        `FFLNR(odd_q, odd, busy_q && at_q == KeyW'(w))
        assign sum[g][w][2*p]   = even_q;
        assign sum[g][w][2*p+1] = odd_q;
      end
    end
  end
  `FFLNR(weight_q, weight_i, valid_i)
  `FF(busy_q, valid_i, 1'b0)
  `FFLNR(fresh_q, first_key_i, valid_i)
  `FFLNR(at_q, word_i, valid_i)
  for (genvar g = 0; g < Group; g++) begin : gen_total
    `FFLNR(total_q[g], $signed({20'd0, weight_i[g]}) + (first_key_i ? '0 : total_q[g]),
           valid_i && word_i == '0)
  end

  // -- Heads leave
  typedef enum logic [1:0] {
    Idle,
    Divide,
    Pairs
  } state_e;

  state_e state_d, state_q;
  logic [3:0] head_d, head_q, here_q;
  logic [7:0] pair_d, pair_q;
  logic [2:0] wait_d, wait_q;
  logic [31:0] recip;
  logic signed [9:0] count_q;
  logic signed [47:0] product_d[2], scaled_q[2];
  logic [1:0] valid_q, ends_q;
  logic pair_ends;
  logic unused_recip;

  vpu_row_function u_recip (
      .clk_i,
      .enable_i(1'b1),
      .valid_i ('1),
      .root_i  (1'b0),
      .y_i     (total_q[GroupW'(head_q)]),
      .packed_o(recip)
  );
  assign unused_recip = ^recip[31:26];
  assign pair_ends = 9'({pair_q + 8'd1, 1'b0}) == head_dim_i;
  always_comb begin
    state_d = state_q;
    head_d  = head_q;
    pair_d  = pair_q;
    wait_d  = wait_q;
    unique case (state_q)
      Idle:
      if (leave_i) begin
        state_d = Divide;
        head_d  = '0;
        wait_d  = '0;
      end
      Divide: begin
        wait_d = wait_q + 1'b1;
        pair_d = '0;
        if (wait_q == 3'(RecipLatency)) state_d = Pairs;
      end
      default: begin
        pair_d = pair_q + 1'b1;
        if (pair_ends) begin
          head_d  = head_q + 1'b1;
          wait_d  = '0;
          state_d = (head_q == here_q - 4'd1) ? Idle : Divide;
        end
      end
    endcase
    for (int unsigned k = 0; k < 2; k++) begin
      product_d[k] = 48'(sum[GroupW'(head_q)][KeyW'(pair_q>>5)][{pair_q[4:0], 1'(k)}]) *
          48'($signed({1'b0, recip[14:0]}));
    end
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(head_q, head_d, 1'b1)
  `FFLNR(pair_q, pair_d, 1'b1)
  `FFLNR(wait_q, wait_d, 1'b1)
  `FFLNR(here_q, here_i, leave_i)
  `FF(valid_q, {valid_q[0], state_q == Pairs}, '0)
  `FFLNR(ends_q, {ends_q[0], pair_ends}, 1'b1)
  `FFLNR(count_q, 10'(recip[25:16]) - 10'({7'd0, shift_i}), 1'b1)
  for (genvar k = 0; k < 2; k++) begin : gen_scaled
    `FFLNR(scaled_q[k], product_d[k], 1'b1)
    `FFLNR(pair_o[8*k+:8], sat8(rshift(scaled_q[k], count_q)), 1'b1)
  end
  assign valid_o     = valid_q[1];
  assign head_ends_o = ends_q[1];
  assign leaving_o   = state_q != Idle || leave_i;

  logic unused_words;
  assign unused_words = recip[15];

  `ASSERT_ALWAYS(LeftBefore, !(valid_i && leaving_o))
  `CHECK_PARAMETER(GroupInRange, Group >= 1 && Group <= 8)
endmodule

`default_nettype wire
