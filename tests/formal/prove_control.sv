// SPDX-License-Identifier: Apache-2.0
// control, anything that registers, front end and engines may say: a program begins once, only when all that was
// outstanding has come; it ends by HALT when everything is quiet, by a trap, or by a clear; a trap stands, with cause,
// place and engine, until a clear; a fault names the oldest of the engines that have one; a start that waits ends with
// a clear.

`default_nettype none

module prove_control
  import chip_pkg::*;
  import isa_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: a program begins, 2: HALT, 3: a fault of the older of two engines
) (
    input logic               clk_i,
    input logic               start_i,
    input logic               clear_i,
    input logic        [31:0] watchdog_i,
    input logic               fetch_idle_i,
    input logic               exhausted_i,
    input logic               decode_halt_i,
    input logic               decode_trap_i,
    input trap_e              decode_cause_i,
    input pc_t                decode_pc_i,
    input logic        [ 3:0] fault_i,
    input trap_e [3:0]        fault_cause_i,
    input logic        [ 3:0] engine_idle_i,
    input logic        [ 3:0] queue_busy_i,
    input pc_t   [3:0]        oldest_pc_i,
    input logic        [ 3:0] retire_i,
    input logic               rows_waiting_i
);
  logic live = 1'b0;  // out of reset
  logic accept, begins, running, done, trapped, idle;
  trap_e cause;
  logic [2:0] source;
  pc_t pc;

  always_ff @(posedge clk_i) live <= 1'b1;

  control u_control (
      .clk_i,
      .rst_ni   (live),
      .start_i,
      .clear_i,
      .watchdog_i,
      .fetch_idle_i,
      .exhausted_i,
      .decode_halt_i,
      .decode_trap_i,
      .decode_cause_i,
      .decode_pc_i,
      .fault_i  (fault_i & queue_busy_i),
      .fault_cause_i,
      .engine_idle_i,
      .queue_busy_i,
      .oldest_pc_i,
      .retire_i,
      .rows_waiting_i,
      .accept_o (accept),
      .begin_o  (begins),
      .running_o(running),
      .done_o   (done),
      .trapped_o(trapped),
      .idle_o   (idle),
      .cause_o  (cause),
      .source_o (source),
      .pc_o     (pc)
  );

  logic [3:0] fault;
  logic quiet, settled, halts, nothing, silent;
  assign fault   = fault_i & queue_busy_i;
  assign quiet   = queue_busy_i == '0;
  assign settled = engine_idle_i == '1 && fetch_idle_i;
  assign halts   = decode_halt_i && quiet && engine_idle_i == '1 && !rows_waiting_i;
  assign nothing = exhausted_i && quiet;

  // The watcher, one cycle behind: what was, and what must be now.
  logic was, was_running, was_trapped, waits, was_waiting, was_clear, was_settled, was_halt, was_fault;
  logic was_decode, was_nothing, was_silent;
  logic [63:0] since;  // cycles without a retirement
  trap_e was_cause, fault_cause;
  logic [2:0] was_source, oldest;
  pc_t was_pc, oldest_pc;

  assign silent = watchdog_i != '0 && since >= 64'(watchdog_i) - 1 && retire_i == '0;

  // The oldest of the engines with a fault, without saying how it is found.
  always_comb begin
    oldest = 3'd4;
    for (int unsigned e = 0; e < 4; e++) begin
      if (fault[e]) begin
        automatic logic first = 1'b1;
        for (int unsigned o = 0; o < 4; o++) begin
          if (fault[o] && oldest_pc_i[o] < oldest_pc_i[e]) first = 1'b0;
          if (fault[o] && oldest_pc_i[o] == oldest_pc_i[e] && o < e) first = 1'b0;
        end
        if (first) oldest = 3'(e);
      end
    end
    oldest_pc   = oldest_pc_i[oldest[1:0]];
    fault_cause = fault_cause_i[oldest[1:0]];
  end

  always_ff @(posedge clk_i) begin
    was <= live;
    {was_running, was_trapped, was_clear} <= {running, trapped, clear_i};
    {was_settled, was_halt, was_fault, was_decode, was_nothing, was_silent} <= {
      settled, halts, fault != '0, decode_trap_i && quiet, nothing, silent
    };
    {was_cause, was_source, was_pc} <= {cause, source, pc};
    if (fault != '0 && running) {was_cause, was_source, was_pc} <= {fault_cause, oldest, oldest_pc};
    was_waiting <= waits;
    if (!live || clear_i || begins || running || trapped) waits <= 1'b0;
    else if (start_i) waits <= 1'b1;
    if (!live || begins || (running && retire_i != '0)) since <= '0;
    else if (running) since <= since + 1;
  end

  always_comb begin
    // What lives in one run of 2^32 cycles: the watchdog's count does not wrap.
    assume (since < 64'hffff_fff0);
    if (live) begin
      assert (32'(running) + 32'(done) + 32'(trapped) <= 1);
      assert (accept == (start_i && !clear_i && !running && !trapped));
      assert (idle == (!running && !waits && settled));
      assert (begins == (!running && !trapped && waits && settled && !clear_i));
      // What ties the machine to the watcher.
      assert (u_control.pending_q == waits);
      if (running) assert (64'(u_control.silent_q) == since);
      if (was) begin
        if (was_clear) assert (!running && !done && !trapped);
        else if (was_running) begin
          assert (trapped == (was_fault || was_decode || was_nothing || (was_silent && !was_halt)));
          assert (done == (was_halt && !trapped));
          assert (running == (!done && !trapped));
          if (trapped && was_fault) assert (cause == was_cause && source == was_source && pc == was_pc);
        end else if (was_trapped) begin
          assert (trapped && cause == was_cause && source == was_source && pc == was_pc);
        end else begin
          assert (!trapped && running == (was_waiting && was_settled));
        end
      end
      if (Reach == 1) assert (!(begins));
      if (Reach == 2) assert (!(was && was_running && done));
      if (Reach == 3) assert (!(was && was_running && trapped && was_fault && source == 3'd2 && pc == 20'd5));
    end
  end
endmodule

`default_nettype wire
