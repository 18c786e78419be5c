// SPDX-License-Identifier: Apache-2.0
// The chip as the C++ memory drives it: what reaches an input in one cycle is at the chip's port in the next, as from
// registers outside. So every input changes with the clock, and a simulator computes what depends on it once a cycle.
// The registers have the names of the chip's inputs, and the other ports those of its outputs: `.*` connects them.

`default_nettype none
`include "registers.svh"

module quartdepth_board #(
    parameter int unsigned Depth     = 16,     // bytes of a scratchpad word (D)
    parameter int unsigned Cols      = 8,      // columns of the MXU (C)
    parameter int unsigned Lanes     = 8,      // lanes of the VPU
    parameter int unsigned FullLanes = 8,      // of these, full ones
    parameter int unsigned Rows      = 64,     // rows of an accumulator bank (R)
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    parameter int unsigned ProgWords = 64,     // microwords in the program store
    parameter int unsigned Tables    = 8,      // code tables
    parameter int unsigned Queue     = 4,      // instructions that wait in front of each engine
    parameter int unsigned LoadBursts = 8      // bursts that LOAD has under way
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
    input  logic               m_axi_arready_d,
    input  logic [        0:0] m_axi_rid_d,
    input  logic [8*Depth-1:0] m_axi_rdata_d,
    input  logic [        1:0] m_axi_rresp_d,
    input  logic               m_axi_rlast_d,
    input  logic               m_axi_rvalid_d,
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
    input  logic               m_axi_awready_d,
    output logic [8*Depth-1:0] m_axi_wdata_o,
    output logic [  Depth-1:0] m_axi_wstrb_o,
    output logic               m_axi_wlast_o,
    output logic               m_axi_wvalid_o,
    input  logic               m_axi_wready_d,
    input  logic [        0:0] m_axi_bid_d,
    input  logic [        1:0] m_axi_bresp_d,
    input  logic               m_axi_bvalid_d,
    output logic               m_axi_bready_o,
    // AXI4-Lite slave
    input  logic [        8:0] s_axil_awaddr_d,
    input  logic [        2:0] s_axil_awprot_d,
    input  logic               s_axil_awvalid_d,
    output logic               s_axil_awready_o,
    input  logic [       31:0] s_axil_wdata_d,
    input  logic [        3:0] s_axil_wstrb_d,
    input  logic               s_axil_wvalid_d,
    output logic               s_axil_wready_o,
    output logic [        1:0] s_axil_bresp_o,
    output logic               s_axil_bvalid_o,
    input  logic               s_axil_bready_d,
    input  logic [        8:0] s_axil_araddr_d,
    input  logic [        2:0] s_axil_arprot_d,
    input  logic               s_axil_arvalid_d,
    output logic               s_axil_arready_o,
    output logic [       31:0] s_axil_rdata_o,
    output logic [        1:0] s_axil_rresp_o,
    output logic               s_axil_rvalid_o,
    input  logic               s_axil_rready_d,
    // trace, by engine: LOAD, MXU, VPU, STORE
    output logic [        3:0] trace_issue_o,
    output logic [  3:0][31:0] trace_issue_pc_o,
    output logic [        3:0] trace_retire_o,
    output logic [  3:0][31:0] trace_retire_pc_o,
    output logic [  3:0][31:0] trace_retire_sig_o,
    output logic [        6:0] trace_mxu_class_o   // one-hot, the MXU's cycle class
);
  logic               test_en_i;
  sram_pkg::pins_t    sram_pins_i;
  sram_pkg::status_t  sram_status_o;
  logic               m_axi_arready_i;
  logic [        0:0] m_axi_rid_i;
  logic [8*Depth-1:0] m_axi_rdata_i;
  logic [        1:0] m_axi_rresp_i;
  logic               m_axi_rlast_i;
  logic               m_axi_rvalid_i;
  logic               m_axi_awready_i;
  logic               m_axi_wready_i;
  logic [        0:0] m_axi_bid_i;
  logic [        1:0] m_axi_bresp_i;
  logic               m_axi_bvalid_i;
  logic [        8:0] s_axil_awaddr_i;
  logic [        2:0] s_axil_awprot_i;
  logic               s_axil_awvalid_i;
  logic [       31:0] s_axil_wdata_i;
  logic [        3:0] s_axil_wstrb_i;
  logic               s_axil_wvalid_i;
  logic               s_axil_bready_i;
  logic [        8:0] s_axil_araddr_i;
  logic [        2:0] s_axil_arprot_i;
  logic               s_axil_arvalid_i;
  logic               s_axil_rready_i;

  assign test_en_i   = 1'b0;
  assign sram_pins_i = '0;

  logic unused_status;
  assign unused_status = ^sram_status_o;

  `FFLNR(m_axi_arready_i, m_axi_arready_d, 1'b1)
  `FFLNR(m_axi_rid_i, m_axi_rid_d, 1'b1)
  `FFLNR(m_axi_rdata_i, m_axi_rdata_d, 1'b1)
  `FFLNR(m_axi_rresp_i, m_axi_rresp_d, 1'b1)
  `FFLNR(m_axi_rlast_i, m_axi_rlast_d, 1'b1)
  `FFLNR(m_axi_rvalid_i, m_axi_rvalid_d, 1'b1)
  `FFLNR(m_axi_awready_i, m_axi_awready_d, 1'b1)
  `FFLNR(m_axi_wready_i, m_axi_wready_d, 1'b1)
  `FFLNR(m_axi_bid_i, m_axi_bid_d, 1'b1)
  `FFLNR(m_axi_bresp_i, m_axi_bresp_d, 1'b1)
  `FFLNR(m_axi_bvalid_i, m_axi_bvalid_d, 1'b1)
  `FFLNR(s_axil_awaddr_i, s_axil_awaddr_d, 1'b1)
  `FFLNR(s_axil_awprot_i, s_axil_awprot_d, 1'b1)
  `FFLNR(s_axil_awvalid_i, s_axil_awvalid_d, 1'b1)
  `FFLNR(s_axil_wdata_i, s_axil_wdata_d, 1'b1)
  `FFLNR(s_axil_wstrb_i, s_axil_wstrb_d, 1'b1)
  `FFLNR(s_axil_wvalid_i, s_axil_wvalid_d, 1'b1)
  `FFLNR(s_axil_bready_i, s_axil_bready_d, 1'b1)
  `FFLNR(s_axil_araddr_i, s_axil_araddr_d, 1'b1)
  `FFLNR(s_axil_arprot_i, s_axil_arprot_d, 1'b1)
  `FFLNR(s_axil_arvalid_i, s_axil_arvalid_d, 1'b1)
  `FFLNR(s_axil_rready_i, s_axil_rready_d, 1'b1)

  quartdepth #(
      .Depth(Depth),
      .Cols(Cols),
      .Lanes(Lanes),
      .FullLanes(FullLanes),
      .Rows(Rows),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables(Tables),
      .Queue(Queue),
      .LoadBursts(LoadBursts)
  ) u_chip (.*);
endmodule

`default_nettype wire
