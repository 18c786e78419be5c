// SPDX-License-Identifier: Apache-2.0
// LOAD engine: copies a box of words from memory to the scratchpad, the program store or the code tables.
// Reads of the next instruction are issued while data of the previous one still arrive; words are written and
// instructions retire in order. A word that came with an error response is not written: fault BUS_LOAD.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module dma_load #(
    parameter int unsigned Depth = 16,  // bytes of a word = of a beat
    parameter int unsigned SpadWords = 1024,  // words of the scratchpad
    parameter int unsigned ProgWords = 32,  // microwords of 32 bytes in the program store
    parameter int unsigned Tables = 8,  // code tables of 64 bytes
    parameter int unsigned MaxBurst = 256,  // beats of a burst, 256 at most
    parameter int unsigned MaxBeats = 256,  // beats under way at most, MaxBurst or more
    localparam int unsigned ProgAddrW = $clog2(ProgWords * isa_pkg::MicrowordBytes / Depth),
    localparam int unsigned TabAddrW = chip_pkg::index_width(Tables * isa_pkg::TableBytes / Depth)
) (
    input  logic                                   clk_i,
    input  logic                                   rst_ni,
    input  port_pkg::engine_req_t                  engine_i,
    input  isa_pkg::header_t                       instr_i,
    output port_pkg::engine_rsp_t                  engine_o,
    // AXI4 read channels; the address offer may be withdrawn when stopped
    output port_pkg::ar_t                          ar_o,
    input  logic                                   ar_ready_i,
    input  port_pkg::r_t                           r_i,
    input  logic             [        8*Depth-1:0] r_data_i,
    output logic                                   r_ready_o,   // from registers alone
    // scratchpad, program store, code tables
    output port_pkg::spad_req_t                    write_o,
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
  import port_pkg::class_t;

  localparam int unsigned Lanes = Depth / 4;  // 32-bit words of a word
  localparam int unsigned BeatsW = $clog2(MaxBeats + 1);

  load_t instr;
  copy_t copy;
  logic stop, setup_fault, setup_idle;
  logic [1:0] checked;
  logic [23:0] limit;

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
      copy.space     = instr.space;
    end
  end

  always_comb begin
    unique case (checked)
      SpaceProg:  limit = 24'(ProgWords * MicrowordBytes / Depth);
      SpaceTable: limit = 24'(Tables * TableBytes / Depth);
      default:    limit = 24'(SpadWords);
    endcase
  end

  // Both sides of the copy. One box is written, one waits.
  logic bursts_valid, unused_last, issue, credit, walk_valid, walk_first, walk_last, next_valid, take;
  logic [8:0] beats;
  logic [1:0] space;
  word_t word;
  logic [BeatsW-1:0] outstanding_d, outstanding_q;

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
      .checked_o    (checked),
      .limit_i      (limit),
      .burst_valid_o(bursts_valid),
      .burst_ready_i(issue),
      .addr_o       (ar_o.addr),
      .beats_o      (beats),
      .burst_last_o (unused_last),
      .word_valid_o (walk_valid),
      .word_step_i  (take),
      .space_o      (space),
      .word_o       (word),
      .word_first_o (walk_first),
      .word_last_o  (walk_last),
      .box_waits_o  (next_valid),
      .range_fault_o(setup_fault),
      .idle_o       (setup_idle)
  );

  // Memory side.
  assign credit     = 32'(outstanding_q) + 32'(beats) <= MaxBeats;
  assign ar_o.valid = bursts_valid && credit && !stop;
  assign ar_o.len   = 8'(beats - 1'b1);
  assign issue      = ar_o.valid && ar_ready_i;

  always_comb begin
    outstanding_d = outstanding_q;
    if (issue) outstanding_d = outstanding_d + BeatsW'(beats);
    if (r_i.valid && r_ready_o) outstanding_d = outstanding_d - 1'b1;
  end

  `FF(outstanding_q, outstanding_d, '0)

  // Data.
  logic data_ready, data_valid, data_error;

  assign r_ready_o = data_ready || stop;

  fifo #(
      .Width(8 * Depth + 1),
      .Depth(2)
  ) u_data (
      .clk_i,
      .rst_ni,
      .flush_i(stop),
      .valid_i(r_i.valid),
      .ready_o(data_ready),
      .data_i ({r_i.error, r_data_i}),
      .valid_o(data_valid),
      .ready_i(take),
      .data_o ({data_error, wdata_o})
  );

  // Side of the chip. What stands here when the chip stops is written: nothing is said of it, and no grant waits for stop.
  logic present;
  assign present     = walk_valid && data_valid && !data_error;
  assign write_o     = '{valid: present && space == SpaceSpad, addr: word};
  assign take        = present && (space != SpaceSpad || wgnt_i);
  assign wbe_o       = '1;
  assign prog_we_o   = present && space == SpaceProg;
  assign prog_addr_o = ProgAddrW'(word);
  assign tab_we_o    = present && space == SpaceTable;
  assign tab_addr_o  = TabAddrW'(word);

  // Signature, retirement, faults.
  logic [31:0] sig_d, sig_q;
  logic retire_q, bus_fault_q;

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
  `FF(retire_q, take && walk_last && !stop, 1'b0)
  `FF(bus_fault_q, !stop && (bus_fault_q || (walk_valid && data_valid && data_error)), 1'b0)

  // An instruction out of range faults when the earlier ones have retired.
  logic range_fault, idle;
  assign range_fault        = setup_fault && !walk_valid && !next_valid && !retire_q;
  assign engine_o.retire    = retire_q;
  assign engine_o.signature = sig_q;
  assign engine_o.fault     = bus_fault_q || range_fault;
  assign engine_o.cause     = bus_fault_q ? TrapBusLoad : range_fault ? TrapRange : TrapNone;
  assign idle               = setup_idle && !bursts_valid && !next_valid && !walk_valid && !retire_q &&
                              outstanding_q == '0;
  assign engine_o.idle      = idle;

  class_t class_d;
  always_comb begin
    class_d = '0;
    if (take) class_d[ClassActive] = 1'b1;
    else if (write_o.valid) class_d[DmaClassSpad] = 1'b1;
    else if (outstanding_q != '0 || ar_o.valid) class_d[DmaClassBus] = 1'b1;
    else if (!idle || engine_i.valid) class_d[DmaClassFill] = 1'b1;
    else if (engine_i.token_wait) class_d[ClassToken] = 1'b1;
    else class_d[ClassEmpty] = 1'b1;
  end
  `FF(engine_o.cycle_class, class_d, class_t'(1 << ClassEmpty))

  logic unused_ok;
  assign unused_ok = ^{instr.unused, instr.opcode, instr.wait_load, instr.wait_mxu, instr.wait_vpu,
                       instr.wait_store, unused_last};

  `ASSERT_ALWAYS(OneClass, $onehot(class_d))
  `ASSERT_ALWAYS(FaultAlone, !(engine_o.fault && engine_o.retire))
  `ASSERT_ALWAYS(Expected, !r_i.valid || outstanding_q != '0)

  `CHECK_PARAMETER(BeatsInRange, MaxBeats >= MaxBurst)

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
