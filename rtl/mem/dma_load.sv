// LOAD engine: copies a box of words from memory to the scratchpad, the program store or the code tables.
// Reads of the next instruction are issued while data of the previous one still arrive; words are written and
// instructions retire in order. A word that came with an error response is not written: fault BUS_LOAD.

`include "assertions.svh"
`include "registers.svh"

module dma_load #(
    parameter int unsigned Depth = 16,  // bytes of a word = of a beat
    parameter int unsigned SpadWords = 1024,  // words of the scratchpad
    parameter int unsigned ProgWords = 32,  // microwords of 32 bytes in the program store
    parameter int unsigned Tables = 8,  // code tables of 64 bytes
    parameter int unsigned MaxBurst = 256,  // beats of a burst, 256 at most
    parameter int unsigned MaxBeats = 256,  // beats under way at most, MaxBurst or more
    localparam int unsigned AddrW = $clog2(SpadWords),
    localparam int unsigned ProgAddrW = $clog2(ProgWords * isa_pkg::MicrowordBytes / Depth),
    localparam int unsigned TabAddrW = $clog2((Tables * isa_pkg::TableBytes + Depth - 1) / Depth)
) (
    input  logic                                   clk_i,
    input  logic                                   rst_ni,
    input  logic                                   stop_i,
    input  logic                                   instr_valid_i,
    output logic                                   instr_ready_o,
    input  isa_pkg::load_t                         instr_i,
    input  logic                                   token_wait_i,
    output logic                                   retire_o,
    output logic             [               31:0] retire_sig_o,
    output logic                                   fault_o,
    output isa_pkg::trap_e                         fault_cause_o,
    output logic                                   idle_o,
    output logic             [chip_pkg::DmaClasses-1:0] class_o,
    // AXI4 read channels; the address offer may be withdrawn when stopped
    output logic                                   ar_valid_o,
    input  logic                                   ar_ready_i,
    output logic             [               31:0] ar_addr_o,
    output logic             [                7:0] ar_len_o,
    input  logic                                   r_valid_i,
    output logic                                   r_ready_o,
    input  logic             [        8*Depth-1:0] r_data_i,
    input  logic                                   r_error_i,
    // scratchpad, program store, code tables
    output logic                                   wreq_o,
    output logic             [          AddrW-1:0] waddr_o,
    output logic             [          Depth-1:0] wbe_o,
    output logic             [        8*Depth-1:0] wdata_o,
    input  logic                                   wgnt_i,
    output logic                                   prog_we_o,
    output logic             [      ProgAddrW-1:0] prog_addr_o,
    output logic                                   tab_we_o,
    output logic             [       TabAddrW-1:0] tab_addr_o
);
  import chip_pkg::*;
  import dma_pkg::*;
  import isa_pkg::*;

  localparam int unsigned Lanes = Depth / 4;  // 32-bit words of a word
  localparam int unsigned BeatsW = $clog2(MaxBeats + 1);

  // Instruction: range, geometry.
  logic setup_valid, setup_ready, setup_fault, setup_idle;
  logic [1:0] setup_space;
  logic [23:0] limit;
  stream_t stream;
  box_t box;

  always_comb begin
    unique case (setup_space)
      SpaceProg:  limit = 24'(ProgWords * MicrowordBytes / Depth);
      SpaceTable: limit = 24'(Tables * TableBytes / Depth);
      default:    limit = 24'(SpadWords);
    endcase
  end

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
      .space_i      (instr_i.space),
      .space_o      (setup_space),
      .limit_i      (limit),
      .valid_o      (setup_valid),
      .ready_i      (setup_ready),
      .stream_o     (stream),
      .box_o        (box),
      .range_fault_o(setup_fault),
      .idle_o       (setup_idle)
  );

  // Memory side.
  logic bursts_ready, bursts_valid, bursts_last, box_ready, issue, credit;
  logic [8:0] beats;
  logic [BeatsW-1:0] outstanding_d, outstanding_q;

  assign setup_ready = bursts_ready && box_ready;

  dma_bursts #(
      .Depth   (Depth),
      .MaxBurst(MaxBurst)
  ) u_bursts (
      .clk_i,
      .rst_ni,
      .stop_i,
      .valid_i (setup_valid && box_ready),
      .ready_o (bursts_ready),
      .stream_i(stream),
      .valid_o (bursts_valid),
      .ready_i (issue),
      .addr_o  (ar_addr_o),
      .beats_o (beats),
      .last_o  (bursts_last)
  );

  assign credit     = 32'(outstanding_q) + 32'(beats) <= MaxBeats;
  assign ar_valid_o = bursts_valid && credit && !stop_i;
  assign ar_len_o   = 8'(beats - 1'b1);
  assign issue      = ar_valid_o && ar_ready_i;

  always_comb begin
    outstanding_d = outstanding_q;
    if (issue) outstanding_d = outstanding_d + BeatsW'(beats);
    if (r_valid_i && r_ready_o) outstanding_d = outstanding_d - 1'b1;
  end

  `FF(outstanding_q, outstanding_d, '0)

  // Data.
  logic data_ready, data_valid, data_error, take;

  assign r_ready_o = data_ready || stop_i;

  fifo #(
      .Width(8 * Depth + 1),
      .Depth(2)
  ) u_data (
      .clk_i,
      .rst_ni,
      .flush_i(stop_i),
      .valid_i(r_valid_i),
      .ready_o(data_ready),
      .data_i ({r_error_i, r_data_i}),
      .valid_o(data_valid),
      .ready_i(take),
      .data_o ({data_error, wdata_o})
  );

  // Scratchpad side: one box is written, one waits.
  logic walk_valid, walk_ready, walk_first, walk_last, next_valid;
  logic [1:0] space;
  word_t word;
  box_t next;

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

  dma_walk u_walk (
      .clk_i,
      .rst_ni,
      .stop_i,
      .valid_i(next_valid),
      .ready_o(walk_ready),
      .box_i  (next),
      .valid_o(walk_valid),
      .step_i (take),
      .space_o(space),
      .word_o (word),
      .first_o(walk_first),
      .last_o (walk_last)
  );

  logic present;
  assign present     = walk_valid && data_valid && !data_error && !stop_i;
  assign wreq_o      = present && space == SpaceSpad;
  assign take        = present && (space != SpaceSpad || wgnt_i);
  assign waddr_o     = AddrW'(word);
  assign wbe_o       = '1;
  assign prog_we_o   = present && space == SpaceProg;
  assign prog_addr_o = ProgAddrW'(word);
  assign tab_we_o    = present && space == SpaceTable;
  assign tab_addr_o  = TabAddrW'(word);

  // Signature, retirement, faults.
  logic [31:0] sig_d, sig_q;
  logic bus_fault_q;

  always_comb begin
    sig_d = sig_q;
    if (take) begin
      if (walk_first) sig_d = '0;
      for (int unsigned i = 0; i < Lanes; i++) begin
        sig_d = sig_d + arith_pkg::signature_step(wdata_o[32*i+:32], 32'(word) * Lanes + i);
      end
    end
  end

  `FFLNR(sig_q, sig_d, take)
  `FF(retire_o, take && walk_last, 1'b0)
  `FF(bus_fault_q, !stop_i && (bus_fault_q || (walk_valid && data_valid && data_error)), 1'b0)

  // An instruction out of range faults when the earlier ones have retired.
  logic range_fault;
  assign range_fault   = setup_fault && !walk_valid && !next_valid && !retire_o;
  assign retire_sig_o  = sig_q;
  assign fault_o       = bus_fault_q || range_fault;
  assign fault_cause_o = bus_fault_q ? TrapBusLoad : range_fault ? TrapRange : TrapNone;
  assign idle_o        = setup_idle && !bursts_valid && !next_valid && !walk_valid && !retire_o &&
                         outstanding_q == '0;

  always_comb begin
    class_o = '0;
    if (take) class_o[ClassActive] = 1'b1;
    else if (wreq_o) class_o[DmaClassSpad] = 1'b1;
    else if (outstanding_q != '0 || ar_valid_o) class_o[DmaClassBus] = 1'b1;
    else if (!idle_o || instr_valid_i) class_o[DmaClassFill] = 1'b1;
    else if (token_wait_i) class_o[ClassToken] = 1'b1;
    else class_o[ClassEmpty] = 1'b1;
  end

  logic unused_ok;
  assign unused_ok = ^{instr_i.unused, instr_i.opcode, instr_i.wait_load, instr_i.wait_mxu, instr_i.wait_vpu,
                       instr_i.wait_store, bursts_last};

  `ASSERT_ALWAYS(OneClass, $onehot(class_o))
  `ASSERT_ALWAYS(Expected, !r_valid_i || outstanding_q != '0)

  if (MaxBurst > 256 || MaxBeats < MaxBurst) begin : gen_bad_size
    $fatal(1, "MaxBurst: 256 beats at most, MaxBeats: MaxBurst or more");
  end
endmodule
