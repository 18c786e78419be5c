// SPDX-License-Identifier: Apache-2.0
// The program of a step: layer by layer the phases of docs/fastcar.md, A step in RTL, each of which starts a unit and ends
// with it. A fault ends the step at once; nothing starts again before a reset.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_control
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               start_i,
    output logic               done_o,           // for a cycle
    output logic               idle_o,
    input  shape_t             shape_i,
    input  derived_t           derived_i,
    input  logic               sound_i,          // no fault
    input  logic         [7:0] words_i,          // weight words of a window
    output phase_e             phase_o,
    output logic               begins_o,         // for a cycle: of the phase
    output logic         [7:0] layer_o,
    output logic               last_layer_o,
    // what ends a phase
    input  logic               setup_done_i,
    input  logic               fetched_i,        // constants, chain counts: they are in
    input  logic               add_done_i,
    input  logic               job_idle_i,       // no job, nothing behind it under way
    input  logic               stored_i,         // all is with the writer
    input  logic               written_i,        // and answered
    input  logic               attended_i,
    input  logic               decided_i,
    input  logic [MaxRows-1:0] index_i,
    output logic [MaxRows-1:0] index_o,          // of the layer, once it is decided
    output logic [MaxRows-1:0] rows_o,           // of the batch
    // jobs
    output logic               job_valid_o,
    input  logic               job_ready_i,
    output job_t               job_o,
    output sum_e               kind_o
);
  phase_e phase_d, phase_q;
  logic begins_d, decided_q, job_d, job_q, none;
  logic [7:0] layer_d, layer_q;
  logic [MaxRows-1:0] index_d;
  logic job_over;

  assign phase_o      = phase_q;
  assign layer_o      = layer_q;
  assign last_layer_o = layer_q == shape_i.layers - 8'd1;
  assign rows_o       = ~({MaxRows{1'b1}} << shape_i.rows);
  assign none         = index_o == '0;
  assign idle_o       = phase_q == PhaseIdle;
  assign done_o       = phase_q == PhaseDone;

  // A job's phase: its offer, its inputs, its end.
  assign job_valid_o = job_q;
  assign job_d       = begins_d ? (phase_d inside {PhaseHeads, PhaseOutput, PhaseHidden, PhaseDown}) :
      (job_q && !job_ready_i);
  assign job_over    = !job_q && !begins_o && job_idle_i;
  `FF(job_q, job_d, 1'b0)

  always_comb begin
    job_o  = '0;
    kind_o = SumDelta;
    unique case (phase_q)
      PhaseHeads: begin
        job_o.segments = derived_i.width_segments;
        job_o.pairs    = 16'(words_i) * (16'(derived_i.q_tiles) + {3'd0, derived_i.kv_tiles, 1'b0});
        kind_o         = SumHeads;
      end
      PhaseOutput: begin
        job_o.segments = derived_i.q_segments;
        job_o.pairs    = 16'(words_i) * 16'(derived_i.o_tiles);
      end
      PhaseHidden: begin
        job_o.segments = derived_i.width_segments;
        job_o.pairs    = 16'(words_i) * {3'd0, derived_i.ffn_tiles, 1'b0};
        job_o.mlp      = derived_i.replays;
        kind_o         = SumHidden;
      end
      default: begin  // a batch that replays takes the decision with a job of nothing
        job_o.segments = none ? 10'd1 : derived_i.ffn_segments;
        job_o.pairs    = 16'(words_i) * 16'(derived_i.o_tiles);
        job_o.mlp      = derived_i.replays;
        job_o.last     = 1'b1;
      end
    endcase
  end

  always_comb begin
    phase_d = phase_q;
    layer_d = layer_q;
    unique case (phase_q)
      PhaseIdle:   if (start_i) phase_d = PhaseSetup;
      PhaseSetup:  if (setup_done_i) phase_d = PhaseTurns;
      PhaseTurns:  if (fetched_i) phase_d = PhaseRecord;
      PhaseRecord: if (fetched_i) phase_d = derived_i.replays ? PhaseChains : PhaseGain;
      PhaseChains: if (fetched_i) phase_d = PhaseGain;
      PhaseGain:   if (fetched_i) phase_d = (layer_q == '0) ? PhaseRows : PhaseHeads;
      PhaseRows:   if (add_done_i) phase_d = PhaseHeads;
      PhaseHeads:  if (job_over) phase_d = derived_i.replays ? PhaseScore : PhaseKeys;
      PhaseScore:  if (decided_q) phase_d = PhaseKeys;
      PhaseKeys:   if (stored_i) phase_d = PhaseValues;
      PhaseValues: if (stored_i) phase_d = PhaseStored;
      PhaseStored: if (written_i) phase_d = PhaseAttend;
      PhaseAttend: if (attended_i) phase_d = PhaseOutput;
      PhaseOutput: if (job_over) phase_d = PhaseAdd;
      PhaseAdd:    if (add_done_i) phase_d = none ? PhaseDown : PhaseMlpGain;
      PhaseMlpGain: if (fetched_i) phase_d = PhaseHidden;
      PhaseHidden: if (job_over) phase_d = PhaseDown;
      PhaseDown:   if (job_over) phase_d = PhaseRing;
      PhaseRing:   if (add_done_i) phase_d = PhaseCounts;
      PhaseCounts:
      if (stored_i) begin
        layer_d = layer_q + 1'b1;
        phase_d = last_layer_o ? PhaseResult : PhaseRecord;
      end
      PhaseResult: if (stored_i) phase_d = PhaseFlush;
      PhaseFlush:  if (written_i) phase_d = PhaseDone;
      PhaseDone:   phase_d = PhaseIdle;
      default: ;
    endcase
    if (phase_q == PhaseIdle) layer_d = '0;
    // A fault: done, and never again.
    if (!sound_i) phase_d = (phase_q == PhaseDone || phase_q == PhaseStopped) ? PhaseStopped : PhaseDone;
    if (!sound_i && phase_q == PhaseIdle) phase_d = PhaseStopped;
  end
  assign begins_d = phase_d != phase_q;
  `FF(phase_q, phase_d, PhaseIdle)
  `FF(begins_o, begins_d, 1'b0)
  `FFLNR(layer_q, layer_d, 1'b1)

  // The decision: without a frame behind, every row computes.
  always_comb begin
    index_d = index_o;
    if (decided_i) index_d = index_i;
    else if (phase_q == PhaseRecord && !derived_i.replays) index_d = rows_o;
  end
  `FFLNR(index_o, index_d, 1'b1)
  `FF(decided_q, (phase_q == PhaseScore) && (decided_q || decided_i), 1'b0)

  logic unused_inputs;
  assign unused_inputs = ^{shape_i, derived_i};
endmodule

`default_nettype wire
