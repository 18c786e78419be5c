// SPDX-License-Identifier: Apache-2.0
// Products of int4 weight matrices with the int8 rows that compute. A job loads the rows' inputs, of which those of
// replayed rows are dropped, then takes the weights as they stream in, whole tiles of Words pairs of outputs by segments
// of Width inputs: tile, segment, word. Sums of a tile leave row by row while the next tile is computed.
// A job whose rows' inputs do not fit in the lanes is refused: `no_room_o`, and nothing moves until reset.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module matvec_engine
  import fastcar_pkg::*;
#(
    parameter int unsigned Width  = 64,    // inputs of a weight word
    parameter int unsigned Chain  = 8,     // DSPs of a chain
    parameter int unsigned Lanes  = 16,  // lanes of the cluster, 1..32
    parameter int unsigned Words  = 16,    // of a window
    parameter int unsigned Inputs = 1024,  // segments of inputs that a lane stores, of all its rows
    parameter int unsigned UltraLanes = 0,  // lanes whose inputs lie in UltraRAM
    parameter int unsigned LutChains = 0   // chains of the first lane without DSPs
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  count_t                     rows_i,            // of the batch, 1..32
    input  logic                       scheduling_i,      // 0: all rows compute, unless all replay
    input  logic                       job_valid_i,
    output logic                       job_ready_o,
    input  job_t                       job_i,
    input  logic                       decision_valid_i,
    output logic                       decision_ready_o,
    input  logic         [MaxRows-1:0] decision_index_i,
    input  logic                       load_valid_i,
    output logic                       load_ready_o,
    input  row_t                       load_row_i,
    input  logic         [        9:0] load_segment_i,
    input  logic         [8*Width-1:0] load_data_i,
    input  logic                       load_last_i,       // of the job
    input  logic                       word_valid_i,
    output logic                       word_ready_o,
    input  logic         [8*Width-1:0] word_i,
    output logic                       sum_valid_o,
    input  logic                       sum_ready_i,
    output row_t                       sum_row_o,
    output logic         [       15:0] sum_pair_o,
    output logic signed  [       31:0] sum_even_o,
    output logic signed  [       31:0] sum_odd_o,
    output logic                       no_room_o,
    // Every cycle is one of: no job, planning, loading, issuing, words late, sums in the way, end of the job.
    output logic         [        6:0][31:0] cycles_o,
    output logic         [       31:0] lanes_busy_o,  // lane cycles of issuing cycles: with a product
    output logic         [       31:0] lanes_spare_o,  // and without
    output logic         [       31:0] loads_dropped_o
);
  localparam int unsigned Passes = (MaxRows + Lanes - 1) / Lanes;
  localparam int unsigned Entries = Passes * Words;
  localparam int unsigned WordW = $clog2(2 * Words);
  localparam int unsigned InputW = (Inputs > 1) ? $clog2(Inputs) : 1;
  localparam int unsigned EntryW = $clog2(2 * Entries);
  localparam int unsigned Latency = Chain + 5;  // from the last product's issue to its sum in place

  typedef enum logic [2:0] {
    Idle,
    Plan,
    Load,
    Run,
    Finish,
    Refused
  } state_e;

  state_e state_d, state_q;
  logic [9:0] segments_q;
  logic [15:0] pairs_q, tiles;
  logic take, plan_ready, start;

  // Mapping
  logic [MaxRows-1:0] index, index_d;
  count_t count, full, left, steps;
  row_t row[MaxRows], place[MaxRows];
  share_t share[Lanes];

  assign job_ready_o      = state_q == Idle && !(job_valid_i && job_i.mlp && !decision_valid_i);
  assign take             = job_valid_i && job_ready_o;
  assign decision_ready_o = take && job_i.mlp && job_i.last;
  assign index_d          = (job_i.mlp && (scheduling_i || decision_index_i == '0)) ? decision_index_i :
      ~({MaxRows{1'b1}} << rows_i);
  `FFLNR(segments_q, job_i.segments, take)
  `FFLNR(pairs_q, job_i.pairs, take)
  assign tiles = 16'((32'(pairs_q) + Words - 1) / Words);

  drs #(
      .Lanes(Lanes),
      .Words(Words)
  ) u_drs (
      .clk_i,
      .rst_ni,
      .load_i (take),
      .index_i(index_d),
      .ready_o(plan_ready),
      .index_o(index),
      .count_o(count),
      .row_o  (row),
      .place_o(place),
      .full_o (full),
      .left_o (left),
      .steps_o(steps),
      .share_o(share)
  );

  // Inputs
  logic loaded_d, loaded_q, filter_ready, input_valid, load_drop;
  logic [Lanes-1:0] input_lanes;
  count_t input_pass;
  row_t unused_row;
  logic [9:0] input_segment;
  logic [8*Width-1:0] input_data;

  assign load_ready_o = state_q == Load && !loaded_q && filter_ready;
  assign loaded_d     = state_q == Load && (loaded_q || (load_valid_i && load_ready_o && load_last_i));
  `FF(loaded_q, loaded_d, 1'b0)

  drs_filter #(
      .Lanes(Lanes),
      .Width(10 + 8 * Width)
  ) u_filter (
      .clk_i,
      .rst_ni,
      .index_i(index),
      .place_i(place),
      .full_i (full),
      .share_i(share),
      .valid_i(load_valid_i && state_q == Load && !loaded_q),
      .ready_o(filter_ready),
      .row_i  (load_row_i),
      .data_i ({load_segment_i, load_data_i}),
      .drop_o (load_drop),
      .valid_o(input_valid),
      .ready_i(1'b1),
      .row_o  (unused_row),
      .lanes_o(input_lanes),
      .pass_o (input_pass),
      .data_o ({input_segment, input_data})
  );

  // Windows of words, two
  logic [1:0] window_full_d, window_full_q;
  logic fill_bank_q, read_bank_q, fill, fill_ends, window_done;
  count_t fill_d, fill_q;
  logic [9*Width-1:0] packed_word;

  assign word_ready_o = !window_full_q[fill_bank_q];
  assign fill         = word_valid_i && word_ready_o;
  assign fill_ends    = fill_q == count_t'(Words - 1);
  assign fill_d       = fill_ends ? '0 : fill_q + 1'b1;
  always_comb begin
    window_full_d = window_full_q;
    if (window_done) window_full_d[read_bank_q] = 1'b0;
    if (fill && fill_ends) window_full_d[fill_bank_q] = 1'b1;
  end
  `FF(window_full_q, window_full_d, '0)
  `FFL(fill_q, fill_d, fill, '0)
  `FFL(fill_bank_q, !fill_bank_q, fill && fill_ends, 1'b0)
  `FFL(read_bank_q, !read_bank_q, window_done, 1'b0)

  lane_pack #(
      .Width(Width)
  ) u_pack (
      .word_i,
      .packed_o(packed_word)
  );

  // Issue
  logic busy, tile_begin, tile_end, tile_done, issue, wait_words, wait_sums, split, sums_bank_q;
  logic [1:0] taken_d, taken_q, finished_d, finished_q;  // sets of accumulators: in use, of them complete
  logic [Latency-1:0] tile_end_q;
  count_t step, pass;
  logic [9:0] segment;

  assign start = state_q == Load && loaded_q && !input_valid && count != '0;
  lane_sequencer #(
      .Words(Words)
  ) u_sequencer (
      .clk_i,
      .rst_ni,
      .start_i       (start),
      .busy_o        (busy),
      .segments_i    (segments_q),
      .tiles_i       (tiles),
      .full_i        (full),
      .left_i        (left),
      .steps_i       (steps),
      .window_valid_i(window_full_q[read_bank_q]),
      .window_done_o (window_done),
      .sums_free_i   (taken_q != 2'd2),
      .tile_begin_o  (tile_begin),
      .tile_end_o    (tile_end),
      .issue_o       (issue),
      .wait_words_o  (wait_words),
      .wait_sums_o   (wait_sums),
      .split_o       (split),
      .step_o        (step),
      .pass_o        (pass),
      .segment_o     (segment)
  );
  assign taken_d    = taken_q + 2'(tile_begin) - 2'(tile_done);
  assign finished_d = finished_q + 2'(tile_end_q[Latency-1]) - 2'(tile_done);
  `FF(taken_q, taken_d, '0)
  `FF(finished_q, finished_d, '0)
  `FF(tile_end_q, {tile_end_q[Latency-2:0], tile_end}, '0)
  `FFL(sums_bank_q, !sums_bank_q, tile_end, 1'b0)

  // Lanes
  logic [Lanes-1:0] lane_valid;
  logic [EntryW-1:0] entry, sum_addr;
  logic [InputW-1:0] input_addr, input_waddr;
  logic signed [31:0] even[Lanes], odd[Lanes];

  assign input_waddr = InputW'(32'(input_pass) * 32'(segments_q) + 32'(input_segment));
  assign input_addr  = InputW'(32'(pass) * 32'(segments_q) + 32'(segment));
  assign entry       = EntryW'(32'(sums_bank_q) * Entries + 32'(pass) * Words + 32'(step));

  for (genvar k = 0; k < Lanes; k++) begin : gen_lane
    logic [WordW-1:0] word_addr;
    assign lane_valid[k] = issue && (!split || step < share[k].words);
    assign word_addr = WordW'(32'(read_bank_q) * Words + 32'(step) + (split ? 32'(share[k].first) : '0));

    lane #(
        .Width  (Width),
        .Chain  (Chain),
        .Words  (Words),
        .Inputs (Inputs),
        .Entries(Entries),
        .Ultra  (k < UltraLanes),
        .LutChains((k == 0) ? LutChains : 0)
    ) u_lane (
        .clk_i,
        .rst_ni,
        .word_we_i    (fill),
        .word_waddr_i (WordW'(32'(fill_bank_q) * Words + 32'(fill_q))),
        .word_i       (packed_word),
        .input_we_i   (input_valid && input_lanes[k]),
        .input_waddr_i(input_waddr),
        .input_i      (input_data),
        .valid_i      (lane_valid[k]),
        .word_addr_i  (word_addr),
        .input_addr_i (input_addr),
        .entry_i      (entry),
        .first_i      (segment == '0),
        .sum_addr_i   (sum_addr),
        .even_o       (even[k]),
        .odd_o        (odd[k])
    );
  end

  sum_drain #(
      .Lanes  (Lanes),
      .Words  (Words),
      .Entries(Entries)
  ) u_drain (
      .clk_i,
      .rst_ni,
      .start_i     (start),
      .pairs_i     (pairs_q),
      .count_i     (count),
      .row_i       (row),
      .full_i      (full),
      .left_i      (left),
      .share_i     (share),
      .tile_valid_i(finished_q != '0),
      .tile_done_o (tile_done),
      .addr_o      (sum_addr),
      .even_i      (even),
      .odd_i       (odd),
      .valid_o     (sum_valid_o),
      .ready_i     (sum_ready_i),
      .row_o       (sum_row_o),
      .pair_o      (sum_pair_o),
      .even_o      (sum_even_o),
      .odd_o       (sum_odd_o)
  );

  logic fits;
  assign fits      = (32'(full) + 32'(left != '0)) * 32'(segments_q) <= Inputs;
  assign no_room_o = state_q == Refused;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Idle: if (take) state_d = Plan;
      Plan: if (plan_ready) state_d = fits ? Load : Refused;
      Load: if (loaded_q && !input_valid) state_d = (count == '0) ? Idle : Run;
      Run: if (!busy) state_d = Finish;
      Refused: ;
      default: if (taken_q == '0 && !sum_valid_o) state_d = Idle;
    endcase
  end
  `FF(state_q, state_d, Idle)

  // Counters
  logic [6:0] now;
  count_t working;
  always_comb begin
    now = '0;
    now[0] = state_q == Idle;
    now[1] = state_q == Plan;
    now[2] = state_q == Load;
    now[3] = issue;
    now[4] = wait_words;
    now[5] = wait_sums;
    now[6] = !now[0] && !now[1] && !now[2] && !busy;
    working = '0;
    for (int unsigned k = 0; k < Lanes; k++) working += count_t'(lane_valid[k]);
  end
  for (genvar c = 0; c < 7; c++) begin : gen_count
    `FFL(cycles_o[c], cycles_o[c] + 1'b1, now[c], '0)
  end
  `FFL(lanes_busy_o, lanes_busy_o + 32'(working), issue, '0)
  `FFL(lanes_spare_o, lanes_spare_o + Lanes - 32'(working), issue, '0)
  `FFL(loads_dropped_o, loads_dropped_o + 1'b1, load_drop && load_valid_i, '0)

  `ASSERT_ALWAYS(OneClass, $onehot(now))
  `ASSERT_ALWAYS(InputsFit, !input_valid ||
                 32'(input_pass) * 32'(segments_q) + 32'(input_segment) < Inputs)

  `CHECK_PARAMETER(LanesInRange, Lanes >= 1 && Lanes <= MaxRows)
  `CHECK_PARAMETER(LanesThere, UltraLanes <= Lanes)
  `CHECK_PARAMETER(WordsInRange, Words >= 1 && Words <= MaxWords)
  `CHECK_PARAMETER(ASegmentOfEveryPass, Inputs >= Passes)
endmodule

`default_nettype wire
