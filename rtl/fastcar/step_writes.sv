// SPDX-License-Identifier: Apache-2.0
// What a step writes, by phase: keys, values, rows of the ring that were computed, chain counts, the result.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_writes
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned MaxBurst = 64  // beats
) (
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  phase_e                 phase_i,
    input  logic                   begins_i,
    input  shape_t                 shape_i,
    input  derived_t               derived_i,
    input  logic             [7:0] chain_cap_i,
    input  logic     [MaxRows-1:0] index_i,
    input  logic     [MaxRows-1:0] outside_i,
    input  place_t                 cache_i,
    input  addr_t                  ring_i,
    input  addr_t                  chain_i,
    input  word_t                  x_read_i,
    input  word_t                  attended_read_i,
    input  word_t                  scored_read_i,
    input  logic                   keep_valid_i,
    input  word_t                  keep_i,
    input  logic                   row_done_i,
    input  logic                   word_valid_i,
    input  word_t                  word_i,
    output logic                   walk_re_o,
    output row_t                   walk_row_o,
    output logic            [11:0] walk_at_o,
    output logic                   walk_done_o,
    output logic                   keep_ready_o,
    output logic     [MaxRows-1:0] may_replay_o,
    output logic                   chain_ready_o,
    output logic                   chains_in_o,
    output logic                   chains_out_o,
    output addr_t                  chain_end_o,
    output logic                   written_o,
    output fault_e                 write_fault_o,
    output logic                   m_awvalid_o,
    input  logic                   m_awready_i,
    output addr_t                  m_awaddr_o,
    output logic     [        7:0] m_awlen_o,
    output logic                   m_wvalid_o,
    input  logic                   m_wready_i,
    output word_t                  m_wdata_o,
    output logic     [  Bytes-1:0] m_wstrb_o,
    output logic                   m_wlast_o,
    input  logic                   m_bvalid_i,
    output logic                   m_bready_o,
    input  logic     [        1:0] m_bresp_i
);
  logic cmd_valid, cmd_ready, walk_cmd_valid, ring_cmd_valid, chain_cmd_valid, store_valid, store_ready;
  logic walk_valid, chain_valid, heads_leave, asked_q, in_ring, ring_asked_d;
  addr_t cmd_addr, walk_cmd_addr, chain_cmd_addr, ring_addr_q, ring_addr_d;
  logic [15:0] cmd_words, walk_cmd_words;
  word_t store_word, walk_word, walk_read, chain_word;
  logic [Bytes-1:0] store_strobe, chain_strobe;
  row_t ring_row_d, ring_row_q;

  assign heads_leave = phase_i == PhaseKeys || phase_i == PhaseValues;
  assign walk_read   = heads_leave ? ((phase_i == PhaseKeys) ? attended_read_i : scored_read_i) : x_read_i;
  store_walk u_walk (
      .clk_i, .rst_ni,
      .start_i     (begins_i && (heads_leave || phase_i == PhaseResult)),
      .done_o      (walk_done_o),
      .rows_i      (shape_i.rows),
      .chunks_i    (heads_leave ? shape_i.kv_heads : 8'd1),
      .words_i     (heads_leave ? 10'(derived_i.head_words) : derived_i.row_words),
      .bytes_i     (heads_leave ? 16'(shape_i.head_dim) : {shape_i.width, 1'b0}),
      .base_i      (heads_leave ? ((phase_i == PhaseKeys) ? shape_i.keys : shape_i.values) : shape_i.y),
      .first_i     (heads_leave ? cache_i + derived_i.now : '0),
      .stride_i    (heads_leave ? derived_i.head_stride : place_t'(derived_i.row_words)),
      .re_o        (walk_re_o),
      .row_o       (walk_row_o),
      .at_o        (walk_at_o),
      .data_i      (walk_read),
      .cmd_valid_o (walk_cmd_valid),
      .cmd_ready_i (cmd_ready && (heads_leave || phase_i == PhaseResult)),
      .cmd_addr_o  (walk_cmd_addr),
      .cmd_words_o (walk_cmd_words),
      .word_valid_o(walk_valid),
      .word_ready_i(store_ready),
      .word_o      (walk_word)
  );

  chain_counts u_chains (
      .clk_i, .rst_ni,
      .rows_i       (shape_i.rows),
      .first_i      (chain_i),
      .stride_i     (40'(shape_i.frame_tokens)),
      .cap_i        (chain_cap_i),
      .may_replay_o (may_replay_o),
      .fetch_i      (begins_i && phase_i == PhaseChains),
      .word_valid_i (word_valid_i && phase_i == PhaseChains),
      .word_ready_o (chain_ready_o),
      .word_i       (word_i),
      .fetched_o    (chains_in_o),
      .store_i      (begins_i && phase_i == PhaseCounts),
      .index_i      (index_i),
      .cmd_valid_o  (chain_cmd_valid),
      .cmd_ready_i  (cmd_ready && phase_i == PhaseCounts),
      .cmd_addr_o   (chain_cmd_addr),
      .store_valid_o(chain_valid),
      .store_ready_i(store_ready),
      .store_o      (chain_word),
      .strobe_o     (chain_strobe),
      .stored_o     (chains_out_o),
      .end_o        (chain_end_o)
  );

  // A row of the ring is written when its row computes: its command, then its words as they are added.
  assign in_ring        = phase_i == PhaseRing && !begins_i;
  assign ring_cmd_valid = in_ring && !asked_q && !outside_i[ring_row_q];
  always_comb begin
    ring_row_d   = ring_row_q;
    ring_addr_d  = ring_addr_q;
    ring_asked_d = asked_q || (ring_cmd_valid && cmd_ready);
    if (row_done_i) begin
      ring_row_d   = ring_row_q + 1'b1;
      ring_addr_d  = ring_addr_q + {derived_i.ring_stride, 6'd0};
      ring_asked_d = 1'b0;
    end
    if (begins_i) begin
      ring_row_d   = '0;
      ring_addr_d  = ring_i;
      ring_asked_d = 1'b0;
    end
  end
  `FFLNR(ring_row_q, ring_row_d, 1'b1)
  `FFLNR(ring_addr_q, ring_addr_d, 1'b1)
  `FF(asked_q, ring_asked_d, 1'b0)

  always_comb begin
    cmd_valid    = walk_cmd_valid;
    cmd_addr     = walk_cmd_addr;
    cmd_words    = walk_cmd_words;
    store_valid  = walk_valid;
    store_word   = walk_word;
    store_strobe = '1;
    if (phase_i == PhaseRing) begin
      cmd_valid   = ring_cmd_valid;
      cmd_addr    = ring_addr_q;
      cmd_words   = 16'(derived_i.row_words);
      store_valid = keep_valid_i;
      store_word  = keep_i;
    end else if (phase_i == PhaseCounts) begin
      cmd_valid    = chain_cmd_valid;
      cmd_addr     = chain_cmd_addr;
      cmd_words    = 16'd1;
      store_valid  = chain_valid;
      store_word   = chain_word;
      store_strobe = chain_strobe;
    end
  end
  assign keep_ready_o = store_ready;

  step_writer #(
      .MaxBurst(MaxBurst)
  ) u_writer (
      .clk_i, .rst_ni,
      .valid_i     (cmd_valid),
      .ready_o     (cmd_ready),
      .addr_i      (cmd_addr),
      .words_i     (cmd_words),
      .word_valid_i(store_valid),
      .word_ready_o(store_ready),
      .word_i      (store_word),
      .strobe_i    (store_strobe),
      .awvalid_o   (m_awvalid_o),
      .awready_i   (m_awready_i),
      .awaddr_o    (m_awaddr_o),
      .awlen_o     (m_awlen_o),
      .wvalid_o    (m_wvalid_o),
      .wready_i    (m_wready_i),
      .wdata_o     (m_wdata_o),
      .wstrb_o     (m_wstrb_o),
      .wlast_o     (m_wlast_o),
      .bvalid_i    (m_bvalid_i),
      .bready_o    (m_bready_o),
      .bresp_i     (m_bresp_i),
      .idle_o      (written_o),
      .fault_o     (write_fault_o)
  );

  logic unused_fields;
  assign unused_fields = ^{shape_i, derived_i};
endmodule

`default_nettype wire
