// SPDX-License-Identifier: Apache-2.0
// The queues in front of the engines: instructions wait until their tokens are there and are handed over in order, engine
// by engine. All lie in one memory, which is read for one instruction at a time: for one that can start, rather of an
// engine that is ready. What was read is offered until it is taken, or until another engine can start and this one not.
// The place in the program of each instruction that an engine has taken but not retired is remembered.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module engine_queues
  import chip_pkg::Engines, chip_pkg::PcW, chip_pkg::TokenW, chip_pkg::pc_t, chip_pkg::token_t;
#(
    parameter int unsigned Queue = 4,  // instructions of an engine that wait: 2, 4 or 8
    parameter int unsigned InFlight = chip_pkg::InFlight  // that an engine may hold, a power of two
) (
    input  logic                              clk_i,
    input  logic                              rst_ni,
    input  sram_pkg::pins_t                   sram_pins_i,
    output sram_pkg::status_t                 sram_status_o,
    input  logic                              stop_i,         // forget everything
    input  logic                [Engines-1:0] push_valid_i,   // for one engine at most
    output logic                [Engines-1:0] push_ready_o,
    input  isa_pkg::header_t                  push_instr_i,
    input  pc_t                               push_pc_i,
    input  token_t              [Engines-1:0] tokens_i,       // retired by each engine, with this cycle's
    output logic                [Engines-1:0] instr_valid_o,  // for one engine at most
    input  logic                [Engines-1:0] instr_ready_i,
    output isa_pkg::header_t                  instr_o,        // without opcode and tokens
    output logic                [Engines-1:0] token_wait_o,   // an instruction waits that is not offered
    input  logic                [Engines-1:0] retire_i,
    output logic                [Engines-1:0] issue_o,
    output pc_t                 [Engines-1:0] issue_pc_o,
    output logic                [Engines-1:0] busy_o,         // an instruction waits or is executed
    output pc_t                 [Engines-1:0] oldest_pc_o     // of these, the one that retires next
);
  import isa_pkg::*;

  localparam int unsigned IndexW = $clog2(Queue);
  localparam int unsigned BodyBytes = $bits(push_instr_i.unused) / 8;
  localparam int unsigned EngineW = $clog2(Engines);

  typedef logic [EngineW-1:0] number_t;
  typedef logic [IndexW-1:0] index_t;

  logic [Engines-1:0] head_valid, flight_ready, flight_valid, can, eager;
  index_t [Engines-1:0] read_q, write_q;
  pc_t [Engines-1:0] flight_pc;
  logic push, choose, held_d, held_q;
  number_t pushed, chosen, held_engine_q;
  logic [8*BodyBytes-1:0] body;

  for (genvar e = 0; e < Engines; e++) begin : gen_engine
    token_t wait_load, wait_mxu, wait_vpu, wait_store;
    logic taken;

    assign taken = push_valid_i[e] && push_ready_o[e] && !stop_i;

    // What decides when an instruction starts stands beside the memory.
    fifo #(
        .Width(PcW + Engines * TokenW),
        .Depth(Queue)
    ) u_waiting (
        .clk_i,
        .rst_ni,
        .flush_i(stop_i),
        .valid_i(push_valid_i[e]),
        .ready_o(push_ready_o[e]),
        .data_i ({push_pc_i, push_instr_i.wait_store, push_instr_i.wait_vpu, push_instr_i.wait_mxu,
                  push_instr_i.wait_load}),
        .valid_o(head_valid[e]),
        .ready_i(issue_o[e]),
        .data_o ({issue_pc_o[e], wait_store, wait_vpu, wait_mxu, wait_load})
    );
    `FFL(write_q[e], stop_i ? '0 : write_q[e] + 1'b1, taken || stop_i, '0)
    `FFL(read_q[e], stop_i ? '0 : read_q[e] + 1'b1, issue_o[e] || stop_i, '0)

    assign can[e] = head_valid[e] && flight_ready[e] && !(held_q && held_engine_q == number_t'(e)) &&
                    tokens_i[EngineLoad] >= wait_load && tokens_i[EngineMxu] >= wait_mxu &&
                    tokens_i[EngineVpu] >= wait_vpu && tokens_i[EngineStore] >= wait_store;

    assign instr_valid_o[e] = held_q && held_engine_q == number_t'(e) && !stop_i;
    assign issue_o[e]       = instr_valid_o[e] && instr_ready_i[e];
    assign token_wait_o[e]  = head_valid[e] && !instr_valid_o[e];

    fifo #(
        .Width(PcW),
        .Depth(InFlight)
    ) u_in_flight (
        .clk_i,
        .rst_ni,
        .flush_i(stop_i),
        .valid_i(issue_o[e]),
        .ready_o(flight_ready[e]),
        .data_i (issue_pc_o[e]),
        .valid_o(flight_valid[e]),
        .ready_i(retire_i[e]),
        .data_o (flight_pc[e])
    );

    assign busy_o[e]      = head_valid[e] || flight_valid[e];
    assign oldest_pc_o[e] = flight_valid[e] ? flight_pc[e] : issue_pc_o[e];

    `ASSERT_ALWAYS(RetireWhatWasIssued, !retire_i[e] || flight_valid[e] || stop_i)
  end

  `ASSERT_ALWAYS(SilentAtStop, !stop_i || instr_valid_o == '0)

  // An engine that is ready, or has just retired and may be in the next cycle, goes first; without one, what can start is
  // read ahead when nothing is held.
  assign eager = can & (instr_ready_i | retire_i);

  always_comb begin
    chosen = '0;
    choose = 1'b0;
    for (int unsigned e = 0; e < Engines; e++) begin
      if (eager != '0 ? eager[e] : can[e]) chosen = number_t'(e);
    end
    if (!held_q || issue_o != '0) choose = can != '0;
    else choose = eager != '0;
    held_d = !stop_i && (choose || (held_q && issue_o == '0));
  end

  `FF(held_q, held_d, 1'b0)
  `FFLNR(held_engine_q, chosen, choose)

  always_comb begin
    pushed = '0;
    for (int unsigned e = 0; e < Engines; e++) if (push_valid_i[e]) pushed = number_t'(e);
  end
  assign push = (push_valid_i & push_ready_o) != '0 && !stop_i;

  ram_1r1w #(
      .Words(Engines * Queue),
      .Bytes(BodyBytes)
  ) u_ram (
      .clk_i,
      .pins_i  (sram_pins_i),
      .status_o(sram_status_o),
      .re_i    (choose),
      .raddr_i ({chosen, read_q[chosen]}),
      .rdata_o (body),
      .we_i    (push),
      .waddr_i ({pushed, write_q[pushed]}),
      .wbe_i   ('1),
      .wdata_i (push_instr_i.unused)
  );

  assign instr_o = '{unused: body, default: '0};

  logic unused_opcode;
  assign unused_opcode = ^push_instr_i.opcode;

  `ASSERT_ALWAYS(OneIsPushed, $onehot0(push_valid_i))
  `CHECK_PARAMETER(QueueInRange, chip_pkg::legal_queue(Queue))
endmodule

`default_nettype wire
