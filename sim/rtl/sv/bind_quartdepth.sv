// The chip's memory port is watched wherever the chip is simulated.

bind quartdepth axi_checker #(
    .AddrW(32),
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
