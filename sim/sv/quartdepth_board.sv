// The chip as the C++ memory drives it: what reaches an input in one cycle is at the chip's port in the next, as from
// registers outside. So every input changes with the clock, and a simulator computes what depends on it once a cycle.

`include "registers.svh"

module quartdepth_board #(
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
  logic               m_axi_arready_q;
  logic [        0:0] m_axi_rid_q;
  logic [8*Depth-1:0] m_axi_rdata_q;
  logic [        1:0] m_axi_rresp_q;
  logic               m_axi_rlast_q;
  logic               m_axi_rvalid_q;
  logic               m_axi_awready_q;
  logic               m_axi_wready_q;
  logic [        0:0] m_axi_bid_q;
  logic [        1:0] m_axi_bresp_q;
  logic               m_axi_bvalid_q;
  logic [        8:0] s_axil_awaddr_q;
  logic [        2:0] s_axil_awprot_q;
  logic               s_axil_awvalid_q;
  logic [       31:0] s_axil_wdata_q;
  logic [        3:0] s_axil_wstrb_q;
  logic               s_axil_wvalid_q;
  logic               s_axil_bready_q;
  logic [        8:0] s_axil_araddr_q;
  logic [        2:0] s_axil_arprot_q;
  logic               s_axil_arvalid_q;
  logic               s_axil_rready_q;

  `FFLNR(m_axi_arready_q, m_axi_arready_i, 1'b1)
  `FFLNR(m_axi_rid_q, m_axi_rid_i, 1'b1)
  `FFLNR(m_axi_rdata_q, m_axi_rdata_i, 1'b1)
  `FFLNR(m_axi_rresp_q, m_axi_rresp_i, 1'b1)
  `FFLNR(m_axi_rlast_q, m_axi_rlast_i, 1'b1)
  `FFLNR(m_axi_rvalid_q, m_axi_rvalid_i, 1'b1)
  `FFLNR(m_axi_awready_q, m_axi_awready_i, 1'b1)
  `FFLNR(m_axi_wready_q, m_axi_wready_i, 1'b1)
  `FFLNR(m_axi_bid_q, m_axi_bid_i, 1'b1)
  `FFLNR(m_axi_bresp_q, m_axi_bresp_i, 1'b1)
  `FFLNR(m_axi_bvalid_q, m_axi_bvalid_i, 1'b1)
  `FFLNR(s_axil_awaddr_q, s_axil_awaddr_i, 1'b1)
  `FFLNR(s_axil_awprot_q, s_axil_awprot_i, 1'b1)
  `FFLNR(s_axil_awvalid_q, s_axil_awvalid_i, 1'b1)
  `FFLNR(s_axil_wdata_q, s_axil_wdata_i, 1'b1)
  `FFLNR(s_axil_wstrb_q, s_axil_wstrb_i, 1'b1)
  `FFLNR(s_axil_wvalid_q, s_axil_wvalid_i, 1'b1)
  `FFLNR(s_axil_bready_q, s_axil_bready_i, 1'b1)
  `FFLNR(s_axil_araddr_q, s_axil_araddr_i, 1'b1)
  `FFLNR(s_axil_arprot_q, s_axil_arprot_i, 1'b1)
  `FFLNR(s_axil_arvalid_q, s_axil_arvalid_i, 1'b1)
  `FFLNR(s_axil_rready_q, s_axil_rready_i, 1'b1)

  quartdepth #(
      .Depth(Depth),
      .Cols(Cols),
      .Rows(Rows),
      .SpadWords(SpadWords),
      .Banks(Banks),
      .ProgWords(ProgWords),
      .Tables(Tables),
      .Queue(Queue)
  ) u_chip (
      .clk_i,
      .rst_ni,
      .irq_o,
      .m_axi_arid_o,
      .m_axi_araddr_o,
      .m_axi_arlen_o,
      .m_axi_arsize_o,
      .m_axi_arburst_o,
      .m_axi_arvalid_o,
      .m_axi_arready_i(m_axi_arready_q),
      .m_axi_rid_i(m_axi_rid_q),
      .m_axi_rdata_i(m_axi_rdata_q),
      .m_axi_rresp_i(m_axi_rresp_q),
      .m_axi_rlast_i(m_axi_rlast_q),
      .m_axi_rvalid_i(m_axi_rvalid_q),
      .m_axi_rready_o,
      .m_axi_awid_o,
      .m_axi_awaddr_o,
      .m_axi_awlen_o,
      .m_axi_awsize_o,
      .m_axi_awburst_o,
      .m_axi_awvalid_o,
      .m_axi_awready_i(m_axi_awready_q),
      .m_axi_wdata_o,
      .m_axi_wstrb_o,
      .m_axi_wlast_o,
      .m_axi_wvalid_o,
      .m_axi_wready_i(m_axi_wready_q),
      .m_axi_bid_i(m_axi_bid_q),
      .m_axi_bresp_i(m_axi_bresp_q),
      .m_axi_bvalid_i(m_axi_bvalid_q),
      .m_axi_bready_o,
      .s_axil_awaddr_i(s_axil_awaddr_q),
      .s_axil_awprot_i(s_axil_awprot_q),
      .s_axil_awvalid_i(s_axil_awvalid_q),
      .s_axil_awready_o,
      .s_axil_wdata_i(s_axil_wdata_q),
      .s_axil_wstrb_i(s_axil_wstrb_q),
      .s_axil_wvalid_i(s_axil_wvalid_q),
      .s_axil_wready_o,
      .s_axil_bresp_o,
      .s_axil_bvalid_o,
      .s_axil_bready_i(s_axil_bready_q),
      .s_axil_araddr_i(s_axil_araddr_q),
      .s_axil_arprot_i(s_axil_arprot_q),
      .s_axil_arvalid_i(s_axil_arvalid_q),
      .s_axil_arready_o,
      .s_axil_rdata_o,
      .s_axil_rresp_o,
      .s_axil_rvalid_o,
      .s_axil_rready_i(s_axil_rready_q),
      .trace_issue_o,
      .trace_issue_pc_o,
      .trace_retire_o,
      .trace_retire_pc_o,
      .trace_retire_sig_o,
      .trace_mxu_class_o
  );
endmodule
