// SPDX-License-Identifier: Apache-2.0
// The registers (docs/registers.md) on their AXI4-Lite port, the counters among them, and the interrupt. Nothing is
// accepted in the reset and in the cycle after it.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module csr
  import chip_pkg::*;
  import isa_pkg::*;
  import port_pkg::*;
#(
    parameter int unsigned Depth     = 16,     // sizes that software reads
    parameter int unsigned Cols      = 8,
    parameter int unsigned Rows      = 64,
    parameter int unsigned SpadWords = 16384,
    parameter int unsigned ProgWords = 64,
    parameter int unsigned Tables    = 8,
    parameter int unsigned Queue     = 4
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    output logic                      irq_o,
    // AXI4-Lite slave
    input  logic        [        8:0] s_axil_awaddr_i,
    input  logic        [        2:0] s_axil_awprot_i,
    input  logic                      s_axil_awvalid_i,
    output logic                      s_axil_awready_o,
    input  logic        [       31:0] s_axil_wdata_i,
    input  logic        [        3:0] s_axil_wstrb_i,
    input  logic                      s_axil_wvalid_i,
    output logic                      s_axil_wready_o,
    output logic        [        1:0] s_axil_bresp_o,
    output logic                      s_axil_bvalid_o,
    input  logic                      s_axil_bready_i,
    input  logic        [        8:0] s_axil_araddr_i,
    input  logic        [        2:0] s_axil_arprot_i,
    input  logic                      s_axil_arvalid_i,
    output logic                      s_axil_arready_o,
    output logic        [       31:0] s_axil_rdata_o,
    output logic        [        1:0] s_axil_rresp_o,
    output logic                      s_axil_rvalid_o,
    input  logic                      s_axil_rready_i,
    // the chip
    output command_t                  command_o,
    input  status_t                   status_i,
    input  token_t      [Engines-1:0] tokens_i,
    input  signatures_t [Engines-1:0] signatures_i,
    input  logic                      begin_i,           // counters start from zero
    input  logic        [ ClassW-1:0] class_i[Engines]   // of the cycle before
);
  quartdepth_csr_pkg::quartdepth_csr__in_t  csr_in;
  quartdepth_csr_pkg::quartdepth_csr__out_t csr_out;
  logic live_q, aw_ready, w_ready, ar_ready;

  `FF(live_q, 1'b1, 1'b0)
  assign s_axil_awready_o = aw_ready && live_q;
  assign s_axil_wready_o  = w_ready && live_q;
  assign s_axil_arready_o = ar_ready && live_q;

  quartdepth_csr u_csr (
      .clk           (clk_i),
      .arst_n        (rst_ni),
      .s_axil_awready(aw_ready),
      .s_axil_awvalid(s_axil_awvalid_i && live_q),
      .s_axil_awaddr (s_axil_awaddr_i),
      .s_axil_awprot (s_axil_awprot_i),
      .s_axil_wready (w_ready),
      .s_axil_wvalid (s_axil_wvalid_i && live_q),
      .s_axil_wdata  (s_axil_wdata_i),
      .s_axil_wstrb  (s_axil_wstrb_i),
      .s_axil_bready (s_axil_bready_i),
      .s_axil_bvalid (s_axil_bvalid_o),
      .s_axil_bresp  (s_axil_bresp_o),
      .s_axil_arready(ar_ready),
      .s_axil_arvalid(s_axil_arvalid_i && live_q),
      .s_axil_araddr (s_axil_araddr_i),
      .s_axil_arprot (s_axil_arprot_i),
      .s_axil_rready (s_axil_rready_i),
      .s_axil_rvalid (s_axil_rvalid_o),
      .s_axil_rdata  (s_axil_rdata_o),
      .s_axil_rresp  (s_axil_rresp_o),
      .hwif_in       (csr_in),
      .hwif_out      (csr_out)
  );

  assign command_o = '{
          start: csr_out.CONTROL.start.value,
          clear: csr_out.CONTROL.clear.value,
          watchdog: csr_out.WATCHDOG.limit.value,
          prog_base: csr_out.PROG_BASE.line.value,
          prog_count: csr_out.PROG_COUNT.count.value
      };

  `FF(irq_o, (status_i.done && csr_out.IRQ_ENABLE.done.value) ||
             (status_i.trapped && csr_out.IRQ_ENABLE.trapped.value), 1'b0)

  counters u_counters (
      .clk_i,
      .rst_ni,
      .begin_i,
      .running_i    (status_i.running),
      .load_class_i (class_i[EngineLoad][DmaClasses-1:0]),
      .mxu_class_i  (class_i[EngineMxu][MxuClasses-1:0]),
      .vpu_class_i  (class_i[EngineVpu][VpuClasses-1:0]),
      .store_class_i(class_i[EngineStore][DmaClasses-1:0]),
      .req_i        (csr_out.COUNTERS.req),
      .req_is_wr_i  (csr_out.COUNTERS.req_is_wr),
      .addr_i       (csr_out.COUNTERS.addr),
      .rd_ack_o     (csr_in.COUNTERS.rd_ack),
      .rd_data_o    (csr_in.COUNTERS.rd_data),
      .wr_ack_o     (csr_in.COUNTERS.wr_ack)
  );

  assign csr_in.SIZES.depth.next         = 8'(Depth);
  assign csr_in.SIZES.cols.next          = 8'(Cols);
  assign csr_in.SIZES.rows.next          = 8'(Rows);
  assign csr_in.SIZES.banks.next         = 4'(SpadBanks);
  assign csr_in.SIZES.queue.next         = 4'(Queue);
  assign csr_in.SPAD.words.next          = SpadWords;
  assign csr_in.STORES.prog_words.next   = 16'(ProgWords);
  assign csr_in.STORES.tables.next       = 8'(Tables);
  assign csr_in.STATUS.running.next      = status_i.running;
  assign csr_in.STATUS.done.next         = status_i.done;
  assign csr_in.STATUS.trapped.next      = status_i.trapped;
  assign csr_in.STATUS.idle.next         = status_i.idle;
  assign csr_in.TRAP.cause.next          = status_i.cause;
  assign csr_in.TRAP.engine.next         = status_i.source;
  assign csr_in.TRAP_PC.index.next       = status_i.pc;
  assign csr_in.RETIRED_LOAD.count.next  = tokens_i[EngineLoad];
  assign csr_in.RETIRED_MXU.count.next   = tokens_i[EngineMxu];
  assign csr_in.RETIRED_VPU.count.next   = tokens_i[EngineVpu];
  assign csr_in.RETIRED_STORE.count.next = tokens_i[EngineStore];
  assign csr_in.SIG_LOAD.value.next      = signatures_i[EngineLoad].last;
  assign csr_in.SIG_MXU.value.next       = signatures_i[EngineMxu].last;
  assign csr_in.SIG_VPU.value.next       = signatures_i[EngineVpu].last;
  assign csr_in.SIG_STORE.value.next     = signatures_i[EngineStore].last;
  assign csr_in.SIG_SUM_LOAD.value.next  = signatures_i[EngineLoad].sum;
  assign csr_in.SIG_SUM_MXU.value.next   = signatures_i[EngineMxu].sum;
  assign csr_in.SIG_SUM_VPU.value.next   = signatures_i[EngineVpu].sum;
  assign csr_in.SIG_SUM_STORE.value.next = signatures_i[EngineStore].sum;

  logic unused_ok;
  assign unused_ok = ^{csr_out.COUNTERS.wr_data, csr_out.COUNTERS.wr_biten,
                       class_i[EngineLoad][ClassW-1:DmaClasses], class_i[EngineStore][ClassW-1:DmaClasses]};

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
  `CHECK_PARAMETER(QueueInRange, chip_pkg::legal_queue(Queue))
endmodule

`default_nettype wire
