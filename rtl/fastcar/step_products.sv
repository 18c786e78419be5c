// SPDX-License-Identifier: Apache-2.0
// The products of a step: the streams of weights and scales, region by region, and the core that takes the weights.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_products
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Chain    = 8,      // DSPs of a chain
    parameter int unsigned Lanes    = 16,     // lanes of the cluster
    parameter int unsigned Words    = 16,     // pairs of outputs of a tile
    parameter int unsigned Longest  = 11008,  // inputs of the longest product
    parameter int unsigned Inputs   = 344,    // segments that a lane stores
    parameter int unsigned Depth    = 512,    // words of prefetch
    parameter int unsigned MaxBurst = 64,     // beats
    parameter bit          Fabric   = 1'b0,   // the score's products of LUTs, not of DSPs
    parameter int unsigned UltraLanes = 0,    // lanes whose inputs lie in UltraRAM
    parameter int unsigned LutChains  = 0     // chains of the first lane without DSPs
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  shape_t                    shape_i,
    input  derived_t                  derived_i,
    input  layer_t                    layer_i,
    input  logic                      walks_i,
    input  logic                      job_valid_i,
    input  job_t                      job_i,
    input  logic                      load_valid_i,
    input  row_t                      load_row_i,
    input  logic                [9:0] load_segment_i,
    input  word_t                     load_i,
    input  logic                      load_last_i,
    input  logic                      tas_distance_i,
    input  logic                      tas_valid_i,
    input  logic                [7:0] tas_now_i [Bytes],
    input  logic                [7:0] tas_before_i [Bytes],
    input  logic signed         [3:0] tas_weight_i,
    input  logic                      tas_last_i,
    input  logic        [MaxRows-1:0] may_replay_i,
    input  logic                      scale_ready_i,
    input  logic                      sum_ready_i,
    output logic                      job_ready_o,
    output logic                      load_ready_o,
    output logic                      tas_ready_o,
    output logic                      scale_valid_o,
    output word_t                     scale_o,
    output logic                      sum_valid_o,
    output row_t                      sum_row_o,
    output logic               [15:0] sum_pair_o,
    output logic signed        [31:0] sum_even_o,
    output logic signed        [31:0] sum_odd_o,
    output logic                      decided_o,
    output logic        [MaxRows-1:0] decided_index_o,
    output fault_e                    core_fault_o,
    output fault_e                    scale_fault_o,
    output logic               [31:0] computed_o,
    output logic               [31:0] replayed_o,
    output logic               [31:0] delivered_o,
    output logic               [31:0] skipped_o,
    output logic                      w_arvalid_o,
    input  logic                      w_arready_i,
    output addr_t                     w_araddr_o,
    output logic        [        7:0] w_arlen_o,
    input  logic                      w_rvalid_i,
    output logic                      w_rready_o,
    input  word_t                     w_rdata_i,
    input  logic        [        1:0] w_rresp_i,
    input  logic                      w_rlast_i,
    output logic                      s_arvalid_o,
    input  logic                      s_arready_i,
    output addr_t                     s_araddr_o,
    output logic        [        7:0] s_arlen_o,
    input  logic                      s_rvalid_i,
    output logic                      s_rready_o,
    input  word_t                     s_rdata_i,
    input  logic        [        1:0] s_rresp_i,
    input  logic                      s_rlast_i
);
  localparam int unsigned ScaleDepth = 64;  // words of the scales' FIFO

  logic region_valid, region_ready, scale_region_valid, scale_region_ready;
  region_t region, scale_region;
  logic skip_valid, skip_take, skip, unused_skip_ready;
  logic [5:0][31:0] stream;
  logic [6:0][31:0] unused_cycles;
  logic [31:0] unused_busy, unused_spare, unused_dropped;
  logic [4:0][31:0] unused_scales;
  logic [31:0] unused_skipped;

  region_walk u_weight_regions (
      .clk_i, .rst_ni,
      .start_i       (walks_i),
      .base_i        (shape_i.weights),
      .layers_i      (shape_i.layers),
      .attention_i   (derived_i.attention_beats),
      .mlp_i         (derived_i.mlp_beats),
      .decides_i     (derived_i.replays),
      .region_valid_o(region_valid),
      .region_ready_i(region_ready),
      .region_o      (region)
  );
  region_walk u_scale_regions (
      .clk_i, .rst_ni,
      .start_i       (walks_i),
      .base_i        (shape_i.scales),
      .layers_i      (shape_i.layers),
      .attention_i   (derived_i.attention_scales),
      .mlp_i         (derived_i.mlp_scales),
      .decides_i     (derived_i.replays),
      .region_valid_o(scale_region_valid),
      .region_ready_i(scale_region_ready),
      .region_o      (scale_region)
  );


  // A layer's decision is taken before the next one is made.
  fifo #(
      .Width(1),
      .Depth(2)
  ) u_skip (
      .clk_i, .rst_ni,
      .flush_i(1'b0),
      .valid_i(decided_o),
      .ready_o(unused_skip_ready),
      .data_i (decided_index_o == '0),
      .valid_o(skip_valid),
      .ready_i(skip_take),
      .data_o (skip)
  );
  weight_streamer #(
      .Bytes(Bytes), .Depth(ScaleDepth), .MaxBurst((MaxBurst < ScaleDepth) ? MaxBurst : ScaleDepth)
  ) u_scales (
      .clk_i, .rst_ni,
      .region_valid_i  (scale_region_valid),
      .region_ready_o  (scale_region_ready),
      .region_i        (scale_region),
      .decision_valid_i(skip_valid),
      .decision_ready_o(skip_take),
      .decision_skip_i (skip),
      .arvalid_o       (s_arvalid_o),
      .arready_i       (s_arready_i),
      .araddr_o        (s_araddr_o),
      .arlen_o         (s_arlen_o),
      .rvalid_i        (s_rvalid_i),
      .rready_o        (s_rready_o),
      .rdata_i         (s_rdata_i),
      .rresp_i         (s_rresp_i),
      .rlast_i         (s_rlast_i),
      .valid_o         (scale_valid_o),
      .ready_i         (scale_ready_i),
      .word_o          (scale_o),
      .fault_o         (scale_fault_o),
      .delivered_o     (unused_scales[0]),
      .blocked_o       (unused_scales[1]),
      .no_region_o     (unused_scales[2]),
      .no_decision_o   (unused_scales[3]),
      .memory_o        (unused_scales[4]),
      .skipped_o       (unused_skipped)
  );

  fastcar_core #(
      .Width(Bytes), .Chain(Chain), .Lanes(Lanes), .Words(Words), .Longest(Longest), .Inputs(Inputs),
      .Depth(Depth), .MaxBurst(MaxBurst), .Fabric(Fabric), .UltraLanes(UltraLanes),
      .LutChains(LutChains)
  ) u_core (
      .clk_i, .rst_ni,
      .policy_i       (layer_i.policy),
      .threshold_i    (layer_i.threshold),
      .rows_i         (shape_i.rows),
      .scheduling_i   (shape_i.scheduling),
      .tas_distance_i (tas_distance_i),
      .tas_valid_i    (tas_valid_i),
      .tas_ready_o    (tas_ready_o),
      .tas_q_i        (tas_now_i),
      .tas_k_i        (tas_before_i),
      .tas_weight_i   (tas_weight_i),
      .tas_last_i     (tas_last_i),
      .may_replay_i   (may_replay_i),
      .region_valid_i (region_valid),
      .region_ready_o (region_ready),
      .region_i       (region),
      .job_valid_i    (job_valid_i),
      .job_ready_o    (job_ready_o),
      .job_i          (job_i),
      .load_valid_i   (load_valid_i),
      .load_ready_o   (load_ready_o),
      .load_row_i     (load_row_i),
      .load_segment_i (load_segment_i),
      .load_data_i    (load_i),
      .load_last_i    (load_last_i),
      .arvalid_o      (w_arvalid_o),
      .arready_i      (w_arready_i),
      .araddr_o       (w_araddr_o),
      .arlen_o        (w_arlen_o),
      .rvalid_i       (w_rvalid_i),
      .rready_o       (w_rready_o),
      .rdata_i        (w_rdata_i),
      .rresp_i        (w_rresp_i),
      .rlast_i        (w_rlast_i),
      .sum_valid_o    (sum_valid_o),
      .sum_ready_i    (sum_ready_i),
      .sum_row_o      (sum_row_o),
      .sum_pair_o     (sum_pair_o),
      .sum_even_o     (sum_even_o),
      .sum_odd_o      (sum_odd_o),
      .decided_o      (decided_o),
      .index_o        (decided_index_o),
      .fault_o        (core_fault_o),
      .rows_replayed_o(replayed_o),
      .rows_computed_o(computed_o),
      .stream_o       (stream),
      .cycles_o       (unused_cycles),
      .lanes_busy_o   (unused_busy),
      .lanes_spare_o  (unused_spare),
      .loads_dropped_o(unused_dropped)
  );


  assign delivered_o = stream[0];
  assign skipped_o   = stream[5];
  logic unused_stream;
  assign unused_stream = ^{stream[4:1], shape_i, derived_i, layer_i};
endmodule

`default_nettype wire
