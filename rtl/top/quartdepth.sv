// SPDX-License-Identifier: Apache-2.0
// The QuartDepth chip: four engines around one scratchpad, driven by a program in memory (docs/architecture.md).
// One AXI4 master with beats of a scratchpad word, an AXI4-Lite slave for the registers (docs/registers.md), a level
// interrupt, and a trace port that shows every instruction as its engine takes and retires it.
// It is wiring alone; docs/architecture.md names the ports between the blocks.
`default_nettype none
`include "assertions.svh"

module quartdepth #(
    parameter int unsigned Depth     = 16,     // bytes of a scratchpad word (D): 16, 32 or 64
    parameter int unsigned Cols      = 8,      // columns of the MXU (C): D or half of it
    parameter int unsigned Lanes     = 8,      // lanes of the VPU: 8, 16, 32 or 64, C at most
    parameter int unsigned FullLanes = 8,      // of these, full ones: all or half, 8 at least
    parameter int unsigned Rows      = 64,     // rows of an accumulator bank (R), 2 to 255
    parameter int unsigned SpadWords = 16384,  // scratchpad: 64 or more, in fours, 2^24 bytes at most
    parameter int unsigned ProgWords = 64,     // microwords in the program store: 4 to 256, even
    parameter int unsigned Tables    = 8,      // code tables, 1 to 8
    parameter int unsigned Queue     = 4,      // instructions that wait in front of each engine: 2, 4 or 8
    parameter int unsigned LoadBursts = 8      // bursts of 32 beats that LOAD has under way, 2 to 16
) (
    input  logic               clk_i,
    input  logic               rst_ni,         // asynchronous; synchronised here
    input  logic               test_en_i,      // scan: clocks are not gated, the reset comes from the pin
    input  sram_pkg::pins_t    sram_pins_i,
    output sram_pkg::status_t  sram_status_o,
    output logic               irq_o,
    // AXI4 master: reads
    output logic [        0:0] m_axi_arid_o,
    output logic [       31:0] m_axi_araddr_o,
    output logic [        7:0] m_axi_arlen_o,
    output logic [        2:0] m_axi_arsize_o,
    output logic [        1:0] m_axi_arburst_o,
    output logic [        3:0] m_axi_arcache_o,
    output logic [        2:0] m_axi_arprot_o,
    output logic               m_axi_arvalid_o,
    input  logic               m_axi_arready_i,
    input  logic [        0:0] m_axi_rid_i,
    input  logic [8*Depth-1:0] m_axi_rdata_i,
    input  logic [        1:0] m_axi_rresp_i,
    input  logic               m_axi_rlast_i,
    input  logic               m_axi_rvalid_i,
    output logic               m_axi_rready_o,
    // AXI4 master: writes
    output logic [        0:0] m_axi_awid_o,
    output logic [       31:0] m_axi_awaddr_o,
    output logic [        7:0] m_axi_awlen_o,
    output logic [        2:0] m_axi_awsize_o,
    output logic [        1:0] m_axi_awburst_o,
    output logic [        3:0] m_axi_awcache_o,
    output logic [        2:0] m_axi_awprot_o,
    output logic               m_axi_awvalid_o,
    input  logic               m_axi_awready_i,
    output logic [8*Depth-1:0] m_axi_wdata_o,
    output logic [  Depth-1:0] m_axi_wstrb_o,
    output logic               m_axi_wlast_o,
    output logic               m_axi_wvalid_o,
    input  logic               m_axi_wready_i,
    input  logic [        0:0] m_axi_bid_i,
    input  logic [        1:0] m_axi_bresp_i,
    input  logic               m_axi_bvalid_i,
    output logic               m_axi_bready_o,
    // AXI4-Lite slave
    input  logic [        8:0] s_axil_awaddr_i,
    input  logic [        2:0] s_axil_awprot_i,
    input  logic               s_axil_awvalid_i,
    output logic               s_axil_awready_o,
    input  logic [       31:0] s_axil_wdata_i,
    input  logic [        3:0] s_axil_wstrb_i,
    input  logic               s_axil_wvalid_i,
    output logic               s_axil_wready_o,
    output logic [        1:0] s_axil_bresp_o,
    output logic               s_axil_bvalid_o,
    input  logic               s_axil_bready_i,
    input  logic [        8:0] s_axil_araddr_i,
    input  logic [        2:0] s_axil_arprot_i,
    input  logic               s_axil_arvalid_i,
    output logic               s_axil_arready_o,
    output logic [       31:0] s_axil_rdata_o,
    output logic [        1:0] s_axil_rresp_o,
    output logic               s_axil_rvalid_o,
    input  logic               s_axil_rready_i,
    // trace, by engine: LOAD, MXU, VPU, STORE
    output logic [        3:0] trace_issue_o,
    output logic [  3:0][31:0] trace_issue_pc_o,
    output logic [        3:0] trace_retire_o,
    output logic [  3:0][31:0] trace_retire_pc_o,
    output logic [  3:0][31:0] trace_retire_sig_o,
    output logic [        6:0] trace_mxu_class_o   // one-hot, the MXU's class of the cycle before
);
  import chip_pkg::*;
  import isa_pkg::*;
  import port_pkg::*;

  localparam int unsigned ProgAddrW = $clog2(ProgWords * MicrowordBytes / Depth);
  localparam int unsigned TabAddrW = index_width(Tables * TableBytes / Depth);
  localparam int unsigned ReadPorts = 6;
  localparam int unsigned WritePorts = 2;

  localparam int unsigned LoadBurst = 32;  // short, and few under way: a fetch waits behind all of them
  localparam int unsigned StoreBurst = 64;
  localparam int unsigned StoreBursts = 8;
  localparam int unsigned ReadStream = 0;  // ports of the scratchpad, by priority
  localparam int unsigned ReadStationary = 1;
  localparam int unsigned ReadVpu = 2;  // A, B and the parameters
  localparam int unsigned ReadStore = 5;
  localparam int unsigned WriteVpu = 0;
  localparam int unsigned WriteLoad = 1;

  logic rst_n;

  reset_sync u_reset (
      .clk_i,
      .rst_ni,
      .test_en_i,
      .rst_no(rst_n)
  );

  // -- Registers and front end ----------------------------------------------------------------

  command_t command;
  status_t status;
  token_t [Engines-1:0] tokens;
  signatures_t [Engines-1:0] signatures;
  logic begin_run, acc_valid, acc_ready, fetch_ar_ready, load_ar_ready, load_r_ready;
  engine_req_t to_engine[Engines];
  engine_rsp_t from_engine[Engines];
  header_t instr[Engines];
  logic [ClassW-1:0] cycle_class[Engines];
  sram_pkg::status_t queue_sram, mxu_sram, vpu_sram, spad_sram;
  ar_t fetch_ar, load_ar, bus_ar;
  r_t fetch_r, load_r;
  for (genvar e = 0; e < Engines; e++) begin : gen_class
    assign cycle_class[e] = from_engine[e].cycle_class;
  end
  assign trace_mxu_class_o = cycle_class[EngineMxu];

  csr #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables   (Tables),
      .Queue    (Queue)
  ) u_csr (
      .clk_i,
      .rst_ni      (rst_n),
      .irq_o,
      .s_axil_awaddr_i, .s_axil_awprot_i, .s_axil_awvalid_i, .s_axil_awready_o, .s_axil_wdata_i,
      .s_axil_wstrb_i, .s_axil_wvalid_i, .s_axil_wready_o, .s_axil_bresp_o, .s_axil_bvalid_o,
      .s_axil_bready_i, .s_axil_araddr_i, .s_axil_arprot_i, .s_axil_arvalid_i, .s_axil_arready_o,
      .s_axil_rdata_o, .s_axil_rresp_o, .s_axil_rvalid_o, .s_axil_rready_i,
      .command_o   (command),
      .status_i    (status),
      .tokens_i    (tokens),
      .signatures_i(signatures),
      .begin_i     (begin_run),
      .class_i     (cycle_class)
  );

  front_end #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .ProgWords(ProgWords),
      .Tables   (Tables),
      .Queue    (Queue)
  ) u_front_end (
      .clk_i,
      .rst_ni        (rst_n),
      .sram_pins_i,
      .sram_status_o (queue_sram),
      .command_i     (command),
      .status_o      (status),
      .tokens_o      (tokens),
      .signatures_o  (signatures),
      .begin_o       (begin_run),
      .engine_o      (to_engine),
      .instr_o       (instr),
      .engine_i      (from_engine),
      .rows_waiting_i(acc_valid),
      .ar_o          (fetch_ar),
      .ar_ready_i    (fetch_ar_ready),
      .r_i           (fetch_r),
      .r_data_i      (m_axi_rdata_i),
      .trace_issue_o,
      .trace_issue_pc_o,
      .trace_retire_o,
      .trace_retire_pc_o,
      .trace_retire_sig_o
  );

  // -- Engines --------------------------------------------------------------------------------

  spad_req_t read[ReadPorts], write[WritePorts];
  logic rgnt[ReadPorts], wgnt[WritePorts], first[ReadPorts];
  logic [8*Depth-1:0] rdata[ReadPorts], wdata[WritePorts];
  logic [Depth-1:0] wbe[WritePorts];
  logic prog_we, tab_we, vpu_behind;
  logic [ProgAddrW-1:0] prog_addr;
  logic [TabAddrW-1:0] tab_addr;
  logic signed [4:0] decode_entries[Tables][16];
  logic signed [15:0] thresholds[Tables][15];
  logic [Lanes-1:0][31:0] acc_data;
  assign sram_status_o = queue_sram | mxu_sram | vpu_sram | spad_sram;

  dma_load #(
      .Depth    (Depth),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables   (Tables),
      .MaxBurst (LoadBurst),
      .MaxBeats (LoadBursts * LoadBurst)
  ) u_load (
      .clk_i,
      .rst_ni     (rst_n),
      .engine_i   (to_engine[EngineLoad]),
      .instr_i    (instr[EngineLoad]),
      .engine_o   (from_engine[EngineLoad]),
      .ar_o       (load_ar),
      .ar_ready_i (load_ar_ready),
      .r_i        (load_r),
      .r_data_i   (m_axi_rdata_i),
      .r_ready_o  (load_r_ready),
      .write_o    (write[WriteLoad]),
      .wbe_o      (wbe[WriteLoad]),
      .wdata_o    (wdata[WriteLoad]),
      .wgnt_i     (wgnt[WriteLoad]),
      .prog_we_o  (prog_we),
      .prog_addr_o(prog_addr),
      .tab_we_o   (tab_we),
      .tab_addr_o (tab_addr)
  );

  mxu #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Lanes    (Lanes),
      .Rows     (Rows),
      .SpadWords(SpadWords),
      .Tables   (Tables)
  ) u_mxu (
      .clk_i,
      .rst_ni       (rst_n), .test_en_i,
      .sram_pins_i, .sram_status_o(mxu_sram),
      .engine_i     (to_engine[EngineMxu]),
      .instr_i      (instr[EngineMxu]),
      .engine_o     (from_engine[EngineMxu]),
      .stream_o     (read[ReadStream]),
      .stream_gnt_i (rgnt[ReadStream]),
      .stream_data_i(rdata[ReadStream]),
      .weight_o     (read[ReadStationary]),
      .weight_gnt_i (rgnt[ReadStationary]),
      .weight_data_i(rdata[ReadStationary]),
      .acc_valid_o  (acc_valid),
      .acc_data_o   (acc_data),
      .acc_ready_i  (acc_ready),
      .behind_o     (vpu_behind),
      .decode_i     (decode_entries)
  );

  vpu #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Lanes    (Lanes),
      .FullLanes(FullLanes),
      .Rows     (Rows),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables   (Tables)
  ) u_vpu (
      .clk_i,
      .rst_ni       (rst_n), .test_en_i,
      .sram_pins_i,
      .sram_status_o(vpu_sram),
      .engine_i     (to_engine[EngineVpu]),
      .instr_i      (instr[EngineVpu]),
      .engine_o     (from_engine[EngineVpu]),
      .read_o       (read[ReadVpu+:3]),
      .rgnt_i       (rgnt[ReadVpu+:3]),
      .rdata_i      (rdata[ReadVpu+:3]),
      .write_o      (write[WriteVpu]),
      .wbe_o        (wbe[WriteVpu]),
      .wdata_o      (wdata[WriteVpu]),
      .wgnt_i       (wgnt[WriteVpu]),
      .acc_valid_i  (acc_valid),
      .acc_data_i   (acc_data),
      .acc_ready_o  (acc_ready),
      .decode_i     (decode_entries),
      .threshold_i  (thresholds),
      .prog_we_i    (prog_we), .prog_addr_i(prog_addr), .prog_wdata_i(wdata[WriteLoad])
  );

  dma_store #(
      .Depth    (Depth),
      .SpadWords(SpadWords),
      .MaxBurst (StoreBurst),
      .MaxBursts(StoreBursts)
  ) u_store (
      .clk_i,
      .rst_ni    (rst_n),
      .engine_i  (to_engine[EngineStore]),
      .instr_i   (instr[EngineStore]),
      .engine_o  (from_engine[EngineStore]),
      .read_o    (read[ReadStore]),
      .rgnt_i    (rgnt[ReadStore]),
      .rdata_i   (rdata[ReadStore]),
      .aw_valid_o(m_axi_awvalid_o),
      .aw_ready_i(m_axi_awready_i),
      .aw_addr_o (m_axi_awaddr_o),
      .aw_len_o  (m_axi_awlen_o),
      .w_valid_o (m_axi_wvalid_o),
      .w_ready_i (m_axi_wready_i),
      .w_data_o  (m_axi_wdata_o),
      .w_strb_o  (m_axi_wstrb_o),
      .w_last_o  (m_axi_wlast_o),
      .b_valid_i (m_axi_bvalid_i),
      .b_ready_o (m_axi_bready_o),
      .b_error_i (m_axi_bresp_i[1])
  );

  // -- Memories and bus -----------------------------------------------------------------------

  always_comb begin
    first = '{default: 1'b0};
    for (int unsigned p = ReadVpu; p < ReadVpu + 3; p++) first[p] = vpu_behind;
  end

  spad #(
      .Depth     (Depth),
      .SpadWords (SpadWords),
      .ReadPorts (ReadPorts),
      .WritePorts(WritePorts)
  ) u_spad (
      .clk_i, .rst_ni (rst_n), .sram_pins_i, .sram_status_o(spad_sram), .first_i(first),
      .read_i       (read),
      .rgnt_o       (rgnt),
      .rdata_o      (rdata),
      .write_i      (write),
      .wbe_i        (wbe),
      .wdata_i      (wdata),
      .wgnt_o       (wgnt)
  );

  code_tables #(
      .Depth (Depth),
      .Tables(Tables)
  ) u_tables (
      .clk_i, .rst_ni (rst_n), .test_en_i,
      .tab_we_i   (tab_we),
      .tab_addr_i (tab_addr),
      .tab_wdata_i(wdata[WriteLoad]),
      .decode_o   (decode_entries),
      .threshold_o(thresholds)
  );

  read_arbiter u_read_arbiter (
      .clk_i,
      .rst_ni          (rst_n),
      .fetch_ar_i      (fetch_ar),
      .fetch_ar_ready_o(fetch_ar_ready),
      .fetch_r_o       (fetch_r),
      .load_ar_i       (load_ar),
      .load_ar_ready_o (load_ar_ready),
      .load_r_o        (load_r),
      .load_r_ready_i  (load_r_ready),
      .ar_o            (bus_ar),
      .ar_ready_i      (m_axi_arready_i),
      .ar_id_o         (m_axi_arid_o),
      .r_valid_i       (m_axi_rvalid_i),
      .r_ready_o       (m_axi_rready_o),
      .r_id_i          (m_axi_rid_i),
      .r_resp_i        (m_axi_rresp_i)
  );

  // Whole beats, incrementing; writes have identifier 0. Normal memory, bufferable, not looked up in caches; data accesses
  // of an unprivileged, non-secure master.
  assign {m_axi_arvalid_o, m_axi_araddr_o, m_axi_arlen_o} = bus_ar;
  assign m_axi_arsize_o  = 3'($clog2(Depth));
  assign m_axi_arburst_o = 2'b01;
  assign m_axi_arcache_o = 4'b0011;
  assign m_axi_arprot_o  = 3'b010;
  assign m_axi_awid_o    = '0;
  assign m_axi_awsize_o  = 3'($clog2(Depth));
  assign m_axi_awburst_o = 2'b01;
  assign m_axi_awcache_o = 4'b0011;
  assign m_axi_awprot_o  = 3'b010;

  logic unused_ok;
  assign unused_ok = ^{m_axi_rlast_i, m_axi_bid_i, m_axi_bresp_i[0]};
  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
  `CHECK_PARAMETER(QueueInRange, chip_pkg::legal_queue(Queue))
  `CHECK_PARAMETER(LoadBurstsInRange, LoadBursts >= 2 && LoadBursts <= 16)
endmodule

`default_nettype wire
