// SPDX-License-Identifier: Apache-2.0
// STORE engine: copies a box of words from the scratchpad to memory.
// The next instruction starts while responses of the previous one are awaited; instructions retire in order, each when
// its last response came. An error response faults BUS_STORE. When stopped, bursts whose address was offered are
// finished without strobes. Addresses and data are offered apart: neither waits for the other's ready, so that a
// subordinate may take them in any order.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module dma_store #(
    parameter int unsigned Depth = 16,  // bytes of a word = of a beat
    parameter int unsigned SpadWords = 1024,  // words of the scratchpad
    parameter int unsigned MaxBurst = 256,  // beats of a burst, 1 to 256
    parameter int unsigned MaxBursts = 8,  // bursts without a response at most, a power of two
    // instructions that the queue lets it hold, a power of two
    parameter int unsigned InFlight = chip_pkg::InFlight
) (
    input  logic                                        clk_i,
    input  logic                                        rst_ni,
    input  port_pkg::engine_req_t                       engine_i,
    input  isa_pkg::header_t                            instr_i,
    output port_pkg::engine_rsp_t                       engine_o,
    // scratchpad
    output port_pkg::spad_req_t                         read_o,
    input  logic                                        rgnt_i,
    input  logic             [             8*Depth-1:0] rdata_i,
    // AXI4 write channels
    output logic                                        aw_valid_o,
    input  logic                                        aw_ready_i,
    output logic             [                    31:0] aw_addr_o,
    output logic             [                     7:0] aw_len_o,
    output logic                                        w_valid_o,
    input  logic                                        w_ready_i,
    output logic             [             8*Depth-1:0] w_data_o,
    output logic             [               Depth-1:0] w_strb_o,
    output logic                                        w_last_o,
    input  logic                                        b_valid_i,
    output logic                                        b_ready_o,
    input  logic                                        b_error_i
);
  import chip_pkg::*;
  import dma_pkg::*;
  import isa_pkg::*;
  import port_pkg::class_t;

  localparam int unsigned Lanes = Depth / 4;  // 32-bit words of a word
  localparam int unsigned Buffer = 4;  // words read ahead of the write channel
  localparam int unsigned BurstsW = $clog2(MaxBursts + 1);

  typedef struct packed {
    logic [31:0] addr;
    logic [8:0]  beats;
    logic        last;  // of its instruction
  } burst_t;

  store_t instr;
  copy_t copy;
  logic stop, setup_fault, setup_idle;
  logic [1:0] unused_checked;

  assign instr = instr_i;
  assign stop  = engine_i.stop;

  always_comb begin
    copy = '0;
    if (engine_i.valid) begin
      copy.dram      = instr.dram;
      copy.dram_row  = instr.dram_row;
      copy.spad      = instr.spad;
      copy.spad_row  = instr.spad_row;
      copy.rows      = instr.rows;
      copy.row_bytes = instr.row_bytes;
      copy.space     = SpaceSpad;
    end
  end

  // Both sides of the copy. One box is read, one waits.
  logic bursts_valid, issue, next_valid, walk_valid, unused_first, unused_last, aw_valid_d;
  logic [1:0] unused_space;
  burst_t burst;
  word_t word;
  logic [BurstsW-1:0] outstanding_d, outstanding_q;

  dma_front #(
      .Depth   (Depth),
      .MaxBurst(MaxBurst)
  ) u_front (
      .clk_i,
      .rst_ni,
      .stop_i       (stop),
      .instr_valid_i(engine_i.valid),
      .instr_ready_o(engine_o.ready),
      .copy_i       (copy),
      .checked_o    (unused_checked),
      .limit_i      (24'(SpadWords)),
      .burst_valid_o(bursts_valid),
      .burst_ready_i(issue),
      .addr_o       (burst.addr),
      .beats_o      (burst.beats),
      .burst_last_o (burst.last),
      .word_valid_o (walk_valid),
      .word_step_i  (rgnt_i),
      .space_o      (unused_space),
      .word_o       (word),
      .word_first_o (unused_first),
      .word_last_o  (unused_last),
      .box_waits_o  (next_valid),
      .range_fault_o(setup_fault),
      .idle_o       (setup_idle)
  );

  // Write addresses: a burst moves to the register of the bus and to the queue of data bursts at once.
  assign issue      = bursts_valid && (!aw_valid_o || aw_ready_i) && !stop &&
                      32'(outstanding_q) != MaxBursts;
  assign aw_valid_d = issue || (aw_valid_o && !aw_ready_i);

  always_comb begin
    outstanding_d = outstanding_q;
    if (issue) outstanding_d = outstanding_d + 1'b1;
    if (b_valid_i) outstanding_d = outstanding_d - 1'b1;
  end

  `FF(aw_valid_o, aw_valid_d, 1'b0)
  `FFLNR(aw_addr_o, burst.addr, issue)
  `FFLNR(aw_len_o, 8'(burst.beats - 1'b1), issue)
  `FF(outstanding_q, outstanding_d, '0)

  // Scratchpad side.
  logic granted_q, data_valid, load;
  logic [2:0] reserved_d, reserved_q;  // words in the buffer and on the way to it
  logic [8*Depth-1:0] data;

  assign read_o = '{valid: walk_valid && 32'(reserved_q) != Buffer, addr: word};  // no grant waits for stop

  always_comb begin
    reserved_d = reserved_q;
    if (rgnt_i) reserved_d = reserved_d + 1'b1;
    if (load && !stop) reserved_d = reserved_d - 1'b1;
    if (stop) reserved_d = '0;
  end

  `FF(reserved_q, reserved_d, '0)
  `FF(granted_q, rgnt_i, 1'b0)

  logic data_ready;
  fifo #(
      .Width(8 * Depth),
      .Depth(Buffer)
  ) u_data (
      .clk_i,
      .rst_ni,
      .flush_i(stop),
      .valid_i(granted_q),
      .ready_o(data_ready),
      .data_i (rdata_i),
      .valid_o(data_valid),
      .ready_i(load),
      .data_o (data)
  );

  // Write data.
  logic queue_ready, head_valid, head_done;
  burst_t head;
  logic [8:0] beat_d, beat_q;

  fifo #(
      .Width($bits(burst_t)),
      .Depth(MaxBursts)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .flush_i(1'b0),
      .valid_i(issue),
      .ready_o(queue_ready),
      .data_i (burst),
      .valid_o(head_valid),
      .ready_i(load && head_done),
      .data_o (head)
  );

  assign load      = head_valid && (data_valid || stop) && (!w_valid_o || w_ready_i);
  assign head_done = beat_q == head.beats - 1'b1;
  assign beat_d    = head_done ? '0 : beat_q + 1'b1;

  `FF(w_valid_o, load || (w_valid_o && !w_ready_i), 1'b0)
  `FFLNR(w_data_o, data, load && !stop)
  `FFLNR(w_strb_o, {Depth{!stop}}, load)
  `FFLNR(w_last_o, head_done, load)
  `FFL(beat_q, beat_d, load, '0)

  // Signature: complete in the cycle after an instruction's last word was loaded, before its response can come.
  logic [31:0] sig_d, sig_q, first_index;
  logic fresh_q, ends_q, sig_ready, sig_valid, retire;

  assign first_index = (head.addr >> 2) + 32'(beat_q) * Lanes;

  always_comb begin
    sig_d = sig_q;
    if (load) begin
      if (fresh_q) sig_d = '0;
      for (int unsigned i = 0; i < Lanes; i++) begin
        sig_d = sig_d + arith_pkg::signature_step(data[32*i+:32], first_index + i);
      end
    end
  end

  `FFLNR(sig_q, sig_d, load)
  `FF(ends_q, load && head_done && head.last, 1'b0)
  `FFL(fresh_q, stop || (head_done && head.last), load || stop, 1'b1)

  fifo #(
      .Width(32),
      .Depth(InFlight)
  ) u_signatures (
      .clk_i,
      .rst_ni,
      .flush_i(stop),
      .valid_i(ends_q),
      .ready_o(sig_ready),
      .data_i (sig_q),
      .valid_o(sig_valid),
      .ready_i(retire),
      .data_o (engine_o.signature)
  );

  // Responses: one bit for every burst that awaits one.
  logic response_ready, response_valid, response_last, bus_fault_q;

  fifo #(
      .Width(1),
      .Depth(MaxBursts)
  ) u_responses (
      .clk_i,
      .rst_ni,
      .flush_i(1'b0),
      .valid_i(load && head_done),
      .ready_o(response_ready),
      .data_i (head.last),
      .valid_o(response_valid),
      .ready_i(b_valid_i),
      .data_o (response_last)
  );

  assign b_ready_o = 1'b1;
  assign retire    = b_valid_i && !b_error_i && response_last && !bus_fault_q && !stop;
  `FF(bus_fault_q, !stop && (bus_fault_q || (b_valid_i && b_error_i)), 1'b0)

  logic range_fault, busy, idle;
  assign busy            = bursts_valid || aw_valid_o || outstanding_q != '0 || next_valid || walk_valid;
  assign range_fault     = setup_fault && !busy;
  assign idle            = setup_idle && !busy;
  assign engine_o.retire = retire;
  assign engine_o.fault  = bus_fault_q || range_fault;
  assign engine_o.cause  = bus_fault_q ? TrapBusStore : range_fault ? TrapRange : TrapNone;
  assign engine_o.idle   = idle;

  class_t class_d;
  always_comb begin
    class_d = '0;
    if (w_valid_o && w_ready_i) class_d[ClassActive] = 1'b1;
    else if (w_valid_o) class_d[DmaClassBus] = 1'b1;
    else if (read_o.valid && !rgnt_i) class_d[DmaClassSpad] = 1'b1;
    else if (aw_valid_o && !aw_ready_i) class_d[DmaClassBus] = 1'b1;
    else if (read_o.valid || granted_q) class_d[DmaClassFill] = 1'b1;
    else if (outstanding_q != '0) class_d[DmaClassBus] = 1'b1;
    else if (!idle || engine_i.valid) class_d[DmaClassFill] = 1'b1;
    else if (engine_i.token_wait) class_d[ClassToken] = 1'b1;
    else class_d[ClassEmpty] = 1'b1;
  end
  `FF(engine_o.cycle_class, class_d, class_t'(1 << ClassEmpty))

  logic unused_ok;
  assign unused_ok = ^{instr.unused, instr.opcode, instr.wait_load, instr.wait_mxu, instr.wait_vpu,
                       instr.wait_store, unused_first, unused_last, unused_space, unused_checked, data_ready,
                       queue_ready, sig_ready, sig_valid, response_valid};

  `ASSERT_ALWAYS(OneClass, $onehot(class_d))
  `ASSERT_ALWAYS(FaultAlone, !(engine_o.fault && engine_o.retire))
  `ASSERT_ALWAYS(GrantAskedFor, !rgnt_i || read_o.valid)
  `ASSERT_ALWAYS(BufferRoom, !granted_q || data_ready || stop)
  `ASSERT_ALWAYS(QueueRoom, (!issue || queue_ready) && (!(load && head_done) || response_ready))
  `ASSERT_ALWAYS(SignatureRoom, !ends_q || sig_ready)
  `ASSERT_ALWAYS(SignatureThere, !retire || sig_valid)
  `ASSERT_ALWAYS(Expected, !b_valid_i || response_valid)
  `ASSERT_STABLE(AddressStable, aw_valid_o, aw_ready_i, {aw_addr_o, aw_len_o})
  `ASSERT_STABLE(DataStable, w_valid_o, w_ready_i, {w_data_o, w_strb_o, w_last_o})

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
