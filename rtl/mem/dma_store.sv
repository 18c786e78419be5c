// STORE engine: copies a box of words from the scratchpad to memory.
// The next instruction starts while responses of the previous one are awaited; instructions retire in order, each when
// its last response came. An error response faults BUS_STORE. When stopped, bursts whose address was offered are
// finished without strobes. Addresses and data are offered apart: neither waits for the other's ready, so that a
// subordinate may take them in any order.

`include "assertions.svh"
`include "registers.svh"

module dma_store #(
    parameter int unsigned Depth = 16,  // bytes of a word = of a beat
    parameter int unsigned SpadWords = 1024,  // words of the scratchpad
    parameter int unsigned MaxBurst = 256,  // beats of a burst, 256 at most
    parameter int unsigned MaxBursts = 8,  // bursts without a response at most
    localparam int unsigned AddrW = $clog2(SpadWords)
) (
    input  logic                                        clk_i,
    input  logic                                        rst_ni,
    input  logic                                        stop_i,
    input  logic                                        instr_valid_i,
    output logic                                        instr_ready_o,
    input  isa_pkg::store_t                             instr_i,
    input  logic                                        token_wait_i,
    output logic                                        retire_o,
    output logic             [                    31:0] retire_sig_o,
    output logic                                        fault_o,
    output isa_pkg::trap_e                              fault_cause_o,
    output logic                                        idle_o,
    output logic             [chip_pkg::DmaClasses-1:0] class_o,
    // scratchpad
    output logic                                        rreq_o,
    output logic             [               AddrW-1:0] raddr_o,
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

  localparam int unsigned Lanes = Depth / 4;  // 32-bit words of a word
  localparam int unsigned Buffer = 4;  // words read ahead of the write channel
  localparam int unsigned BurstsW = $clog2(MaxBursts + 1);

  typedef struct packed {
    logic [31:0] addr;
    logic [8:0]  beats;
    logic        last;  // of its instruction
  } burst_t;

  // Instruction: range, geometry.
  logic setup_valid, setup_ready, setup_fault, setup_idle;
  logic [1:0] unused_space;
  stream_t stream;
  box_t box;

  dma_setup #(
      .Depth(Depth)
  ) u_setup (
      .clk_i,
      .rst_ni,
      .stop_i,
      .instr_valid_i,
      .instr_ready_o,
      .dram_i       (instr_i.dram),
      .dram_row_i   (instr_i.dram_row),
      .spad_i       (instr_i.spad),
      .spad_row_i   (instr_i.spad_row),
      .rows_i       (instr_i.rows),
      .row_bytes_i  (instr_i.row_bytes),
      .space_i      (SpaceSpad),
      .space_o      (unused_space),
      .limit_i      (24'(SpadWords)),
      .valid_o      (setup_valid),
      .ready_i      (setup_ready),
      .stream_o     (stream),
      .box_o        (box),
      .range_fault_o(setup_fault),
      .idle_o       (setup_idle)
  );

  // Write addresses: a burst moves to the register of the bus and to the queue of data bursts at once.
  logic bursts_ready, bursts_valid, issue;
  logic aw_valid_d;
  burst_t burst;
  logic [BurstsW-1:0] outstanding_d, outstanding_q;

  dma_bursts #(
      .Depth   (Depth),
      .MaxBurst(MaxBurst)
  ) u_bursts (
      .clk_i,
      .rst_ni,
      .stop_i,
      .valid_i (setup_valid && setup_ready),
      .ready_o (bursts_ready),
      .stream_i(stream),
      .valid_o (bursts_valid),
      .ready_i (issue),
      .addr_o  (burst.addr),
      .beats_o (burst.beats),
      .last_o  (burst.last)
  );

  assign issue      = bursts_valid && (!aw_valid_o || aw_ready_i) && !stop_i &&
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

  // Scratchpad side: one box is read, one waits.
  logic box_ready, next_valid, walk_valid, walk_ready, granted_q, data_valid, load, unused_walk;
  logic [1:0] unused_walk_space;
  logic [2:0] reserved_d, reserved_q;  // words in the buffer and on the way to it
  logic [8*Depth-1:0] data;
  word_t word;
  box_t next;

  assign setup_ready = bursts_ready && box_ready;

  fifo #(
      .Width($bits(box_t)),
      .Depth(2)
  ) u_boxes (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(setup_valid && bursts_ready),
      .ready_o(box_ready),
      .data_i (box),
      .valid_o(next_valid),
      .ready_i(walk_ready),
      .data_o (next)
  );

  logic walk_first, walk_last;
  dma_walk u_walk (
      .clk_i,
      .rst_ni,
      .stop_i,
      .valid_i(next_valid),
      .ready_o(walk_ready),
      .box_i  (next),
      .valid_o(walk_valid),
      .step_i (rreq_o && rgnt_i),
      .space_o(unused_walk_space),
      .word_o (word),
      .first_o(walk_first),
      .last_o (walk_last)
  );
  assign unused_walk = walk_first ^ walk_last;

  assign rreq_o  = walk_valid && 32'(reserved_q) != Buffer && !stop_i;
  assign raddr_o = AddrW'(word);

  always_comb begin
    reserved_d = reserved_q;
    if (rreq_o && rgnt_i) reserved_d = reserved_d + 1'b1;
    if (load && !stop_i) reserved_d = reserved_d - 1'b1;
    if (stop_i) reserved_d = '0;
  end

  `FF(reserved_q, reserved_d, '0)
  `FF(granted_q, rreq_o && rgnt_i, 1'b0)

  logic data_ready;
  fifo #(
      .Width(8 * Depth),
      .Depth(Buffer)
  ) u_data (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
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

  assign load      = head_valid && (data_valid || stop_i) && (!w_valid_o || w_ready_i);
  assign head_done = beat_q == head.beats - 1'b1;
  assign beat_d    = head_done ? '0 : beat_q + 1'b1;

  `FF(w_valid_o, load || (w_valid_o && !w_ready_i), 1'b0)
  `FFLNR(w_data_o, data, load && !stop_i)
  `FFLNR(w_strb_o, {Depth{!stop_i}}, load)
  `FFLNR(w_last_o, head_done, load)
  `FFL(beat_q, beat_d, load, '0)

  // Signature: complete in the cycle after an instruction's last word was loaded, before its response can come.
  logic [31:0] sig_d, sig_q, first_index;
  logic fresh_q, ends_q, sig_ready, sig_valid;

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
  `FFL(fresh_q, stop_i || (head_done && head.last), load || stop_i, 1'b1)

  fifo #(
      .Width(32),
      .Depth(4)
  ) u_signatures (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(ends_q),
      .ready_o(sig_ready),
      .data_i (sig_q),
      .valid_o(sig_valid),
      .ready_i(retire_o),
      .data_o (retire_sig_o)
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
  assign retire_o  = b_valid_i && !b_error_i && response_last && !bus_fault_q && !stop_i;
  `FF(bus_fault_q, !stop_i && (bus_fault_q || (b_valid_i && b_error_i)), 1'b0)

  logic range_fault, busy;
  assign busy          = bursts_valid || aw_valid_o || outstanding_q != '0 || next_valid || walk_valid;
  assign range_fault   = setup_fault && !busy;
  assign fault_o       = bus_fault_q || range_fault;
  assign fault_cause_o = bus_fault_q ? TrapBusStore : range_fault ? TrapRange : TrapNone;
  assign idle_o        = setup_idle && !busy;

  always_comb begin
    class_o = '0;
    if (w_valid_o && w_ready_i) class_o[ClassActive] = 1'b1;
    else if (w_valid_o) class_o[DmaClassBus] = 1'b1;
    else if (rreq_o && !rgnt_i) class_o[DmaClassSpad] = 1'b1;
    else if (aw_valid_o && !aw_ready_i) class_o[DmaClassBus] = 1'b1;
    else if (rreq_o || granted_q) class_o[DmaClassFill] = 1'b1;
    else if (outstanding_q != '0) class_o[DmaClassBus] = 1'b1;
    else if (!idle_o || instr_valid_i) class_o[DmaClassFill] = 1'b1;
    else if (token_wait_i) class_o[ClassToken] = 1'b1;
    else class_o[ClassEmpty] = 1'b1;
  end

  logic unused_ok;
  assign unused_ok = ^{instr_i.unused, instr_i.opcode, instr_i.wait_load, instr_i.wait_mxu,
                       instr_i.wait_vpu, instr_i.wait_store, unused_walk, unused_walk_space,
                       unused_space, word, data_ready, queue_ready, sig_ready, sig_valid,
                       response_valid};

  `ASSERT_ALWAYS(OneClass, $onehot(class_o))
  `ASSERT_ALWAYS(BufferRoom, !granted_q || data_ready || stop_i)
  `ASSERT_ALWAYS(QueueRoom, (!issue || queue_ready) && (!(load && head_done) || response_ready))
  `ASSERT_ALWAYS(SignatureRoom, !ends_q || sig_ready)
  `ASSERT_ALWAYS(SignatureThere, !retire_o || sig_valid)
  `ASSERT_ALWAYS(Expected, !b_valid_i || response_valid)
  `ASSERT_STABLE(AddressStable, aw_valid_o, aw_ready_i, {aw_addr_o, aw_len_o})
  `ASSERT_STABLE(DataStable, w_valid_o, w_ready_i, {w_data_o, w_strb_o, w_last_o})

  if (MaxBurst > 256) begin : gen_bad_size
    $fatal(1, "MaxBurst: 256 beats at most");
  end

endmodule
