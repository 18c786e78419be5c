// SPDX-License-Identifier: Apache-2.0
// One lane: the dot product of Width inputs of its row with two outputs' weights, a DSP48E2 for both, accumulated.
// Holds its own copies of the window's words and of the inputs of its rows, so that each lane may take another word for
// another row. Products run down chains of DSPs, whose inputs are skewed by a cycle each.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module lane
  import fastcar_pkg::*;
#(
    parameter int unsigned Width   = 64,    // products, a multiple of Chain, 64 at most
    parameter int unsigned Chain   = 8,     // DSPs of a chain
    parameter int unsigned Words   = 16,    // words of a window; there are two windows
    parameter int unsigned Inputs  = 1024,  // stored segments of inputs
    parameter int unsigned Entries = 64,    // accumulators of a tile; there are two tiles
    parameter bit          Ultra   = 1'b0,  // the inputs lie in UltraRAM
    parameter int unsigned LutChains = 0,   // chains without DSPs
    localparam int unsigned WordW  = $clog2(2 * Words),
    localparam int unsigned InputW = (Inputs > 1) ? $clog2(Inputs) : 1,
    localparam int unsigned EntryW = $clog2(2 * Entries)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    // weights and inputs arrive
    input  logic                      word_we_i,
    input  logic        [  WordW-1:0] word_waddr_i,
    input  logic        [9*Width-1:0] word_i,
    input  logic                      input_we_i,
    input  logic        [ InputW-1:0] input_waddr_i,
    input  logic        [8*Width-1:0] input_i,
    // one dot product
    input  logic                      valid_i,
    input  logic        [  WordW-1:0] word_addr_i,
    input  logic        [ InputW-1:0] input_addr_i,
    input  logic        [ EntryW-1:0] entry_i,
    input  logic                      first_i,        // of the sum
    // sums leave
    input  logic        [ EntryW-1:0] sum_addr_i,
    output logic signed [       31:0] even_o,
    output logic signed [       31:0] odd_o
);
  localparam int unsigned Chains = Width / Chain;
  localparam logic [Width-1:0] InLuts = ~({Width{1'b1}} << (LutChains * Chain));  // products
  localparam int unsigned Latency = Chain + 4;  // from valid_i to the sum of a segment

  typedef struct packed {
    logic [EntryW-1:0] entry;
    logic              first;
  } tag_t;

  logic [9*Width-1:0] word;
  logic [8*Width-1:0] inputs;
  logic [Latency-1:0] busy_q;
  tag_t tag_q[Latency];
  logic active;
  sram_pkg::status_t unused_status;  // block RAM of a device: no pins

  ram_1r1w #(
      .Words(2 * Words),
      .Bytes(9 * Width / 8)
  ) u_words (
      .clk_i,
      .pins_i  ('0),
      .status_o(unused_status),
      .re_i   (valid_i),
      .raddr_i(word_addr_i),
      .rdata_o(word),
      .we_i   (word_we_i),
      .waddr_i(word_waddr_i),
      .wbe_i  ('1),
      .wdata_i(word_i)
  );

  step_ram #(
      .Words(Inputs),
      .Bytes(Width),
      .Ultra(Ultra)
  ) u_inputs (
      .clk_i,
      .re_i   (valid_i),
      .raddr_i(input_addr_i),
      .rdata_o(inputs),
      .we_i   (input_we_i),
      .waddr_i(input_waddr_i),
      .wbe_i  ('1),
      .wdata_i(input_i)
  );

  assign active = busy_q != '0;
  `FF(busy_q, {busy_q[Latency-2:0], valid_i}, '0)
  `FFLNR(tag_q[0], (tag_t'{entry: entry_i, first: first_i}), valid_i)
  for (genvar s = 1; s < Latency; s++) begin : gen_tag
    `FFLNR(tag_q[s], tag_q[s-1], busy_q[s-1])
  end

  // Skew: the DSP in place p of its chain sees its inputs p cycles late.
  packed_t weight_d[Chain][Width], weight_q[Chain][Width];
  logic [7:0] value_d[Chain][Width], value_q[Chain][Width];
  logic signed [30:0] product_d[Width], product_q[Width], lut_product[Width];
  logic signed [35:0] partial_d[Width], partial_q[Width], sum_d, sum_q;

  always_comb begin
    weight_d  = weight_q;
    value_d   = value_q;
    product_d = product_q;
    partial_d = partial_q;
    sum_d     = sum_q;
    if (active) begin
      for (int unsigned i = 0; i < Width; i++) begin
        weight_d[0][i] = word[9*i+:9];
        value_d[0][i]  = inputs[8*i+:8];
        for (int unsigned s = 1; s < Chain; s++) begin
          weight_d[s][i] = weight_q[s-1][i];
          value_d[s][i]  = value_q[s-1][i];
        end
        if (InLuts[i]) product_d[i] = lut_product[i];
        else product_d[i] = wide_operand(weight_q[i%Chain][i]) * $signed(value_q[i%Chain][i]);
        partial_d[i] = 36'(product_q[i]);
        if (i % Chain != 0) partial_d[i] += partial_q[i-1];
      end
      sum_d = '0;
      for (int unsigned c = 0; c < Chains; c++) sum_d += partial_q[c*Chain+Chain-1];
    end
  end
  // The same product of two small ones, where a device's DSPs do not suffice.
  for (genvar i = 0; i < Width; i++) begin : gen_product
    if (InLuts[i]) begin : gen_luts
      packed_t pair;
      logic signed [11:0] even, odd;
      logic unused_sign;
      assign pair        = weight_q[i%Chain][i];
      assign unused_sign = pair[8];
      lut_multiplier #(
          .Left (8),
          .Right(4)
      ) u_even (
          .left_i   (value_q[i%Chain][i]),
          .right_i  (pair[3:0]),
          .product_o(even)
      );
      lut_multiplier #(
          .Left (8),
          .Right(4)
      ) u_odd (
          .left_i   (value_q[i%Chain][i]),
          .right_i  (pair[7:4] + 4'(pair[3])),
          .product_o(odd)
      );
      assign lut_product[i] = {13'(odd) - 13'(even[11]), 18'(even)};
    end else begin : gen_none
      assign lut_product[i] = '0;
    end
  end
  `FFLNR(weight_q, weight_d, active)
  `FFLNR(value_q, value_d, active)
  `FFLNR(product_q, product_d, active)
  `FFLNR(partial_q, partial_d, active)
  `FFLNR(sum_q, sum_d, active)

  // Sums of a tile, one pair of outputs an entry.
  logic [63:0] sums[2*Entries];
  logic [63:0] old, fresh;
  tag_t tag;
  sums_t parts;

  assign tag = tag_q[Latency-1];
  always_comb begin
    old = tag.first ? '0 : sums[tag.entry];
    parts = split_sum(sum_q);
    fresh = {$signed(old[63:32]) + 32'(parts.odd), $signed(old[31:0]) + 32'(parts.even)};
  end
  always_ff @(posedge clk_i) begin
    if (busy_q[Latency-1]) sums[tag.entry] <= fresh;
  end
  assign {odd_o, even_o} = sums[sum_addr_i];

  `CHECK_PARAMETER(WholeChains, Chain >= 1 && Width >= Chain && Width % Chain == 0 && Width <= 64)
  `CHECK_PARAMETER(SomeChains, LutChains <= Chains)
  `CHECK_PARAMETER(WholeBytes, Width % 8 == 0)
  `CHECK_PARAMETER(TwoWindows, Words >= 1 && Words <= MaxWords)
  `CHECK_PARAMETER(SomeRoom, Inputs >= 1 && Entries >= 1)
endmodule

`default_nettype wire
