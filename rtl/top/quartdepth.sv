// The QuartDepth chip: four engines around one scratchpad, driven by a program in memory (docs/architecture.md).
// One AXI4 master with beats of a scratchpad word, an AXI4-Lite slave for the registers (docs/registers.md), a level
// interrupt, and a trace port that shows every instruction as its engine takes and retires it.
// Over 400 lines because it is the wiring: two buses' ports and one instance of each block, whose logic is elsewhere.

`include "assertions.svh"
`include "registers.svh"

module quartdepth #(
    parameter int unsigned Depth     = 16,     // bytes of a scratchpad word (D)
    parameter int unsigned Cols      = 8,      // columns of the MXU, lanes of the VPU (C)
    parameter int unsigned Rows      = 64,     // rows of an accumulator bank (R)
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    parameter int unsigned Banks     = 4,      // scratchpad banks
    parameter int unsigned ProgWords = 64,     // microwords in the program store
    parameter int unsigned Tables    = 8,      // code tables
    parameter int unsigned Queue     = 4       // instructions that wait in front of each engine
) (
    input  logic               clk_i,
    input  logic               rst_ni,
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
    output logic [        6:0] trace_mxu_class_o   // one-hot, the MXU's cycle class
);
  import chip_pkg::*;
  import isa_pkg::*;

  localparam int unsigned AddrW = $clog2(SpadWords);
  localparam int unsigned ProgAddrW = $clog2(ProgWords * MicrowordBytes / Depth);
  localparam int unsigned TabAddrW = $clog2((Tables * TableBytes + Depth - 1) / Depth);
  localparam int unsigned ReadPorts = 6;
  localparam int unsigned WritePorts = 2;

  // Short bursts and few beats under way: a fetch waits behind at most so many beats of LOAD.
  localparam int unsigned LoadBurst = 64;
  localparam int unsigned LoadBeats = 128;
  localparam int unsigned StoreBurst = 64;
  localparam int unsigned StoreBursts = 8;

  // -- Registers ------------------------------------------------------------------------------

  quartdepth_csr_pkg::quartdepth_csr__in_t  csr_in;
  quartdepth_csr_pkg::quartdepth_csr__out_t csr_out;

  quartdepth_csr u_csr (
      .clk           (clk_i),
      .arst_n        (rst_ni),
      .s_axil_awready(s_axil_awready_o),
      .s_axil_awvalid(s_axil_awvalid_i),
      .s_axil_awaddr (s_axil_awaddr_i),
      .s_axil_awprot (s_axil_awprot_i),
      .s_axil_wready (s_axil_wready_o),
      .s_axil_wvalid (s_axil_wvalid_i),
      .s_axil_wdata  (s_axil_wdata_i),
      .s_axil_wstrb  (s_axil_wstrb_i),
      .s_axil_bready (s_axil_bready_i),
      .s_axil_bvalid (s_axil_bvalid_o),
      .s_axil_bresp  (s_axil_bresp_o),
      .s_axil_arready(s_axil_arready_o),
      .s_axil_arvalid(s_axil_arvalid_i),
      .s_axil_araddr (s_axil_araddr_i),
      .s_axil_arprot (s_axil_arprot_i),
      .s_axil_rready (s_axil_rready_i),
      .s_axil_rvalid (s_axil_rvalid_o),
      .s_axil_rdata  (s_axil_rdata_o),
      .s_axil_rresp  (s_axil_rresp_o),
      .hwif_in       (csr_in),
      .hwif_out      (csr_out)
  );

  // -- Control --------------------------------------------------------------------------------

  logic accept, begin_run, running, stop, done, trapped, chip_idle;
  logic fetch_idle, fetch_exhausted, fetch_valid, fetch_ready, fetch_error;
  logic [511:0] fetch_instr;
  logic decode_busy, decode_halt, decode_trap;
  header_t instr;
  pc_t decode_pc, trap_pc;
  trap_e decode_cause, trap_cause;
  logic [2:0] trap_source;
  logic [Engines-1:0] push_valid, push_ready, queue_busy;
  logic [Engines-1:0] instr_valid, instr_ready, token_wait, issue, retire, fault, engine_idle;
  header_t queued[Engines];
  pc_t [Engines-1:0] issue_pc, oldest_pc;
  token_t [Engines-1:0] tokens;
  trap_e [Engines-1:0] fault_cause;
  logic [Engines-1:0][31:0] retire_sig;
  logic acc_valid, acc_ready;
  logic [Cols-1:0][31:0] acc_data;
  logic fetch_ar_valid, fetch_ar_ready, fetch_r_valid;
  logic [31:0] fetch_ar_addr;
  logic [7:0] fetch_ar_len;
  logic load_ar_valid, load_ar_ready, load_r_valid, load_r_ready;
  logic [31:0] load_ar_addr;
  logic [7:0] load_ar_len;
  logic [8*Depth-1:0] r_data;
  logic r_error;

  assign stop = !running;

  control u_control (
      .clk_i,
      .rst_ni,
      .start_i       (csr_out.CONTROL.start.value),
      .clear_i       (csr_out.CONTROL.clear.value),
      .watchdog_i    (csr_out.WATCHDOG.limit.value),
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
      .rows_waiting_i(acc_valid),
      .accept_o      (accept),
      .begin_o       (begin_run),
      .running_o     (running),
      .done_o        (done),
      .trapped_o     (trapped),
      .idle_o        (chip_idle),
      .cause_o       (trap_cause),
      .source_o      (trap_source),
      .pc_o          (trap_pc)
  );

  assign irq_o = (done && csr_out.IRQ_ENABLE.done.value) ||
                 (trapped && csr_out.IRQ_ENABLE.trapped.value);

  fetch #(
      .Depth(Depth)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .stop_i      (stop),
      .accept_i    (accept),
      .prog_base_i (csr_out.PROG_BASE.line.value),
      .prog_count_i(csr_out.PROG_COUNT.count.value),
      .idle_o      (fetch_idle),
      .exhausted_o (fetch_exhausted),
      .valid_o     (fetch_valid),
      .ready_i     (fetch_ready),
      .instr_o     (fetch_instr),
      .error_o     (fetch_error),
      .ar_valid_o  (fetch_ar_valid),
      .ar_ready_i  (fetch_ar_ready),
      .ar_addr_o   (fetch_ar_addr),
      .ar_len_o    (fetch_ar_len),
      .r_valid_i   (fetch_r_valid),
      .r_data_i    (r_data),
      .r_error_i   (r_error)
  );

  decode #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .ProgWords(ProgWords)
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

  for (genvar e = 0; e < Engines; e++) begin : gen_queue
    engine_queue #(
        .Queue(Queue)
    ) u_queue (
        .clk_i,
        .rst_ni,
        .stop_i       (stop),
        .push_valid_i (push_valid[e]),
        .push_ready_o (push_ready[e]),
        .push_instr_i (instr),
        .push_pc_i    (decode_pc),
        .tokens_i     (tokens),
        .instr_valid_o(instr_valid[e]),
        .instr_ready_i(instr_ready[e]),
        .instr_o      (queued[e]),
        .token_wait_o (token_wait[e]),
        .retire_i     (retire[e]),
        .issue_o      (issue[e]),
        .issue_pc_o   (issue_pc[e]),
        .busy_o       (queue_busy[e]),
        .oldest_pc_o  (oldest_pc[e])
    );
    assign trace_issue_pc_o[e]  = 32'(issue_pc[e]);
    assign trace_retire_pc_o[e] = 32'(oldest_pc[e]);
  end

  assign trace_issue_o      = issue;
  assign trace_retire_o     = retire;
  assign trace_retire_sig_o = retire_sig;

  tokens u_tokens (
      .clk_i,
      .rst_ni,
      .begin_i (begin_run),
      .retire_i(retire),
      .tokens_o(tokens)
  );

  // Signatures: the last one of each engine and the sum of all.
  logic [Engines-1:0][31:0] sig_d, sig_q, sig_sum_d, sig_sum_q;

  always_comb begin
    sig_d     = sig_q;
    sig_sum_d = sig_sum_q;
    for (int unsigned e = 0; e < Engines; e++) begin
      if (retire[e]) begin
        sig_d[e]     = retire_sig[e];
        sig_sum_d[e] = sig_sum_q[e] + retire_sig[e];
      end
    end
    if (begin_run) begin
      sig_d     = '0;
      sig_sum_d = '0;
    end
  end

  `FFL(sig_q, sig_d, begin_run || retire != '0, '0)
  `FFL(sig_sum_q, sig_sum_d, begin_run || retire != '0, '0)

  // -- Engines --------------------------------------------------------------------------------

  logic               rreq [ReadPorts];
  logic [  AddrW-1:0] raddr[ReadPorts];
  logic               rgnt [ReadPorts];
  logic [8*Depth-1:0] rdata[ReadPorts];
  logic               wreq [WritePorts];
  logic [  AddrW-1:0] waddr[WritePorts];
  logic [  Depth-1:0] wbe  [WritePorts];
  logic [8*Depth-1:0] wdata[WritePorts];
  logic               wgnt [WritePorts];

  localparam int unsigned ReadStream = 0;
  localparam int unsigned ReadStationary = 1;
  localparam int unsigned ReadA = 2;
  localparam int unsigned ReadB = 3;
  localparam int unsigned ReadParam = 4;
  localparam int unsigned ReadStore = 5;
  localparam int unsigned WriteVpu = 0;
  localparam int unsigned WriteLoad = 1;

  logic prog_we, tab_we;
  logic [ProgAddrW-1:0] prog_addr;
  logic [TabAddrW-1:0] tab_addr;
  logic signed [7:0] decode_entries[Tables][16];
  logic signed [15:0] thresholds[Tables][15];
  logic [DmaClasses-1:0] load_class, store_class;
  logic [MxuClasses-1:0] mxu_class;
  logic [VpuClasses-1:0] vpu_class;
  assign trace_mxu_class_o = mxu_class;

  dma_load #(
      .Depth    (Depth),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables   (Tables),
      .MaxBurst (LoadBurst),
      .MaxBeats (LoadBeats)
  ) u_load (
      .clk_i,
      .rst_ni,
      .stop_i       (stop),
      .instr_valid_i(instr_valid[EngineLoad]),
      .instr_ready_o(instr_ready[EngineLoad]),
      .instr_i      (queued[EngineLoad]),
      .token_wait_i (token_wait[EngineLoad]),
      .retire_o     (retire[EngineLoad]),
      .retire_sig_o (retire_sig[EngineLoad]),
      .fault_o      (fault[EngineLoad]),
      .fault_cause_o(fault_cause[EngineLoad]),
      .idle_o       (engine_idle[EngineLoad]),
      .class_o      (load_class),
      .ar_valid_o   (load_ar_valid),
      .ar_ready_i   (load_ar_ready),
      .ar_addr_o    (load_ar_addr),
      .ar_len_o     (load_ar_len),
      .r_valid_i    (load_r_valid),
      .r_ready_o    (load_r_ready),
      .r_data_i     (r_data),
      .r_error_i    (r_error),
      .wreq_o       (wreq[WriteLoad]),
      .waddr_o      (waddr[WriteLoad]),
      .wbe_o        (wbe[WriteLoad]),
      .wdata_o      (wdata[WriteLoad]),
      .wgnt_i       (wgnt[WriteLoad]),
      .prog_we_o    (prog_we),
      .prog_addr_o  (prog_addr),
      .tab_we_o     (tab_we),
      .tab_addr_o   (tab_addr)
  );

  mxu #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .SpadWords(SpadWords),
      .Tables   (Tables)
  ) u_mxu (
      .clk_i,
      .rst_ni,
      .stop_i       (stop),
      .instr_valid_i(instr_valid[EngineMxu]),
      .instr_ready_o(instr_ready[EngineMxu]),
      .instr_i      (queued[EngineMxu]),
      .token_wait_i (token_wait[EngineMxu]),
      .retire_o     (retire[EngineMxu]),
      .retire_sig_o (retire_sig[EngineMxu]),
      .fault_o      (fault[EngineMxu]),
      .fault_cause_o(fault_cause[EngineMxu]),
      .idle_o       (engine_idle[EngineMxu]),
      .class_o      (mxu_class),
      .stream_rreq_o  (rreq[ReadStream]),
      .stream_raddr_o (raddr[ReadStream]),
      .stream_rgnt_i  (rgnt[ReadStream]),
      .stream_rdata_i (rdata[ReadStream]),
      .weight_rreq_o  (rreq[ReadStationary]),
      .weight_raddr_o (raddr[ReadStationary]),
      .weight_rgnt_i  (rgnt[ReadStationary]),
      .weight_rdata_i (rdata[ReadStationary]),
      .acc_valid_o  (acc_valid),
      .acc_data_o   (acc_data),
      .acc_ready_i  (acc_ready),
      .decode_i     (decode_entries)
  );

  vpu #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables   (Tables)
  ) u_vpu (
      .clk_i,
      .rst_ni,
      .stop_i       (stop),
      .instr_valid_i(instr_valid[EngineVpu]),
      .instr_ready_o(instr_ready[EngineVpu]),
      .instr_i      (queued[EngineVpu]),
      .token_wait_i (token_wait[EngineVpu]),
      .retire_o     (retire[EngineVpu]),
      .retire_sig_o (retire_sig[EngineVpu]),
      .fault_o      (fault[EngineVpu]),
      .fault_cause_o(fault_cause[EngineVpu]),
      .idle_o       (engine_idle[EngineVpu]),
      .class_o      (vpu_class),
      .a_rreq_o     (rreq[ReadA]),
      .a_raddr_o    (raddr[ReadA]),
      .a_rgnt_i     (rgnt[ReadA]),
      .a_rdata_i    (rdata[ReadA]),
      .b_rreq_o     (rreq[ReadB]),
      .b_raddr_o    (raddr[ReadB]),
      .b_rgnt_i     (rgnt[ReadB]),
      .b_rdata_i    (rdata[ReadB]),
      .p_rreq_o     (rreq[ReadParam]),
      .p_raddr_o    (raddr[ReadParam]),
      .p_rgnt_i     (rgnt[ReadParam]),
      .p_rdata_i    (rdata[ReadParam]),
      .wreq_o       (wreq[WriteVpu]),
      .waddr_o      (waddr[WriteVpu]),
      .wbe_o        (wbe[WriteVpu]),
      .wdata_o      (wdata[WriteVpu]),
      .wgnt_i       (wgnt[WriteVpu]),
      .acc_valid_i  (acc_valid),
      .acc_data_i   (acc_data),
      .acc_ready_o  (acc_ready),
      .decode_i     (decode_entries),
      .threshold_i  (thresholds),
      .prog_we_i    (prog_we),
      .prog_addr_i  (prog_addr),
      .prog_wdata_i (wdata[WriteLoad])
  );

  dma_store #(
      .Depth    (Depth),
      .SpadWords(SpadWords),
      .MaxBurst (StoreBurst),
      .MaxBursts(StoreBursts)
  ) u_store (
      .clk_i,
      .rst_ni,
      .stop_i       (stop),
      .instr_valid_i(instr_valid[EngineStore]),
      .instr_ready_o(instr_ready[EngineStore]),
      .instr_i      (queued[EngineStore]),
      .token_wait_i (token_wait[EngineStore]),
      .retire_o     (retire[EngineStore]),
      .retire_sig_o (retire_sig[EngineStore]),
      .fault_o      (fault[EngineStore]),
      .fault_cause_o(fault_cause[EngineStore]),
      .idle_o       (engine_idle[EngineStore]),
      .class_o      (store_class),
      .rreq_o       (rreq[ReadStore]),
      .raddr_o      (raddr[ReadStore]),
      .rgnt_i       (rgnt[ReadStore]),
      .rdata_i      (rdata[ReadStore]),
      .aw_valid_o   (m_axi_awvalid_o),
      .aw_ready_i   (m_axi_awready_i),
      .aw_addr_o    (m_axi_awaddr_o),
      .aw_len_o     (m_axi_awlen_o),
      .w_valid_o    (m_axi_wvalid_o),
      .w_ready_i    (m_axi_wready_i),
      .w_data_o     (m_axi_wdata_o),
      .w_strb_o     (m_axi_wstrb_o),
      .w_last_o     (m_axi_wlast_o),
      .b_valid_i    (m_axi_bvalid_i),
      .b_ready_o    (m_axi_bready_o),
      .b_error_i    (m_axi_bresp_i[1])
  );

  // -- Memories and bus -----------------------------------------------------------------------

  spad #(
      .Depth     (Depth),
      .SpadWords (SpadWords),
      .Banks     (Banks),
      .ReadPorts (ReadPorts),
      .WritePorts(WritePorts)
  ) u_spad (
      .clk_i,
      .rst_ni,
      .rreq_i (rreq),
      .raddr_i(raddr),
      .rgnt_o (rgnt),
      .rdata_o(rdata),
      .wreq_i (wreq),
      .waddr_i(waddr),
      .wbe_i  (wbe),
      .wdata_i(wdata),
      .wgnt_o (wgnt)
  );

  code_tables #(
      .Depth (Depth),
      .Tables(Tables)
  ) u_tables (
      .clk_i,
      .rst_ni,
      .tab_we_i   (tab_we),
      .tab_addr_i (tab_addr),
      .tab_wdata_i(wdata[WriteLoad]),
      .decode_o   (decode_entries),
      .threshold_o(thresholds)
  );

  read_arbiter #(
      .Depth(Depth)
  ) u_read_arbiter (
      .clk_i,
      .rst_ni,
      .fetch_ar_valid_i(fetch_ar_valid),
      .fetch_ar_ready_o(fetch_ar_ready),
      .fetch_ar_addr_i (fetch_ar_addr),
      .fetch_ar_len_i  (fetch_ar_len),
      .fetch_r_valid_o (fetch_r_valid),
      .load_ar_valid_i (load_ar_valid),
      .load_ar_ready_o (load_ar_ready),
      .load_ar_addr_i  (load_ar_addr),
      .load_ar_len_i   (load_ar_len),
      .load_r_valid_o  (load_r_valid),
      .load_r_ready_i  (load_r_ready),
      .r_data_o        (r_data),
      .r_error_o       (r_error),
      .ar_valid_o      (m_axi_arvalid_o),
      .ar_ready_i      (m_axi_arready_i),
      .ar_id_o         (m_axi_arid_o),
      .ar_addr_o       (m_axi_araddr_o),
      .ar_len_o        (m_axi_arlen_o),
      .r_valid_i       (m_axi_rvalid_i),
      .r_ready_o       (m_axi_rready_o),
      .r_id_i          (m_axi_rid_i),
      .r_data_i        (m_axi_rdata_i),
      .r_resp_i        (m_axi_rresp_i)
  );

  // Whole beats, incrementing; writes have identifier 0. Normal memory, which may be buffered but is not looked up in
  // caches; data accesses of an unprivileged, non-secure master.
  assign m_axi_arsize_o  = 3'($clog2(Depth));
  assign m_axi_arburst_o = 2'b01;
  assign m_axi_arcache_o = 4'b0011;
  assign m_axi_arprot_o  = 3'b010;
  assign m_axi_awid_o    = '0;
  assign m_axi_awsize_o  = 3'($clog2(Depth));
  assign m_axi_awburst_o = 2'b01;
  assign m_axi_awcache_o = 4'b0011;
  assign m_axi_awprot_o  = 3'b010;

  // -- Counters and what the registers show ---------------------------------------------------

  counters u_counters (
      .clk_i,
      .rst_ni,
      .begin_i      (begin_run),
      .running_i    (running),
      .load_class_i (load_class),
      .mxu_class_i  (mxu_class),
      .vpu_class_i  (vpu_class),
      .store_class_i(store_class),
      .req_i        (csr_out.COUNTERS.req),
      .req_is_wr_i  (csr_out.COUNTERS.req_is_wr),
      .addr_i       (csr_out.COUNTERS.addr),
      .rd_ack_o     (csr_in.COUNTERS.rd_ack),
      .rd_data_o    (csr_in.COUNTERS.rd_data),
      .wr_ack_o     (csr_in.COUNTERS.wr_ack)
  );

  assign csr_in.SIZES.depth.next       = 8'(Depth);
  assign csr_in.SIZES.cols.next        = 8'(Cols);
  assign csr_in.SIZES.rows.next        = 8'(Rows);
  assign csr_in.SIZES.banks.next       = 4'(Banks);
  assign csr_in.SIZES.queue.next       = 4'(Queue);
  assign csr_in.SPAD.words.next        = SpadWords;
  assign csr_in.STORES.prog_words.next = 16'(ProgWords);
  assign csr_in.STORES.tables.next     = 8'(Tables);
  assign csr_in.STATUS.running.next    = running;
  assign csr_in.STATUS.done.next       = done;
  assign csr_in.STATUS.trapped.next    = trapped;
  assign csr_in.STATUS.idle.next       = chip_idle;
  assign csr_in.TRAP.cause.next        = trap_cause;
  assign csr_in.TRAP.engine.next       = trap_source;
  assign csr_in.TRAP_PC.index.next     = trap_pc;

  assign csr_in.RETIRED_LOAD.count.next   = tokens[EngineLoad];
  assign csr_in.RETIRED_MXU.count.next    = tokens[EngineMxu];
  assign csr_in.RETIRED_VPU.count.next    = tokens[EngineVpu];
  assign csr_in.RETIRED_STORE.count.next  = tokens[EngineStore];
  assign csr_in.SIG_LOAD.value.next       = sig_q[EngineLoad];
  assign csr_in.SIG_MXU.value.next        = sig_q[EngineMxu];
  assign csr_in.SIG_VPU.value.next        = sig_q[EngineVpu];
  assign csr_in.SIG_STORE.value.next      = sig_q[EngineStore];
  assign csr_in.SIG_SUM_LOAD.value.next   = sig_sum_q[EngineLoad];
  assign csr_in.SIG_SUM_MXU.value.next    = sig_sum_q[EngineMxu];
  assign csr_in.SIG_SUM_VPU.value.next    = sig_sum_q[EngineVpu];
  assign csr_in.SIG_SUM_STORE.value.next  = sig_sum_q[EngineStore];

  logic unused_ok;
  assign unused_ok = ^{m_axi_rlast_i, m_axi_bid_i, m_axi_bresp_i[0], csr_out.COUNTERS.wr_data,
                       csr_out.COUNTERS.wr_biten};

  if (Rows > 255 || Depth > 64 || Queue > 15) begin : gen_bad_size
    $fatal(1, "sizes beyond what registers and fetch can hold");
  end
endmodule
