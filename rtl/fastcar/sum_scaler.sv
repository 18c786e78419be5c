// SPDX-License-Identifier: Apache-2.0
// Requantises a product's sums, a pair of outputs a cycle: sat16(rs(sum * multiplier, shift)), two cycles after it was
// taken. A tile's multipliers and shifts come in as words when its first sum does; sums of a job come tile by tile.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module sum_scaler
  import arith_pkg::*;
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Words = 16,  // pairs of a tile, a power of two
    localparam int unsigned PlaceW = (Words > 1) ? $clog2(Words) : 1
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     start_i,         // of a job
    input  logic                     sum_valid_i,
    output logic                     sum_ready_o,
    input  logic        [      15:0] sum_pair_i,
    input  logic signed [      31:0] sum_even_i,
    input  logic signed [      31:0] sum_odd_i,
    input  logic                     scale_valid_i,
    output logic                     scale_ready_o,
    input  word_t                    scale_i,
    // as a sum is taken
    output logic                     taken_o,
    output logic                     tile_begins_o,   // its scales are whole, and it is not the first
    output logic        [PlaceW-1:0] place_o,         // in the tile
    output logic        [      15:0] tile_o,
    // two cycles later
    output pair_t                    pair_o
);
  localparam int unsigned Tile = 2 * Words;
  localparam int unsigned ScaleWords = (3 * Tile + Bytes - 1) / Bytes;
  localparam int unsigned Shift = $clog2(Words);
  localparam int unsigned CountW = $clog2(ScaleWords + 1);

  logic loaded_d, loaded_q, first_d, first_q, load, other;
  logic [15:0] tile_d, tile_q;
  logic [CountW-1:0] count_d, count_q;
  logic [8*Bytes*ScaleWords-1:0] scale_q;
  logic signed [15:0] multiplier[2];
  logic [7:0] shift[2];
  logic signed [47:0] product_d[2], product_q[2];
  logic signed [9:0] shift_q[2];

  assign other         = 16'(sum_pair_i >> Shift) != tile_q;
  assign load          = sum_valid_i && !loaded_q && scale_valid_i;
  assign scale_ready_o = sum_valid_i && !loaded_q;
  assign sum_ready_o   = loaded_q && !other;
  assign taken_o       = sum_valid_i && sum_ready_o;
  assign tile_begins_o = load && count_q == CountW'(ScaleWords - 1) && !first_q;
  assign place_o       = (Words > 1) ? PlaceW'(sum_pair_i) : '0;
  assign tile_o        = tile_q;

  always_comb begin
    loaded_d = loaded_q;
    tile_d   = tile_q;
    first_d  = first_q;
    count_d  = load ? count_q + 1'b1 : count_q;
    if (load && count_q == CountW'(ScaleWords - 1)) begin
      loaded_d = 1'b1;
      first_d  = 1'b0;
      count_d  = '0;
    end
    if (sum_valid_i && loaded_q && other) begin
      loaded_d = 1'b0;
      tile_d   = tile_q + 1'b1;
    end
    if (start_i) begin
      loaded_d = 1'b0;
      tile_d   = '0;
      first_d  = 1'b1;
      count_d  = '0;
    end
  end
  `FF(loaded_q, loaded_d, 1'b0)
  `FF(first_q, first_d, 1'b1)
  `FF(tile_q, tile_d, '0)
  `FF(count_q, count_d, '0)
  for (genvar w = 0; w < ScaleWords; w++) begin : gen_scale
    `FFLNR(scale_q[8*Bytes*w+:8*Bytes], scale_i, load && count_q == CountW'(w))
  end

  always_comb begin
    for (int unsigned k = 0; k < 2; k++) begin
      multiplier[k] = '0;
      shift[k] = '0;
      for (int unsigned p = 0; p < Words; p++) begin
        if (place_o == PlaceW'(p)) begin
          multiplier[k] = scale_q[16*(2*p+k)+:16];
          shift[k] = scale_q[16*Tile+8*(2*p+k)+:8];
        end
      end
      product_d[k] = 48'($signed(k == 0 ? sum_even_i[24:0] : sum_odd_i[24:0])) * 48'(multiplier[k]);
    end
  end
  for (genvar k = 0; k < 2; k++) begin : gen_pair
    `FFLNR(product_q[k], product_d[k], taken_o)
    `FFLNR(shift_q[k], 10'({2'b0, shift[k]}), taken_o)
  end
  always_ff @(posedge clk_i) begin
    pair_o.even <= sat16(rshift(product_q[0], shift_q[0]));
    pair_o.odd  <= sat16(rshift(product_q[1], shift_q[1]));
  end

  logic unused_row;
  assign unused_row = ^{sum_even_i[31:25], sum_odd_i[31:25]};

  `ASSERT_ALWAYS(TileByTile, !(sum_valid_i && loaded_q && other) ||
                             16'(sum_pair_i >> Shift) == tile_q + 16'd1)
  `ASSERT_ALWAYS(SumsFit, !taken_o || (sum_even_i == 32'($signed(sum_even_i[24:0])) &&
                                       sum_odd_i == 32'($signed(sum_odd_i[24:0]))))
  `CHECK_PARAMETER(WordsArePowerOfTwo, Words == 1 << Shift && Words <= MaxWords)
endmodule

`default_nettype wire
