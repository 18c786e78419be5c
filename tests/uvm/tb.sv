// SPDX-License-Identifier: Apache-2.0
// The chip with the signal names that cocotbext-axi looks for, bits that say when the trace port or the bus has news, and logs
// of the last accumulator rows that left the matrix engine and of the last words that the vector engine wrote, from which
// the scoreboard names a wrong element, also one that was written over.

`default_nettype none

module tb #(
    parameter int unsigned Depth     = 16,    // as in quartdepth
    parameter int unsigned Cols      = 8,     // as in quartdepth
    parameter int unsigned Lanes     = 8,     // as in quartdepth
    parameter int unsigned FullLanes = 8,     // as in quartdepth
    parameter int unsigned Rows      = 16,    // as in quartdepth
    parameter int unsigned SpadWords = 1024,  // as in quartdepth
    parameter int unsigned ProgWords = 32,    // as in quartdepth
    parameter int unsigned Tables    = 8,     // as in quartdepth
    parameter int unsigned Queue     = 2,     // as in quartdepth
    parameter int unsigned LoadBursts = 2,    // as in quartdepth
    parameter int unsigned LogSize   = 8192   // rows, words in the logs
) (
    input  logic               clk,
    input  logic               rst_n,
    output logic               irq,
    output logic               news,
    output logic               bus_offers,  // the chip offers an address or data
    output logic               bus_busy,
    output logic [        9:0] bus,  // valid and ready of AR, R, AW, W, B
    output logic [        3:0] retire,
    output logic [  3:0][31:0] retire_pc,
    output logic [  3:0][31:0] retire_sig,
    output logic [        0:0] m_axi_arid,
    output logic [       31:0] m_axi_araddr,
    output logic [        7:0] m_axi_arlen,
    output logic [        2:0] m_axi_arsize,
    output logic [        1:0] m_axi_arburst,
    output logic [        3:0] m_axi_arcache,
    output logic [        2:0] m_axi_arprot,
    output logic               m_axi_arvalid,
    input  logic               m_axi_arready,
    input  logic [        0:0] m_axi_rid,
    input  logic [8*Depth-1:0] m_axi_rdata,
    input  logic [        1:0] m_axi_rresp,
    input  logic               m_axi_rlast,
    input  logic               m_axi_rvalid,
    output logic               m_axi_rready,
    output logic [        0:0] m_axi_awid,
    output logic [       31:0] m_axi_awaddr,
    output logic [        7:0] m_axi_awlen,
    output logic [        2:0] m_axi_awsize,
    output logic [        1:0] m_axi_awburst,
    output logic [        3:0] m_axi_awcache,
    output logic [        2:0] m_axi_awprot,
    output logic               m_axi_awvalid,
    input  logic               m_axi_awready,
    output logic [8*Depth-1:0] m_axi_wdata,
    output logic [  Depth-1:0] m_axi_wstrb,
    output logic               m_axi_wlast,
    output logic               m_axi_wvalid,
    input  logic               m_axi_wready,
    input  logic [        0:0] m_axi_bid,
    input  logic [        1:0] m_axi_bresp,
    input  logic               m_axi_bvalid,
    output logic               m_axi_bready,
    input  logic [        8:0] s_axil_awaddr,
    input  logic [        2:0] s_axil_awprot,
    input  logic               s_axil_awvalid,
    output logic               s_axil_awready,
    input  logic [       31:0] s_axil_wdata,
    input  logic [        3:0] s_axil_wstrb,
    input  logic               s_axil_wvalid,
    output logic               s_axil_wready,
    output logic [        1:0] s_axil_bresp,
    output logic               s_axil_bvalid,
    input  logic               s_axil_bready,
    input  logic [        8:0] s_axil_araddr,
    input  logic [        2:0] s_axil_arprot,
    input  logic               s_axil_arvalid,
    output logic               s_axil_arready,
    output logic [       31:0] s_axil_rdata,
    output logic [        1:0] s_axil_rresp,
    output logic               s_axil_rvalid,
    input  logic               s_axil_rready
);
  logic [ 3:0]       unused_issue;
  logic [ 3:0][31:0] unused_issue_pc;
  logic [ 6:0]       unused_class;
  sram_pkg::status_t unused_status;
  logic [31:0] row_count, write_count;  // since reset
  logic [Lanes-1:0][31:0] row_log[LogSize];
  logic [8*Depth-1:0] write_log[LogSize];
  logic [Depth-1:0] write_log_be[LogSize];
  logic [31:0] write_log_addr[LogSize];

  assign news = |retire;
  assign bus_offers = m_axi_arvalid || m_axi_awvalid || m_axi_wvalid;
  assign bus_busy = bus_offers || m_axi_rvalid || m_axi_bvalid;
  assign bus = {m_axi_arvalid, m_axi_arready, m_axi_rvalid, m_axi_rready, m_axi_awvalid, m_axi_awready,
                m_axi_wvalid, m_axi_wready, m_axi_bvalid, m_axi_bready};

  always_ff @(posedge clk or negedge rst_n) begin
    if (!rst_n) begin
      row_count   <= '0;
      write_count <= '0;
    end else begin
      if (u_chip.acc_valid && u_chip.acc_ready) begin
        row_count                  <= row_count + 1'b1;
        row_log[row_count%LogSize] <= u_chip.acc_data;
      end
      if (u_chip.write[0].valid && u_chip.wgnt[0]) begin
        write_count                         <= write_count + 1'b1;
        write_log[write_count%LogSize]      <= u_chip.wdata[0];
        write_log_be[write_count%LogSize]   <= u_chip.wbe[0];
        write_log_addr[write_count%LogSize] <= 32'(u_chip.write[0].addr);
      end
    end
  end

  quartdepth #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Lanes    (Lanes),
      .FullLanes(FullLanes),
      .Rows     (Rows),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables   (Tables),
      .Queue    (Queue),
      .LoadBursts(LoadBursts)
  ) u_chip (
      .clk_i             (clk),
      .rst_ni            (rst_n),
      .test_en_i         (1'b0),
      .sram_pins_i       ('0),
      .sram_status_o     (unused_status),
      .irq_o             (irq),
      .trace_issue_o     (unused_issue),
      .trace_issue_pc_o  (unused_issue_pc),
      .trace_retire_o    (retire),
      .trace_retire_pc_o (retire_pc),
      .trace_retire_sig_o(retire_sig),
      .trace_mxu_class_o (unused_class),
      .m_axi_arid_o(m_axi_arid),
      .m_axi_araddr_o(m_axi_araddr),
      .m_axi_arlen_o(m_axi_arlen),
      .m_axi_arsize_o(m_axi_arsize),
      .m_axi_arburst_o(m_axi_arburst),
      .m_axi_arcache_o(m_axi_arcache),
      .m_axi_arprot_o(m_axi_arprot),
      .m_axi_arvalid_o(m_axi_arvalid),
      .m_axi_arready_i(m_axi_arready),
      .m_axi_rid_i(m_axi_rid),
      .m_axi_rdata_i(m_axi_rdata),
      .m_axi_rresp_i(m_axi_rresp),
      .m_axi_rlast_i(m_axi_rlast),
      .m_axi_rvalid_i(m_axi_rvalid),
      .m_axi_rready_o(m_axi_rready),
      .m_axi_awid_o(m_axi_awid),
      .m_axi_awaddr_o(m_axi_awaddr),
      .m_axi_awlen_o(m_axi_awlen),
      .m_axi_awsize_o(m_axi_awsize),
      .m_axi_awburst_o(m_axi_awburst),
      .m_axi_awcache_o(m_axi_awcache),
      .m_axi_awprot_o(m_axi_awprot),
      .m_axi_awvalid_o(m_axi_awvalid),
      .m_axi_awready_i(m_axi_awready),
      .m_axi_wdata_o(m_axi_wdata),
      .m_axi_wstrb_o(m_axi_wstrb),
      .m_axi_wlast_o(m_axi_wlast),
      .m_axi_wvalid_o(m_axi_wvalid),
      .m_axi_wready_i(m_axi_wready),
      .m_axi_bid_i(m_axi_bid),
      .m_axi_bresp_i(m_axi_bresp),
      .m_axi_bvalid_i(m_axi_bvalid),
      .m_axi_bready_o(m_axi_bready),
      .s_axil_awaddr_i(s_axil_awaddr),
      .s_axil_awprot_i(s_axil_awprot),
      .s_axil_awvalid_i(s_axil_awvalid),
      .s_axil_awready_o(s_axil_awready),
      .s_axil_wdata_i(s_axil_wdata),
      .s_axil_wstrb_i(s_axil_wstrb),
      .s_axil_wvalid_i(s_axil_wvalid),
      .s_axil_wready_o(s_axil_wready),
      .s_axil_bresp_o(s_axil_bresp),
      .s_axil_bvalid_o(s_axil_bvalid),
      .s_axil_bready_i(s_axil_bready),
      .s_axil_araddr_i(s_axil_araddr),
      .s_axil_arprot_i(s_axil_arprot),
      .s_axil_arvalid_i(s_axil_arvalid),
      .s_axil_arready_o(s_axil_arready),
      .s_axil_rdata_o(s_axil_rdata),
      .s_axil_rresp_o(s_axil_rresp),
      .s_axil_rvalid_o(s_axil_rvalid),
      .s_axil_rready_i(s_axil_rready)
  );
endmodule

`default_nettype wire
