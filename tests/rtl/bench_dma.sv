// SPDX-License-Identifier: Apache-2.0
// LOAD and STORE around a scratchpad, with a busier read and write port beside them that take its banks away.

`default_nettype none

module bench_dma #(
    parameter int unsigned Depth = 16,
    parameter int unsigned SpadWords = 256,
    parameter int unsigned ProgWords = 32,
    parameter int unsigned Tables = 8,
    parameter int unsigned LoadBurst = 256,
    parameter int unsigned LoadBeats = 512,
    parameter int unsigned StoreBurst = 256,
    localparam int unsigned AddrW = $clog2(SpadWords)
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic                       stop_i,
    input  logic                       load_valid_i,
    output logic                       load_ready_o,
    input  logic [              511:0] load_instr_i,
    output logic                       load_retire_o,
    output logic [               31:0] load_sig_o,
    output logic                       load_fault_o,
    output logic [                3:0] load_cause_o,
    output logic                       load_idle_o,
    output logic [                5:0] load_class_o,
    input  logic                       store_valid_i,
    output logic                       store_ready_o,
    input  logic [              511:0] store_instr_i,
    output logic                       store_retire_o,
    output logic [               31:0] store_sig_o,
    output logic                       store_fault_o,
    output logic [                3:0] store_cause_o,
    output logic                       store_idle_o,
    output logic [                5:0] store_class_o,
    input  logic                       token_wait_i,
    // the busier ports
    input  logic                       rreq_i,
    input  logic [          AddrW-1:0] raddr_i,
    output logic                       rgnt_o,
    output logic [        8*Depth-1:0] rdata_o,
    input  logic                       wreq_i,
    input  logic [          AddrW-1:0] waddr_i,
    input  logic [        8*Depth-1:0] wdata_i,
    // stores beside the scratchpad
    output logic                       prog_we_o,
    output logic [               23:0] prog_addr_o,
    output logic                       tab_we_o,
    output logic [               23:0] tab_addr_o,
    output logic [        8*Depth-1:0] local_wdata_o,
    // AXI4
    output logic [                0:0] m_axi_arid_o,
    output logic [               31:0] m_axi_araddr_o,
    output logic [                7:0] m_axi_arlen_o,
    output logic [                2:0] m_axi_arsize_o,
    output logic [                1:0] m_axi_arburst_o,
    output logic                       m_axi_arvalid_o,
    input  logic                       m_axi_arready_i,
    input  logic [                0:0] m_axi_rid_i,
    input  logic [        8*Depth-1:0] m_axi_rdata_i,
    input  logic [                1:0] m_axi_rresp_i,
    input  logic                       m_axi_rlast_i,
    input  logic                       m_axi_rvalid_i,
    output logic                       m_axi_rready_o,
    output logic [                0:0] m_axi_awid_o,
    output logic [               31:0] m_axi_awaddr_o,
    output logic [                7:0] m_axi_awlen_o,
    output logic [                2:0] m_axi_awsize_o,
    output logic [                1:0] m_axi_awburst_o,
    output logic                       m_axi_awvalid_o,
    input  logic                       m_axi_awready_i,
    output logic [        8*Depth-1:0] m_axi_wdata_o,
    output logic [          Depth-1:0] m_axi_wstrb_o,
    output logic                       m_axi_wlast_o,
    output logic                       m_axi_wvalid_o,
    input  logic                       m_axi_wready_i,
    input  logic [                0:0] m_axi_bid_i,
    input  logic [                1:0] m_axi_bresp_i,
    input  logic                       m_axi_bvalid_i,
    output logic                       m_axi_bready_o
);
  port_pkg::spad_req_t read[2], write[2];
  logic rgnt[2], wgnt[2];
  logic [8*Depth-1:0] rdata[2], wdata[2];
  logic [Depth-1:0] wbe[2];
  port_pkg::engine_req_t to_load, to_store;
  port_pkg::engine_rsp_t from_load, from_store;
  port_pkg::ar_t load_ar, bus_ar;
  port_pkg::r_t load_r, unused_fetch;
  logic unused_fetch_ready;
  logic ar_ready, r_ready;
  sram_pkg::status_t unused_status;

  assign to_load  = '{stop: stop_i, valid: load_valid_i, token_wait: token_wait_i};
  assign to_store = '{stop: stop_i, valid: store_valid_i, token_wait: token_wait_i};
  assign load_ready_o  = from_load.ready;
  assign load_retire_o = from_load.retire;
  assign load_sig_o    = from_load.signature;
  assign load_fault_o  = from_load.fault;
  assign load_cause_o  = from_load.cause;
  assign load_idle_o   = from_load.idle;
  assign load_class_o  = from_load.cycle_class[5:0];
  assign store_ready_o  = from_store.ready;
  assign store_retire_o = from_store.retire;
  assign store_sig_o    = from_store.signature;
  assign store_fault_o  = from_store.fault;
  assign store_cause_o  = from_store.cause;
  assign store_idle_o   = from_store.idle;
  assign store_class_o  = from_store.cycle_class[5:0];

  assign read[0]  = '{valid: rreq_i, addr: 20'(raddr_i)};
  assign write[0] = '{valid: wreq_i, addr: 20'(waddr_i)};
  assign rgnt_o   = rgnt[0];
  assign rdata_o  = rdata[0];
  assign wdata[0] = wdata_i;
  assign wbe[0]   = '1;

  dma_load #(
      .Depth(Depth),
      .SpadWords(SpadWords),
      .ProgWords(ProgWords),
      .Tables(Tables),
      .MaxBurst(LoadBurst),
      .MaxBeats(LoadBeats)
  ) u_load (
      .clk_i,
      .rst_ni,
      .engine_i     (to_load),
      .instr_i      (load_instr_i),
      .engine_o     (from_load),
      .ar_o         (load_ar),
      .ar_ready_i   (ar_ready),
      .r_i          (load_r),
      .r_data_i     (m_axi_rdata_i),
      .r_ready_o    (r_ready),
      .write_o      (write[1]),
      .wbe_o        (wbe[1]),
      .wdata_o      (wdata[1]),
      .wgnt_i       (wgnt[1]),
      .prog_we_o,
      .prog_addr_o  (prog_addr_o[$clog2(ProgWords*32/Depth)-1:0]),
      .tab_we_o,
      .tab_addr_o   (tab_addr_o[$clog2(Tables*64/Depth)-1:0])
  );
  assign prog_addr_o[23:$clog2(ProgWords*32/Depth)] = '0;
  assign tab_addr_o[23:$clog2(Tables*64/Depth)] = '0;

  assign local_wdata_o = wdata[1];

  read_arbiter u_arbiter (
      .clk_i,
      .rst_ni,
      .fetch_ar_i      ('0),
      .fetch_ar_ready_o(unused_fetch_ready),
      .fetch_r_o       (unused_fetch),
      .load_ar_i       (load_ar),
      .load_ar_ready_o (ar_ready),
      .load_r_o        (load_r),
      .load_r_ready_i  (r_ready),
      .ar_o            (bus_ar),
      .ar_ready_i      (m_axi_arready_i),
      .ar_id_o         (m_axi_arid_o),
      .r_valid_i       (m_axi_rvalid_i),
      .r_ready_o       (m_axi_rready_o),
      .r_id_i          (m_axi_rid_i),
      .r_resp_i        (m_axi_rresp_i)
  );
  assign m_axi_arvalid_o = bus_ar.valid;
  assign m_axi_araddr_o  = bus_ar.addr;
  assign m_axi_arlen_o   = bus_ar.len;

  dma_store #(
      .Depth(Depth),
      .SpadWords(SpadWords),
      .MaxBurst(StoreBurst)
  ) u_store (
      .clk_i,
      .rst_ni,
      .engine_i     (to_store),
      .instr_i      (store_instr_i),
      .engine_o     (from_store),
      .read_o       (read[1]),
      .rgnt_i       (rgnt[1]),
      .rdata_i      (rdata[1]),
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

  spad #(
      .Depth(Depth),
      .SpadWords(SpadWords),
      .ReadPorts(2)
  ) u_spad (
      .clk_i,
      .rst_ni,
      .sram_pins_i  ('0),
      .sram_status_o(unused_status),
      .first_i('{1'b0, 1'b0}),
      .read_i (read),
      .rgnt_o (rgnt),
      .rdata_o(rdata),
      .write_i(write),
      .wbe_i  (wbe),
      .wdata_i(wdata),
      .wgnt_o (wgnt)
  );

  assign m_axi_arsize_o  = 3'($clog2(Depth));
  assign m_axi_arburst_o = 2'b01;
  assign m_axi_awid_o    = '0;
  assign m_axi_awsize_o  = 3'($clog2(Depth));
  assign m_axi_awburst_o = 2'b01;

  axi_checker #(
      .Bytes(Depth),
      .IdW  (1)
  ) u_axi_checker (
      .clk_i,
      .rst_ni,
      .ar_valid_i(m_axi_arvalid_o),
      .ar_ready_i(m_axi_arready_i),
      .ar_id_i   (m_axi_arid_o),
      .ar_addr_i (m_axi_araddr_o),
      .ar_len_i  (m_axi_arlen_o),
      .ar_size_i (m_axi_arsize_o),
      .ar_burst_i(m_axi_arburst_o),
      .r_valid_i (m_axi_rvalid_i),
      .r_ready_i (m_axi_rready_o),
      .r_id_i    (m_axi_rid_i),
      .r_data_i  (m_axi_rdata_i),
      .r_resp_i  (m_axi_rresp_i),
      .r_last_i  (m_axi_rlast_i),
      .aw_valid_i(m_axi_awvalid_o),
      .aw_ready_i(m_axi_awready_i),
      .aw_id_i   (m_axi_awid_o),
      .aw_addr_i (m_axi_awaddr_o),
      .aw_len_i  (m_axi_awlen_o),
      .aw_size_i (m_axi_awsize_o),
      .aw_burst_i(m_axi_awburst_o),
      .w_valid_i (m_axi_wvalid_o),
      .w_ready_i (m_axi_wready_i),
      .w_data_i  (m_axi_wdata_o),
      .w_strb_i  (m_axi_wstrb_o),
      .w_last_i  (m_axi_wlast_o),
      .b_valid_i (m_axi_bvalid_i),
      .b_ready_i (m_axi_bready_o),
      .b_id_i    (m_axi_bid_i),
      .b_resp_i  (m_axi_bresp_i)
  );
endmodule

`default_nettype wire
