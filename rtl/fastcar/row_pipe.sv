// SPDX-License-Identifier: Apache-2.0
// The row-wise unit behind a product: its sums, a pair of outputs a cycle, are requantised and become what the job's kind
// says: heads (queries and keys turned, values rounded), a row's delta, or the MLP's hidden (SwiGLU of a tile of gate and
// the tile of up behind it). Results go to memories, which always take them. `busy_o`: something is under way.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module row_pipe
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Words      = 16,  // pairs of a tile, a power of two
    parameter int unsigned MaxHeadDim = 128  // elements of a head
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  shape_t             shape_i,
    input  derived_t           derived_i,
    input  layer_t             layer_i,
    input  logic               start_i,       // of a job, of kind:
    input  sum_e               kind_i,
    output logic               busy_o,
    input  logic               turn_we_i,     // see head_turn
    input  logic               turn_old_i,
    input  logic        [ 7:0] turn_addr_i,
    input  logic signed [15:0] turn_i,
    input  logic               sum_valid_i,   // see sum_scaler
    output logic               sum_ready_o,
    input  row_t               sum_row_i,
    input  logic        [15:0] sum_pair_i,
    input  logic signed [31:0] sum_even_i,
    input  logic signed [31:0] sum_odd_i,
    input  logic               scale_valid_i,
    output logic               scale_ready_o,
    input  word_t              scale_i,
    // queries (keys with `attended_key_o`) for attention
    output logic               attended_we_o,
    output logic               attended_key_o,
    output byte_pair_t         attended_o,
    // what the score compares (values with `scored_value_o`)
    output logic               scored_we_o,
    output logic               scored_value_o,
    output byte_pair_t         scored_o,
    // a pair of a row's delta
    output logic               delta_we_o,
    output row_t               delta_row_o,
    output logic        [13:0] delta_place_o,
    output pair_t              delta_o,
    // a pair of bytes of a row's hidden
    output logic               hidden_we_o,
    output byte_pair_t         hidden_o
);
  localparam int unsigned PlaceW = (Words > 1) ? $clog2(Words) : 1;
  localparam int unsigned Shift = $clog2(Words);
  localparam int unsigned Turned = 4;  // stages from a sum's acceptance to its heads
  localparam int unsigned Glu = 7;  // to its hidden

  typedef struct packed {
    row_t              row;
    logic [1:0]        matrix;
    logic              padding;
    logic              up;
    logic [6:0]        pair;
    logic [11:0]       word;
    logic [PlaceW-1:0] place;
    logic [13:0]       output_pair;
  } tag_t;

  logic taken, tile_begins;
  logic [PlaceW-1:0] place;
  logic [15:0] tile;
  pair_t pair, gate_q;
  tag_t tag_d, tag_q[Glu];
  logic [Glu-1:0] busy_q;
  logic [15:0] turned, turned_old, plain, glu;
  logic [7:0] half;

  sum_scaler #(
      .Words(Words)
  ) u_scaler (
      .clk_i,
      .rst_ni,
      .start_i,
      .sum_valid_i,
      .sum_ready_o,
      .sum_pair_i,
      .sum_even_i,
      .sum_odd_i,
      .scale_valid_i,
      .scale_ready_o,
      .scale_i,
      .taken_o      (taken),
      .tile_begins_o(tile_begins),
      .place_o      (place),
      .tile_o       (tile),
      .pair_o       (pair)
  );

  head_cursor #(
      .Words(Words)
  ) u_cursor (
      .clk_i,
      .start_i,
      .heads_i      (shape_i.heads),
      .kv_heads_i   (shape_i.kv_heads),
      .head_dim_i   (shape_i.head_dim),
      .head_words_i (derived_i.head_words),
      .taken_i      (taken),
      .tile_begins_i(tile_begins),
      .place_i      (place),
      .matrix_o     (tag_d.matrix),
      .padding_o    (tag_d.padding),
      .pair_o       (tag_d.pair),
      .word_o       (tag_d.word)
  );
  assign tag_d.row         = sum_row_i;
  assign tag_d.up          = tile[0];
  assign tag_d.place       = place;
  assign tag_d.output_pair = (kind_i == SumHidden) ? 14'(({1'b0, tile[15:1]} << Shift) | 16'(place)) :
      14'(sum_pair_i);

  `FF(busy_q, {busy_q[Glu-2:0], taken}, '0)
  `FFLNR(tag_q[0], tag_d, taken)
  for (genvar s = 1; s < Glu; s++) begin : gen_tag
    `FFLNR(tag_q[s], tag_q[s-1], busy_q[s-1])
  end
  assign busy_o = sum_valid_i || busy_q != '0;

  // Heads
  assign half = 8'(shape_i.head_dim >> 1);
  head_turn #(
      .MaxHeadDim(MaxHeadDim)
  ) u_turn (
      .clk_i,
      .turn_we_i,
      .turn_old_i,
      .turn_addr_i,
      .turn_i,
      .half_i (half),
      .place_i(tag_q[1].pair),
      .pair_i (pair),
      .now_o  (turned),
      .old_o  (turned_old),
      .plain_o(plain)
  );
  pair_t pair_q[2];
  always_ff @(posedge clk_i) begin
    pair_q[0] <= pair;
    pair_q[1] <= pair_q[0];
  end

  logic heads_we, is_distance;
  tag_t head;
  logic [15:0] value;
  byte_pair_t target;
  assign head        = tag_q[Turned-1];
  assign heads_we    = busy_q[Turned-1] && kind_i == SumHeads && !head.padding;
  assign is_distance = layer_i.chooser == ChooserValue || layer_i.chooser == ChooserKey;
  assign value       = {sat8(48'(pair_q[1].odd)), sat8(48'(pair_q[1].even))};

  always_comb begin
    target     = '0;
    target.row = head.row;
    target.word = head.word + 12'(head.pair[6:5]);
    target.at   = head.pair[4:0];
    attended_o      = target;
    attended_o.data = turned;
    scored_o        = target;
    unique case (head.matrix)
      2'd0: scored_o.data = (layer_i.chooser == ChooserPublished) ? plain : turned;
      2'd1: scored_o.data = turned_old;
      default: scored_o.data = value;
    endcase
  end
  assign attended_we_o  = heads_we && head.matrix != 2'd2;
  assign attended_key_o = head.matrix == 2'd1;
  assign scored_value_o = head.matrix == 2'd2;
  assign scored_we_o    = heads_we && (head.matrix == 2'd2 ||
                                       (head.matrix == 2'd1 ? layer_i.chooser == ChooserKey : !is_distance));

  // Delta
  assign delta_we_o    = busy_q[1] && kind_i == SumDelta;
  assign delta_row_o   = tag_q[1].row;
  assign delta_place_o = tag_q[1].output_pair;
  assign delta_o       = pair;

  // Hidden: a tile of gate waits for the tile of up.
  localparam int unsigned GateW = $clog2(MaxRows * Words);
  sram_pkg::status_t unused_status;  // block RAM of a device: no pins
  ram_1r1w #(
      .Words(MaxRows * Words),
      .Bytes(4)
  ) u_gates (
      .clk_i,
      .pins_i  ('0),
      .status_o(unused_status),
      .re_i    (busy_q[0] && tag_q[0].up),
      .raddr_i (GateW'((32'(tag_q[0].row) << Shift) | 32'(tag_q[0].place))),
      .rdata_o (gate_q),
      .we_i    (busy_q[1] && kind_i == SumHidden && !tag_q[1].up),
      .waddr_i (GateW'((32'(tag_q[1].row) << Shift) | 32'(tag_q[1].place))),
      .wbe_i   ('1),
      .wdata_i (pair)
  );

  swiglu_pair u_swiglu (
      .clk_i,
      .shift_i (layer_i.swiglu_shift),
      .gate_i  (gate_q),
      .up_i    (pair),
      .hidden_o(glu)
  );
  assign hidden_we_o = busy_q[Glu-1] && kind_i == SumHidden && tag_q[Glu-1].up;
  always_comb begin
    hidden_o      = '0;
    hidden_o.row  = tag_q[Glu-1].row;
    hidden_o.word = 12'(tag_q[Glu-1].output_pair >> 5);
    hidden_o.at   = tag_q[Glu-1].output_pair[4:0];
    hidden_o.data = glu;
  end

  logic unused_tags;
  assign unused_tags = ^{derived_i, layer_i, shape_i, head};
endmodule

`default_nettype wire
