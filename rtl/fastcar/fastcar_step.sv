// SPDX-License-Identifier: Apache-2.0
// FastCar, whole: one token of every row of a batch through its layers, weights, scales, caches, ring and rows in memory
// behind AXI4, registers behind AXI4-Lite. Three memory ports: weights, scales, and all else. An error response ends the
// step with its cause, and nothing starts before a reset (docs/fastcar.md, A step in RTL).

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module fastcar_step
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Chain      = 8,      // DSPs of a chain
    parameter int unsigned Lanes      = 16,     // lanes of the cluster, 1..32
    parameter int unsigned Words      = 16,     // pairs of outputs of a tile, a power of two
    parameter int unsigned MaxWidth   = 4096,   // elements of a row, and of all its query heads, 2^n
    parameter int unsigned MaxFfn     = 11008,  // elements of the MLP's hidden
    parameter int unsigned MaxHeadDim = 128,    // elements of a head, 2 to 256
    parameter int unsigned HeadWords  = 64,     // words of a row's query heads, each of whole words, 2^n
    parameter int unsigned Tokens     = 4096,   // positions of a context, a power of two
    parameter int unsigned Group      = 1,      // query heads that share a pass over keys, a power of two
    parameter int unsigned Vector     = 8,      // elements a cycle of norm and residual, a power of two
    parameter int unsigned Depth      = 512,    // words of prefetch
    parameter int unsigned ReadDepth  = 256,    // words under way or waiting of caches, ring, rows
    parameter int unsigned MaxBurst   = 64,     // beats
    parameter bit          Fabric     = 1'b1,   // scores' products of LUTs, not of DSPs
    parameter bit          Ultra      = 1'b1,   // memories in UltraRAM; block RAM for devices without
    parameter int unsigned UltraLanes = 0,      // lanes whose inputs lie in UltraRAM
    parameter int unsigned LutChains  = 0,      // chains of the first lane without DSPs
    localparam int unsigned LongestInput = (MaxFfn > MaxWidth) ? MaxFfn : MaxWidth,
    localparam int unsigned Segments = (LongestInput + Bytes - 1) / Bytes,
    // segments that a lane stores
    parameter int unsigned Inputs     = ((MaxRows + Lanes - 1) / Lanes) * Segments
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic [        8:0] s_axil_awaddr_i,
    input  logic               s_axil_awvalid_i,
    output logic               s_axil_awready_o,
    input  logic [       31:0] s_axil_wdata_i,
    input  logic [        3:0] s_axil_wstrb_i,
    input  logic               s_axil_wvalid_i,
    output logic               s_axil_wready_o,
    output logic [        1:0] s_axil_bresp_o,
    output logic               s_axil_bvalid_o,
    input  logic               s_axil_bready_i,
    input  logic [        8:0] s_axil_araddr_i,
    input  logic               s_axil_arvalid_i,
    output logic               s_axil_arready_o,
    output logic [       31:0] s_axil_rdata_o,
    output logic [        1:0] s_axil_rresp_o,
    output logic               s_axil_rvalid_o,
    input  logic               s_axil_rready_i,
    output logic               interrupt_o,       // for a cycle: done
    // weights
    output logic               w_arvalid_o,
    input  logic               w_arready_i,
    output addr_t              w_araddr_o,
    output logic [        7:0] w_arlen_o,
    input  logic               w_rvalid_i,
    output logic               w_rready_o,
    input  word_t              w_rdata_i,
    input  logic [        1:0] w_rresp_i,
    input  logic               w_rlast_i,
    // scales
    output logic               s_arvalid_o,
    input  logic               s_arready_i,
    output addr_t              s_araddr_o,
    output logic [        7:0] s_arlen_o,
    input  logic               s_rvalid_i,
    output logic               s_rready_o,
    input  word_t              s_rdata_i,
    input  logic [        1:0] s_rresp_i,
    input  logic               s_rlast_i,
    // registers, gains, turns, caches, ring, chain counts, rows
    output logic               m_arvalid_o,
    input  logic               m_arready_i,
    output addr_t              m_araddr_o,
    output logic [        7:0] m_arlen_o,
    input  logic               m_rvalid_i,
    output logic               m_rready_o,
    input  word_t              m_rdata_i,
    input  logic [        1:0] m_rresp_i,
    input  logic               m_rlast_i,
    output logic               m_awvalid_o,
    input  logic               m_awready_i,
    output addr_t              m_awaddr_o,
    output logic [        7:0] m_awlen_o,
    output logic               m_wvalid_o,
    input  logic               m_wready_i,
    output word_t              m_wdata_o,
    output logic [  Bytes-1:0] m_wstrb_o,
    output logic               m_wlast_o,
    input  logic               m_bvalid_i,
    output logic               m_bready_o,
    input  logic [        1:0] m_bresp_i
);
  localparam int unsigned RowWords = MaxWidth / Shorts;
  localparam int unsigned HiddenWords = 1 << $clog2(Segments);
  localparam int unsigned KeyWords = (MaxHeadDim + Bytes - 1) / Bytes;
  localparam int unsigned GainW = $clog2(RowWords);

  // -- Registers, what follows from them, the program
  shape_t shape;
  derived_t derived;
  layer_t layer;
  seen_t seen;
  word_t head_weights;
  logic start, done, idle, setup_done, shape_bad, begins, last_layer, job_valid, job_ready;
  logic [7:0] layer_index;
  phase_e phase;
  sum_e kind;
  job_t job;
  step_fault_e fault_d, fault_q;
  fault_e core_fault, scale_fault, read_fault, write_fault;
  logic [MaxRows-1:0] index, decided_index, rows_all, may_replay;
  logic decided, fetched, constants_in, chains_in, add_done, job_over, stored, walk_done;
  logic written, attend_done, chains_out;
  logic [31:0] computed, replayed, delivered, skipped;
  logic [Phases-1:0][31:0] cycles;

  step_registers u_registers (
      .clk_i, .rst_ni,
      .s_axil_awaddr_i, .s_axil_awvalid_i, .s_axil_awready_o,
      .s_axil_wdata_i, .s_axil_wstrb_i, .s_axil_wvalid_i, .s_axil_wready_o,
      .s_axil_bresp_o, .s_axil_bvalid_o, .s_axil_bready_i,
      .s_axil_araddr_i, .s_axil_arvalid_i, .s_axil_arready_o,
      .s_axil_rdata_o, .s_axil_rresp_o, .s_axil_rvalid_o, .s_axil_rready_i,
      .start_o    (start),
      .done_i     (done),
      .idle_i     (idle),
      .shape_o    (shape),
      .fault_i    (fault_q),
      .index_i    (index),
      .computed_i (computed),
      .replayed_i (replayed),
      .delivered_i(delivered),
      .skipped_i  (skipped),
      .cycles_i   (cycles)
  );
  assign interrupt_o = done;

  step_setup #(
      .Words(Words), .RowWords(RowWords), .HeadWords(HeadWords), .Segments(Segments), .KeyWords(KeyWords),
      .Tokens(Tokens)
  ) u_setup (
      .clk_i, .rst_ni,
      .start_i  (start),
      .shape_i  (shape),
      .done_o   (setup_done),
      .bad_o    (shape_bad),
      .derived_o(derived)
  );

  step_control u_control (
      .clk_i, .rst_ni,
      .start_i     (start),
      .done_o      (done),
      .idle_o      (idle),
      .shape_i     (shape),
      .derived_i   (derived),
      .sound_i     (fault_q == StepSound),
      .words_i     (8'(Words)),
      .phase_o     (phase),
      .begins_o    (begins),
      .layer_o     (layer_index),
      .last_layer_o(last_layer),
      .setup_done_i(setup_done && !shape_bad),
      .fetched_i   (fetched),
      .add_done_i  (add_done),
      .job_idle_i  (job_over),
      .stored_i    (stored),
      .written_i   (written),
      .attended_i  (attend_done),
      .decided_i   (decided),
      .index_i     (decided_index),
      .index_o     (index),
      .rows_o      (rows_all),
      .job_valid_o (job_valid),
      .job_ready_i (job_ready),
      .job_o       (job),
      .kind_o      (kind)
  );
  assign fetched = constants_in || chains_in;
  assign stored  = walk_done || chains_out;

  always_comb begin
    fault_d = fault_q;
    if (fault_q == StepSound) begin
      if (setup_done && shape_bad) fault_d = StepShape;
      else if (core_fault != FaultNone) fault_d = step_fault_e'({2'b00, core_fault});
      else if (scale_fault == FaultSlave) fault_d = StepScaleSlave;
      else if (scale_fault == FaultDecode) fault_d = StepScaleDecode;
      else if (read_fault == FaultSlave) fault_d = StepReadSlave;
      else if (read_fault == FaultDecode) fault_d = StepReadDecode;
      else if (write_fault == FaultSlave) fault_d = StepWriteSlave;
      else if (write_fault == FaultDecode) fault_d = StepWriteDecode;
    end
  end
  `FF(fault_q, fault_d, StepSound)
  for (genvar p = 0; p < Phases; p++) begin : gen_cycles
    `FFL(cycles[p], start ? '0 : cycles[p] + 1'b1,
         start || (phase == phase_e'(p) && !idle && phase != PhaseStopped), '0)
  end

  // What attention sees.
  always_comb begin
    seen.first = (layer.window != '0 && 14'(shape.position) + 14'd1 > 14'(layer.window)) ?
        shape.position + 13'd1 - layer.window : '0;
    seen.old   = (layer.sink < seen.first) ? layer.sink : seen.first;
    seen.count = seen.old + shape.position + 13'd1 - seen.first;
  end

  // -- Products
  logic walks, scale_valid, scale_ready, sum_valid, sum_ready, load_valid, load_ready, load_last;
  word_t scale, load;
  row_t sum_row, load_row;
  logic [15:0] sum_pair;
  logic signed [31:0] sum_even, sum_odd;
  logic [9:0] load_segment;
  logic tas_distance, tas_valid, tas_ready, tas_last;
  logic [7:0] tas_now[Bytes], tas_before[Bytes];
  logic signed [3:0] tas_weight;

  assign walks = setup_done && !shape_bad;
  step_products #(
      .Chain(Chain), .Lanes(Lanes), .Words(Words), .Longest(LongestInput), .Inputs(Inputs),
      .Depth(Depth), .MaxBurst(MaxBurst), .Fabric(Fabric), .UltraLanes(UltraLanes),
      .LutChains(LutChains)
  ) u_products (
      .clk_i, .rst_ni,
      .shape_i(shape), .derived_i(derived), .layer_i(layer), .walks_i(walks), .job_valid_i(job_valid),
      .job_i(job), .load_valid_i(load_valid), .load_row_i(load_row), .load_segment_i(load_segment),
      .load_i(load), .load_last_i(load_last), .tas_distance_i(tas_distance), .tas_valid_i(tas_valid),
      .tas_now_i(tas_now), .tas_before_i(tas_before), .tas_weight_i(tas_weight), .tas_last_i(tas_last),
      .may_replay_i(may_replay), .scale_ready_i(scale_ready), .sum_ready_i(sum_ready),
      .job_ready_o(job_ready),
      .load_ready_o(load_ready), .tas_ready_o(tas_ready), .scale_valid_o(scale_valid), .scale_o(scale),
      .sum_valid_o(sum_valid), .sum_row_o(sum_row), .sum_pair_o(sum_pair), .sum_even_o(sum_even),
      .sum_odd_o(sum_odd), .decided_o(decided), .decided_index_o(decided_index), .core_fault_o(core_fault),
      .scale_fault_o(scale_fault), .computed_o(computed), .replayed_o(replayed), .delivered_o(delivered),
      .skipped_o(skipped), .w_arvalid_o, .w_arready_i, .w_araddr_o, .w_arlen_o, .w_rvalid_i, .w_rready_o,
      .w_rdata_i, .w_rresp_i, .w_rlast_i, .s_arvalid_o, .s_arready_i, .s_araddr_o, .s_arlen_o, .s_rvalid_i,
      .s_rready_o, .s_rdata_i, .s_rresp_i, .s_rlast_i
  );

  // -- What is read
  logic word_valid, chain_ready, add_ready, score_ready, attend_ready;
  word_t word, gain;
  logic [MaxRows-1:0] outside;
  addr_t ring_at, chain_at, chain_end;
  place_t cache_at;
  logic [7:0] rounds, turn_addr;
  logic turn_we, turn_old, gain_re;
  logic signed [15:0] turn;
  logic [GainW-1:0] gain_addr;

  step_reads #(
      .RowWords(RowWords), .ReadDepth(ReadDepth), .MaxBurst(MaxBurst)
  ) u_reads (
      .clk_i, .rst_ni,
      .phase_i(phase), .begins_i(begins), .shape_i(shape), .derived_i(derived), .seen_i(seen),
      .rounds_i(rounds), .layer_index_i(layer_index), .walks_i(walks), .index_i(index), .rows_all_i(rows_all),
      .add_done_i(add_done), .attend_done_i(attend_done), .chains_out_i(chains_out), .chain_end_i(chain_end),
      .chain_ready_i(chain_ready), .add_ready_i(add_ready), .score_ready_i(score_ready),
      .attend_ready_i(attend_ready), .gain_re_i(gain_re), .gain_addr_i(gain_addr), .word_valid_o(word_valid),
      .word_o(word), .constants_in_o(constants_in), .outside_o(outside), .layer_o(layer),
      .head_weights_o(head_weights), .turn_we_o(turn_we), .turn_old_o(turn_old), .turn_addr_o(turn_addr),
      .turn_o(turn), .gain_o(gain), .cache_o(cache_at), .ring_o(ring_at), .chain_o(chain_at),
      .read_fault_o(read_fault), .m_arvalid_o, .m_arready_i, .m_araddr_o, .m_arlen_o, .m_rvalid_i,
      .m_rready_o,
      .m_rdata_i, .m_rresp_i, .m_rlast_i
  );
  // -- Rows
  logic walk_re, keep_valid, keep_ready, row_done, pipe_busy;
  row_t walk_row;
  logic [11:0] walk_at;
  word_t x_read, attended_read, scored_read, keep;

  step_rows #(
      .Words(Words), .RowWords(RowWords), .HeadWords(HeadWords), .HiddenWords(HiddenWords),
      .MaxHeadDim(MaxHeadDim), .KeyWords(KeyWords), .Tokens(Tokens), .Group(Group), .Vector(Vector),
      .Fabric(Fabric), .Ultra(Ultra)
  ) u_rows (
      .clk_i, .rst_ni,
      .phase_i(phase), .begins_i(begins), .shape_i(shape), .derived_i(derived), .layer_i(layer),
      .seen_i(seen),
      .head_weights_i(head_weights), .index_i(index), .rows_all_i(rows_all), .kind_i(kind),
      .segments_i(job.segments), .word_valid_i(word_valid), .word_i(word), .outside_i(outside),
      .turn_we_i(turn_we), .turn_old_i(turn_old), .turn_addr_i(turn_addr), .turn_i(turn), .gain_i(gain),
      .load_ready_i(load_ready), .sum_valid_i(sum_valid), .sum_row_i(sum_row), .sum_pair_i(sum_pair),
      .sum_even_i(sum_even), .sum_odd_i(sum_odd), .scale_valid_i(scale_valid), .scale_i(scale),
      .tas_ready_i(tas_ready), .walk_re_i(walk_re), .walk_row_i(walk_row), .walk_at_i(walk_at),
      .keep_ready_i(keep_ready), .add_done_o(add_done), .add_ready_o(add_ready), .score_ready_o(score_ready),
      .attend_done_o(attend_done), .attend_ready_o(attend_ready), .rounds_o(rounds), .gain_re_o(gain_re),
      .gain_addr_o(gain_addr), .load_valid_o(load_valid), .load_row_o(load_row),
      .load_segment_o(load_segment),
      .load_o(load), .load_last_o(load_last), .sum_ready_o(sum_ready), .scale_ready_o(scale_ready),
      .pipe_busy_o(pipe_busy), .tas_distance_o(tas_distance), .tas_valid_o(tas_valid), .tas_now_o(tas_now),
      .tas_before_o(tas_before), .tas_weight_o(tas_weight), .tas_last_o(tas_last), .keep_valid_o(keep_valid),
      .keep_o(keep), .row_done_o(row_done), .x_read_o(x_read), .attended_read_o(attended_read),
      .scored_read_o(scored_read)
  );
  assign job_over = job_ready && !pipe_busy;

  // -- What is written
  step_writes #(
      .MaxBurst(MaxBurst)
  ) u_writes (
      .clk_i, .rst_ni,
      .phase_i(phase), .begins_i(begins), .shape_i(shape), .derived_i(derived), .chain_cap_i(layer.chain_cap),
      .index_i(index), .outside_i(outside), .cache_i(cache_at), .ring_i(ring_at), .chain_i(chain_at),
      .x_read_i(x_read), .attended_read_i(attended_read), .scored_read_i(scored_read),
      .keep_valid_i(keep_valid), .keep_i(keep), .row_done_i(row_done), .word_valid_i(word_valid),
      .word_i(word), .walk_re_o(walk_re), .walk_row_o(walk_row), .walk_at_o(walk_at), .walk_done_o(walk_done),
      .keep_ready_o(keep_ready), .may_replay_o(may_replay), .chain_ready_o(chain_ready),
      .chains_in_o(chains_in), .chains_out_o(chains_out), .chain_end_o(chain_end), .written_o(written),
      .write_fault_o(write_fault), .m_awvalid_o, .m_awready_i, .m_awaddr_o, .m_awlen_o, .m_wvalid_o,
      .m_wready_i, .m_wdata_o, .m_wstrb_o, .m_wlast_o, .m_bvalid_i, .m_bready_o, .m_bresp_i
  );
  logic unused_state;
  assign unused_state = last_layer;

  `CHECK_PARAMETER(WidthInRange, MaxWidth >= 64 && MaxWidth == 1 << $clog2(MaxWidth))
  `CHECK_PARAMETER(HeadsInRange, MaxHeadDim >= 2 && MaxHeadDim <= 256 && HeadWords == 1 << $clog2(HeadWords))
endmodule

`default_nettype wire
