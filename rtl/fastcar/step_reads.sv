// SPDX-License-Identifier: Apache-2.0
// What a step reads beside weights and scales: regions and words of one port, by phase, and where the layer's caches, ring
// and chain counts begin.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_reads
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned RowWords  = 128,  // words that a row of x may have
    parameter int unsigned ReadDepth = 256,  // words under way or waiting
    parameter int unsigned MaxBurst  = 64,   // beats
    localparam int unsigned GainW = $clog2(RowWords)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  phase_e                    phase_i,
    input  logic                      begins_i,
    input  shape_t                    shape_i,
    input  derived_t                  derived_i,
    input  seen_t                     seen_i,
    input  logic                [7:0] rounds_i,
    input  logic                [7:0] layer_index_i,
    input  logic                      walks_i,
    input  logic        [MaxRows-1:0] index_i,
    input  logic        [MaxRows-1:0] rows_all_i,
    input  logic                      add_done_i,
    input  logic                      attend_done_i,
    input  logic                      chains_out_i,
    input  addr_t                     chain_end_i,
    input  logic                      chain_ready_i,
    input  logic                      add_ready_i,
    input  logic                      score_ready_i,
    input  logic                      attend_ready_i,
    input  logic                      gain_re_i,
    input  logic          [GainW-1:0] gain_addr_i,
    output logic                      word_valid_o,
    output word_t                     word_o,
    output logic                      constants_in_o,
    output logic        [MaxRows-1:0] outside_o,
    output layer_t                    layer_o,
    output word_t                     head_weights_o,
    output logic                      turn_we_o,
    output logic                      turn_old_o,
    output logic                [7:0] turn_addr_o,
    output logic signed        [15:0] turn_o,
    output word_t                     gain_o,
    output place_t                    cache_o,
    output addr_t                     ring_o,
    output addr_t                     chain_o,
    output fault_e                    read_fault_o,
    output logic                      m_arvalid_o,
    input  logic                      m_arready_i,
    output addr_t                     m_araddr_o,
    output logic        [        7:0] m_arlen_o,
    input  logic                      m_rvalid_i,
    output logic                      m_rready_o,
    input  word_t                     m_rdata_i,
    input  logic        [        1:0] m_rresp_i,
    input  logic                      m_rlast_i
);
  logic read_valid, read_ready, fetch_region_valid, row_region_valid, cache_region_valid, unused_asked;
  logic unused_decision;
  logic word_ready, fetch_ready;
  region_t read_region, fetch_region, row_region, cache_region;
  logic by_row, by_cache;
  addr_t row_first, row_stride, row_end;
  logic [9:0] region_words;
  place_t cache_end;
  logic [4:0][31:0] unused_reads;
  logic [31:0] unused_dropped_reads;

  assign by_row   = phase_i == PhaseChains || phase_i == PhaseRows || phase_i == PhaseRing;
  assign by_cache = phase_i == PhaseScore || phase_i == PhaseAttend;
  always_comb begin
    read_valid  = fetch_region_valid;
    read_region = fetch_region;
    if (by_row) begin
      read_valid  = row_region_valid;
      read_region = row_region;
    end else if (by_cache) begin
      read_valid  = cache_region_valid;
      read_region = cache_region;
    end
    unique case (phase_i)
      PhaseChains: word_ready = chain_ready_i;
      PhaseRows, PhaseRing: word_ready = add_ready_i;
      PhaseScore: word_ready = score_ready_i;
      PhaseAttend: word_ready = attend_ready_i;
      default: word_ready = fetch_ready;
    endcase
  end

  weight_streamer #(
      .Bytes(Bytes), .Depth(ReadDepth), .MaxBurst(MaxBurst)
  ) u_reads (
      .clk_i, .rst_ni,
      .region_valid_i  (read_valid),
      .region_ready_o  (read_ready),
      .region_i        (read_region),
      .decision_valid_i(1'b0),
      .decision_ready_o(unused_decision),
      .decision_skip_i (1'b0),
      .arvalid_o       (m_arvalid_o),
      .arready_i       (m_arready_i),
      .araddr_o        (m_araddr_o),
      .arlen_o         (m_arlen_o),
      .rvalid_i        (m_rvalid_i),
      .rready_o        (m_rready_o),
      .rdata_i         (m_rdata_i),
      .rresp_i         (m_rresp_i),
      .rlast_i         (m_rlast_i),
      .valid_o         (word_valid_o),
      .ready_i         (word_ready),
      .word_o          (word_o),
      .fault_o         (read_fault_o),
      .delivered_o     (unused_reads[0]),
      .blocked_o       (unused_reads[1]),
      .no_region_o     (unused_reads[2]),
      .no_decision_o   (unused_reads[3]),
      .memory_o        (unused_reads[4]),
      .skipped_o       (unused_dropped_reads)
  );

  step_fetch #(
      .RowWords(RowWords)
  ) u_fetch (
      .clk_i, .rst_ni,
      .phase_i       (phase_i),
      .begins_i      (begins_i),
      .shape_i       (shape_i),
      .derived_i     (derived_i),
      .layer_index_i (layer_index_i),
      .fetched_o     (constants_in_o),
      .region_valid_o(fetch_region_valid),
      .region_ready_i(read_ready && !by_row && !by_cache),
      .region_o      (fetch_region),
      .word_valid_i  (word_valid_o && !by_row && !by_cache),
      .word_ready_o  (fetch_ready),
      .word_i        (word_o),
      .turn_we_o     (turn_we_o),
      .turn_old_o    (turn_old_o),
      .turn_addr_o   (turn_addr_o),
      .turn_o        (turn_o),
      .layer_o       (layer_o),
      .head_weights_o(head_weights_o),
      .gain_re_i     (gain_re_i),
      .gain_addr_i   (gain_addr_i),
      .gain_o        (gain_o)
  );

  // A region a row: chain counts, rows of the new token, rows of the ring that are replayed.
  always_comb begin
    row_first    = shape_i.x;
    row_stride   = 40'({derived_i.row_words, 6'd0});
    region_words = derived_i.row_words;
    outside_o      = rows_all_i;
    if (phase_i == PhaseChains) begin
      row_first    = chain_o;
      row_stride   = 40'(shape_i.frame_tokens);
      region_words = 10'd1;
    end else if (phase_i == PhaseRing) begin
      row_first  = ring_o;
      row_stride = {derived_i.ring_stride, 6'd0};
      outside_o    = rows_all_i & ~index_i;
    end else if (phase_i == PhaseAdd) begin
      outside_o = '0;
    end
  end
  row_regions u_rows (
      .clk_i, .rst_ni,
      .start_i       (begins_i && by_row),
      .rows_i        (shape_i.rows),
      .wanted_i      (outside_o),
      .first_i       (row_first),
      .stride_i      (row_stride),
      .words_i       (region_words),
      .end_o         (row_end),
      .busy_o        (unused_asked),
      .region_valid_o(row_region_valid),
      .region_ready_i(read_ready && by_row),
      .region_o      (row_region)
  );

  cache_walk u_caches (
      .clk_i, .rst_ni,
      .start_i       (begins_i && by_cache),
      .score_i       (phase_i == PhaseScore),
      .value_i       (layer_o.chooser == ChooserValue),
      .shape_i       (shape_i),
      .derived_i     (derived_i),
      .seen_i        (seen_i),
      .rounds_i      (rounds_i),
      .first_i       (cache_o),
      .end_o         (cache_end),
      .region_valid_o(cache_region_valid),
      .region_ready_i(read_ready && by_cache),
      .region_o      (cache_region)
  );

  // Where the layer's caches, ring and chain counts begin.
  `FFLNR(cache_o, walks_i ? '0 : cache_end, walks_i || attend_done_i)
  `FFLNR(ring_o, walks_i ? shape_i.ring + {derived_i.ring_slot, 6'd0} : row_end,
         walks_i || (phase_i == PhaseRing && add_done_i))
  `FFLNR(chain_o, walks_i ? shape_i.chains + 40'(derived_i.slot) : chain_end_i,
         walks_i || (phase_i == PhaseCounts && chains_out_i))
endmodule

`default_nettype wire
