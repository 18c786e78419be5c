// SPDX-License-Identifier: Apache-2.0
// State of the chip: start, HALT, traps, watchdog, clear.
// A start waits until nothing is outstanding. `running_o` low stops and empties fetch, decode, queues and engines.
// A fault of an engine traps at once, the oldest instruction first; what decode reports waits for `quiet_i`.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module control (
    input  logic                                     clk_i,
    input  logic                                     rst_ni,
    input  logic                                     start_i,
    input  logic                                     clear_i,
    input  logic             [                 31:0] watchdog_i,  // cycles, 0: never
    // front end
    input  logic                                     fetch_idle_i,
    input  logic                                     exhausted_i,  // nothing left to dispatch
    input  logic                                     decode_halt_i,
    input  logic                                     decode_trap_i,
    input  isa_pkg::trap_e                           decode_cause_i,
    input  chip_pkg::pc_t                            decode_pc_i,
    // engines and their queues
    input  logic             [chip_pkg::Engines-1:0] fault_i,
    input  isa_pkg::trap_e   [chip_pkg::Engines-1:0] fault_cause_i,
    input  logic             [chip_pkg::Engines-1:0] engine_idle_i,
    input  logic             [chip_pkg::Engines-1:0] queue_busy_i,
    input  chip_pkg::pc_t    [chip_pkg::Engines-1:0] oldest_pc_i,
    input  logic             [chip_pkg::Engines-1:0] retire_i,
    input  logic                                     rows_waiting_i,  // accumulator rows
    // state
    output logic                                     accept_o,  // a start is taken
    output logic                                     begin_o,  // a program starts in the next cycle
    output logic                                     running_o,
    output logic                                     done_o,
    output logic                                     trapped_o,
    output logic                                     idle_o,
    output isa_pkg::trap_e                           cause_o,
    output logic             [                  2:0] source_o,
    output chip_pkg::pc_t                            pc_o
);
  import chip_pkg::*;
  import isa_pkg::*;

  typedef enum logic [1:0] {
    Idle,
    Running,
    Done,
    Trapped
  } state_e;

  state_e state_d, state_q;
  logic pending_d, pending_q;  // a start waits
  logic quiet, settled, halt, trap;
  trap_e cause_d;
  logic [2:0] source_d, oldest_source;
  pc_t pc_d, oldest_pc;
  logic [31:0] silent_d, silent_q;  // cycles since something retired
  logic [Engines-1:0] candidates;

  assign quiet   = queue_busy_i == '0;
  assign settled = engine_idle_i == '1 && fetch_idle_i;
  assign halt    = decode_halt_i && quiet && engine_idle_i == '1 && !rows_waiting_i;

  // Oldest among the engines with a fault or, for the watchdog, among all that hold instructions.
  always_comb begin
    candidates    = (fault_i != '0) ? fault_i : queue_busy_i;
    oldest_source = SourceFrontEnd;
    oldest_pc     = decode_pc_i;
    if (trap) begin
      for (int unsigned e = 0; e < Engines; e++) begin
        if (candidates[e] && (oldest_source == SourceFrontEnd || oldest_pc_i[e] < oldest_pc)) begin
          oldest_source = 3'(e);
          oldest_pc     = oldest_pc_i[e];
        end
      end
    end
  end

  logic watchdog, no_halt;
  assign watchdog = watchdog_i != '0 && silent_q >= watchdog_i - 1'b1 && retire_i == '0;
  assign no_halt  = exhausted_i && quiet;
  assign trap     = running_o && (fault_i != '0 || (decode_trap_i && quiet) || no_halt ||
                                  (watchdog && !halt));

  always_comb begin
    cause_d  = TrapWatchdog;
    source_d = oldest_source;
    pc_d     = oldest_pc;
    if (fault_i != '0) begin
      cause_d = fault_cause_i[oldest_source[1:0]];
    end else if (decode_trap_i && quiet) begin
      cause_d = decode_cause_i;
    end else if (no_halt) begin
      cause_d = TrapNoHalt;
    end
  end

  assign silent_d = (begin_o || retire_i != '0) ? '0 : silent_q + 1'b1;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Running: begin
        if (halt) state_d = Done;
        if (trap) state_d = Trapped;
      end
      Trapped: ;
      default: begin
        if (start_i) state_d = Idle;
        if (pending_q && settled) state_d = Running;
      end
    endcase
    if (clear_i) state_d = Idle;
  end

  assign accept_o  = start_i && !clear_i && !running_o && !trapped_o;
  assign pending_d = (pending_q || accept_o) && !clear_i && !begin_o && !running_o && !trapped_o;

  `FF(state_q, state_d, Idle)
  `FF(pending_q, pending_d, 1'b0)
  `FFL(silent_q, silent_d, running_o || begin_o, '0)
  `FFL(cause_o, clear_i || begin_o ? TrapNone : cause_d, trap || clear_i || begin_o, TrapNone)
  `FFL(source_o, clear_i || begin_o ? '0 : source_d, trap || clear_i || begin_o, '0)
  `FFL(pc_o, clear_i || begin_o ? '0 : pc_d, trap || clear_i || begin_o, '0)

  assign begin_o   = state_q != Running && state_d == Running;
  assign running_o = state_q == Running;
  assign done_o    = state_q == Done;
  assign trapped_o = state_q == Trapped;
  assign idle_o    = !running_o && !pending_q && settled;

  `ASSERT_ALWAYS(OnlyTheBusyFault, !running_o || (fault_i & ~queue_busy_i) == '0)
endmodule

`default_nettype wire
