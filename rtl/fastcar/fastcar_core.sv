// SPDX-License-Identifier: Apache-2.0
// One cluster of FastCar: the streamer of its weights, the matrix-vector engine, the score and the
// decision who computes, which both of them follow. Scores of a batch arrive in row order.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module fastcar_core
  import fastcar_pkg::*;
#(
    parameter int unsigned Width    = 64,    // inputs of a weight word, bytes of a beat
    parameter int unsigned Chain    = 8,     // DSPs of a chain
    parameter int unsigned Lanes    = 16,  // lanes of the cluster, 1..32
    parameter int unsigned Words    = 16,    // of a window
    parameter int unsigned Longest  = 11008,  // inputs of the longest product: LLaMA-7B's down projection
    // segments of inputs that a lane stores: those of its rows in every pass
    parameter int unsigned Inputs   = ((MaxRows + Lanes - 1) / Lanes) * ((Longest + Width - 1) / Width),
    parameter int unsigned Depth    = 512,   // words of prefetch
    parameter int unsigned MaxBurst = 64,    // beats
    parameter bit          Fabric   = 1'b0,  // the score's products of LUTs, not of DSPs
    parameter int unsigned UltraLanes = 0,   // lanes whose inputs lie in UltraRAM
    parameter int unsigned LutChains  = 0    // chains of the first lane without DSPs
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  policy_e                  policy_i,
    input  logic signed [      31:0] threshold_i,
    input  count_t                   rows_i,
    input  logic                     scheduling_i,  // see matvec_engine
    // queries and keys a frame earlier, or values or keys of both frames: see tas_unit
    input  logic                     tas_distance_i,
    input  logic                     tas_valid_i,
    output logic                     tas_ready_o,
    input  logic        [       7:0] tas_q_i          [Width],
    input  logic        [       7:0] tas_k_i          [Width],
    input  logic signed [       3:0] tas_weight_i,
    input  logic                     tas_last_i,
    input  logic        [MaxRows-1:0] may_replay_i,
    // what to stream, what to compute
    input  logic                     region_valid_i,
    output logic                     region_ready_o,
    input  region_t                  region_i,
    input  logic                     job_valid_i,
    output logic                     job_ready_o,
    input  job_t                     job_i,
    input  logic                     load_valid_i,
    output logic                     load_ready_o,
    input  row_t                     load_row_i,
    input  logic        [       9:0] load_segment_i,
    input  logic        [8*Width-1:0] load_data_i,
    input  logic                     load_last_i,
    // AXI4 reads
    output logic                     arvalid_o,
    input  logic                     arready_i,
    output logic        [      39:0] araddr_o,
    output logic        [       7:0] arlen_o,
    input  logic                     rvalid_i,
    output logic                     rready_o,
    input  logic        [8*Width-1:0] rdata_i,
    input  logic        [       1:0] rresp_i,
    input  logic                     rlast_i,
    // sums
    output logic                     sum_valid_o,
    input  logic                     sum_ready_i,
    output row_t                     sum_row_o,
    output logic        [      15:0] sum_pair_o,
    output logic signed [      31:0] sum_even_o,
    output logic signed [      31:0] sum_odd_o,
    // the decision, as it is taken
    output logic                     decided_o,
    output logic        [MaxRows-1:0] index_o,
    output fault_e                   fault_o,          // it has stopped, until reset
    // counters
    output logic        [     31:0]  rows_replayed_o,
    output logic        [     31:0]  rows_computed_o,
    output logic        [5:0][31:0]  stream_o,         // see weight_streamer
    output logic        [6:0][31:0]  cycles_o,         // see matvec_engine
    output logic        [     31:0]  lanes_busy_o,
    output logic        [     31:0]  lanes_spare_o,
    output logic        [     31:0]  loads_dropped_o
);
  logic score_valid, score_ready, decision_valid, decision_ready;
  logic signed [31:0] score;
  row_t score_row_d, score_row_q;
  logic [MaxRows-1:0] index;

  tas_unit #(
      .Width (Width),
      .Fabric(Fabric)
  ) u_tas (
      .clk_i,
      .rst_ni,
      .distance_i(tas_distance_i),
      .valid_i   (tas_valid_i),
      .ready_o   (tas_ready_o),
      .q_i       (tas_q_i),
      .k_i       (tas_k_i),
      .weight_i  (tas_weight_i),
      .last_i    (tas_last_i),
      .valid_o   (score_valid),
      .ready_i   (score_ready),
      .tas_o     (score)
  );

  `FFL(score_row_q, score_row_d, score_valid && score_ready, '0)
  assign score_row_d = (count_t'(score_row_q) == rows_i - 1'b1) ? '0 : score_row_q + 1'b1;

  drs_policy u_policy (
      .clk_i,
      .rst_ni,
      .policy_i,
      .threshold_i,
      .rows_i,
      .valid_i     (score_valid),
      .ready_o     (score_ready),
      .tas_i       (score),
      .may_replay_i(may_replay_i[score_row_q]),
      .valid_o     (decision_valid),
      .ready_i     (decision_ready),
      .index_o     (index)
  );

  // The decision goes to both, who take it in their own time.
  logic skip_ready, skip_valid, skip_take, skip, index_ready, index_valid, index_take;
  logic [MaxRows-1:0] index_head;
  assign decision_ready = skip_ready && index_ready;
  assign decided_o      = decision_valid && decision_ready;
  assign index_o        = index;

  fifo #(
      .Width(1),
      .Depth(2)
  ) u_skip (
      .clk_i,
      .rst_ni,
      .flush_i(1'b0),
      .valid_i(decided_o),
      .ready_o(skip_ready),
      .data_i (index == '0),
      .valid_o(skip_valid),
      .ready_i(skip_take),
      .data_o (skip)
  );

  fifo #(
      .Width(MaxRows),
      .Depth(2)
  ) u_index (
      .clk_i,
      .rst_ni,
      .flush_i(1'b0),
      .valid_i(decided_o),
      .ready_o(index_ready),
      .data_i (index),
      .valid_o(index_valid),
      .ready_i(index_take),
      .data_o (index_head)
  );

  logic word_valid, word_ready, no_room;
  fault_e read_fault;
  logic [8*Width-1:0] word;

  weight_streamer #(
      .Bytes   (Width),
      .Depth   (Depth),
      .MaxBurst(MaxBurst)
  ) u_streamer (
      .clk_i,
      .rst_ni,
      .region_valid_i,
      .region_ready_o,
      .region_i,
      .decision_valid_i(skip_valid),
      .decision_ready_o(skip_take),
      .decision_skip_i (skip),
      .arvalid_o,
      .arready_i,
      .araddr_o,
      .arlen_o,
      .rvalid_i,
      .rready_o,
      .rdata_i,
      .rresp_i,
      .rlast_i,
      .valid_o         (word_valid),
      .ready_i         (word_ready),
      .word_o          (word),
      .fault_o         (read_fault),
      .delivered_o     (stream_o[0]),
      .blocked_o       (stream_o[1]),
      .no_region_o     (stream_o[2]),
      .no_decision_o   (stream_o[3]),
      .memory_o        (stream_o[4]),
      .skipped_o       (stream_o[5])
  );

  matvec_engine #(
      .Width (Width),
      .Chain (Chain),
      .Lanes (Lanes),
      .Words (Words),
      .Inputs(Inputs),
      .UltraLanes(UltraLanes),
      .LutChains(LutChains)
  ) u_engine (
      .clk_i,
      .rst_ni,
      .rows_i,
      .scheduling_i,
      .job_valid_i,
      .job_ready_o,
      .job_i,
      .decision_valid_i(index_valid),
      .decision_ready_o(index_take),
      .decision_index_i(index_head),
      .load_valid_i,
      .load_ready_o,
      .load_row_i,
      .load_segment_i,
      .load_data_i,
      .load_last_i,
      .word_valid_i    (word_valid),
      .word_ready_o    (word_ready),
      .word_i          (word),
      .sum_valid_o,
      .sum_ready_i,
      .sum_row_o,
      .sum_pair_o,
      .sum_even_o,
      .sum_odd_o,
      .no_room_o       (no_room),
      .cycles_o,
      .lanes_busy_o,
      .lanes_spare_o,
      .loads_dropped_o
  );

  assign fault_o = (read_fault == FaultNone && no_room) ? FaultNoRoom : read_fault;

  count_t computing;
  always_comb begin
    computing = '0;
    for (int unsigned r = 0; r < MaxRows; r++) computing += count_t'(index[r]);
  end
  `FFL(rows_computed_o, rows_computed_o + 32'(computing), decided_o, '0)
  `FFL(rows_replayed_o, rows_replayed_o + 32'(rows_i - computing), decided_o, '0)
endmodule

`default_nettype wire
