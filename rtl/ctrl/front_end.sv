// SPDX-License-Identifier: Apache-2.0
// The front end: fetches, decodes, queues and starts instructions, counts what the engines retire and keeps the state of
// the chip. It says `stop` to everything while no program runs.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module front_end
  import chip_pkg::*;
  import port_pkg::*;
#(
    parameter int unsigned Depth     = 16,  // bytes of a scratchpad word: 16, 32 or 64
    parameter int unsigned Cols      = 8,   // columns of the MXU: Depth or half of it
    parameter int unsigned Rows      = 64,  // rows of an accumulator bank, 2 to 255
    parameter int unsigned ProgWords = 64,  // microwords in the program store: 4 to 256, even
    parameter int unsigned Tables    = 8,   // code tables, 1 to 8
    parameter int unsigned Queue     = 4    // instructions that wait in front of each engine: 2, 4 or 8
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  sram_pkg::pins_t           sram_pins_i,
    output sram_pkg::status_t         sram_status_o,
    // registers
    input  command_t                  command_i,
    output status_t                   status_o,
    output token_t      [Engines-1:0] tokens_o,
    output signatures_t [Engines-1:0] signatures_o,
    output logic                      begin_o,       // a program starts in the next cycle
    // engines, by isa_pkg::engine_e
    output engine_req_t               engine_o[Engines],
    output isa_pkg::header_t          instr_o [Engines],
    input  engine_rsp_t               engine_i[Engines],
    input  logic                      rows_waiting_i,  // accumulator rows that nobody took yet
    // memory; what was asked for is always taken
    output ar_t                       ar_o,
    input  logic                      ar_ready_i,
    input  r_t                        r_i,
    input  logic        [8*Depth-1:0] r_data_i,
    // trace, by engine
    output logic        [Engines-1:0] trace_issue_o,
    output logic        [Engines-1:0][31:0] trace_issue_pc_o,
    output logic        [Engines-1:0] trace_retire_o,
    output logic        [Engines-1:0][31:0] trace_retire_pc_o,
    output logic        [Engines-1:0][31:0] trace_retire_sig_o
);
  import isa_pkg::*;

  logic stop, accept, fetch_idle, fetch_exhausted, fetch_valid, fetch_ready, fetch_error;
  logic [511:0] fetch_instr;
  logic decode_busy, decode_halt, decode_trap;
  header_t instr;
  pc_t decode_pc;
  trap_e decode_cause;
  logic [Engines-1:0] push_valid, push_ready, queue_busy, issue, retire, fault, engine_idle;
  pc_t [Engines-1:0] issue_pc, oldest_pc;
  trap_e [Engines-1:0] fault_cause;

  sram_pkg::status_t fetch_sram, queue_sram;

  assign stop = !status_o.running;
  assign sram_status_o = fetch_sram | queue_sram;

  always_comb begin
    for (int unsigned e = 0; e < Engines; e++) begin
      retire[e]      = engine_i[e].retire;
      fault[e]       = engine_i[e].fault;
      fault_cause[e] = engine_i[e].cause;
      engine_idle[e] = engine_i[e].idle;
    end
  end

  control u_control (
      .clk_i,
      .rst_ni,
      .start_i       (command_i.start),
      .clear_i       (command_i.clear),
      .watchdog_i    (command_i.watchdog),
      .fetch_idle_i  (fetch_idle),
      .exhausted_i   (fetch_exhausted && !decode_busy),
      .decode_halt_i (decode_halt),
      .decode_trap_i (decode_trap),
      .decode_cause_i(decode_cause),
      .decode_pc_i   (decode_pc),
      .fault_i       (fault),
      .fault_cause_i (fault_cause),
      .engine_idle_i (engine_idle),
      .queue_busy_i  (queue_busy),
      .oldest_pc_i   (oldest_pc),
      .retire_i      (retire),
      .rows_waiting_i,
      .accept_o      (accept),
      .begin_o,
      .running_o     (status_o.running),
      .done_o        (status_o.done),
      .trapped_o     (status_o.trapped),
      .idle_o        (status_o.idle),
      .cause_o       (status_o.cause),
      .source_o      (status_o.source),
      .pc_o          (status_o.pc)
  );

  fetch #(
      .Depth(Depth)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .sram_pins_i,
      .sram_status_o(fetch_sram),
      .stop_i      (stop),
      .accept_i    (accept),
      .prog_base_i (command_i.prog_base),
      .prog_count_i(command_i.prog_count),
      .idle_o      (fetch_idle),
      .exhausted_o (fetch_exhausted),
      .valid_o     (fetch_valid),
      .ready_i     (fetch_ready),
      .instr_o     (fetch_instr),
      .error_o     (fetch_error),
      .ar_o,
      .ar_ready_i,
      .r_i,
      .r_data_i
  );

  decode #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .ProgWords(ProgWords),
      .Tables   (Tables)
  ) u_decode (
      .clk_i,
      .rst_ni,
      .stop_i      (stop),
      .valid_i     (fetch_valid),
      .ready_o     (fetch_ready),
      .instr_i     (fetch_instr),
      .error_i     (fetch_error),
      .busy_o      (decode_busy),
      .pc_o        (decode_pc),
      .instr_o     (instr),
      .push_valid_o(push_valid),
      .push_ready_i(push_ready),
      .halt_o      (decode_halt),
      .trap_o      (decode_trap),
      .cause_o     (decode_cause)
  );

  logic [Engines-1:0] instr_valid, instr_ready, token_wait;
  header_t offered;
  token_t [Engines-1:0] tokens_next;

  engine_queues #(
      .Queue(Queue)
  ) u_queues (
      .clk_i,
      .rst_ni,
      .sram_pins_i,
      .sram_status_o(queue_sram),
      .stop_i       (stop),
      .push_valid_i (push_valid),
      .push_ready_o (push_ready),
      .push_instr_i (instr),
      .push_pc_i    (decode_pc),
      .tokens_i     (tokens_next),
      .instr_valid_o(instr_valid),
      .instr_ready_i(instr_ready),
      .instr_o      (offered),
      .token_wait_o (token_wait),
      .retire_i     (retire),
      .issue_o      (issue),
      .issue_pc_o   (issue_pc),
      .busy_o       (queue_busy),
      .oldest_pc_o  (oldest_pc)
  );

  for (genvar e = 0; e < Engines; e++) begin : gen_engine
    assign engine_o[e]    = '{stop: stop, valid: instr_valid[e], token_wait: token_wait[e]};
    assign instr_o[e]     = offered;
    assign instr_ready[e] = engine_i[e].ready;

    assign trace_issue_pc_o[e]   = 32'(issue_pc[e]);
    assign trace_retire_pc_o[e]  = 32'(oldest_pc[e]);
    assign trace_retire_sig_o[e] = engine_i[e].signature;
  end
  assign trace_issue_o  = issue;
  assign trace_retire_o = retire;

  tokens u_tokens (
      .clk_i,
      .rst_ni,
      .begin_i (begin_o),
      .retire_i(retire),
      .tokens_o,
      .next_o  (tokens_next)
  );

  signatures_t [Engines-1:0] signatures_d;

  always_comb begin
    signatures_d = signatures_o;
    for (int unsigned e = 0; e < Engines; e++) begin
      if (retire[e]) begin
        signatures_d[e].last = engine_i[e].signature;
        signatures_d[e].sum  = signatures_o[e].sum + engine_i[e].signature;
      end
    end
    if (begin_o) signatures_d = '0;
  end

  `FFL(signatures_o, signatures_d, begin_o || retire != '0, '0)

  `ASSERT_ALWAYS(FaultAlone, (fault & retire) == '0)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
  `CHECK_PARAMETER(QueueInRange, chip_pkg::legal_queue(Queue))
endmodule

`default_nettype wire
