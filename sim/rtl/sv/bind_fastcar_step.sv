// The three memory ports of a whole FastCar step are watched wherever it is simulated.

`define FASTCAR_READ_PORT(name, prefix) \
bind fastcar_step axi_checker #( \
    .AddrW(40), \
    .Bytes(64), \
    .IdW  (1) \
) name ( \
    .clk_i, \
    .rst_ni, \
    .ar_valid_i(prefix``_arvalid_o), \
    .ar_ready_i(prefix``_arready_i), \
    .ar_id_i   (1'b0), \
    .ar_addr_i (prefix``_araddr_o), \
    .ar_len_i  (prefix``_arlen_o), \
    .ar_size_i (3'd6), \
    .ar_burst_i(2'b01), \
    .r_valid_i (prefix``_rvalid_i), \
    .r_ready_i (prefix``_rready_o), \
    .r_id_i    (1'b0), \
    .r_data_i  (prefix``_rdata_i), \
    .r_resp_i  (prefix``_rresp_i), \
    .r_last_i  (prefix``_rlast_i), \
    .aw_valid_i(1'b0), \
    .aw_ready_i(1'b0), \
    .aw_id_i   (1'b0), \
    .aw_addr_i ('0), \
    .aw_len_i  ('0), \
    .aw_size_i ('0), \
    .aw_burst_i('0), \
    .w_valid_i (1'b0), \
    .w_ready_i (1'b0), \
    .w_data_i  ('0), \
    .w_strb_i  ('0), \
    .w_last_i  (1'b0), \
    .b_valid_i (1'b0), \
    .b_ready_i (1'b0), \
    .b_id_i    (1'b0), \
    .b_resp_i  ('0) \
);

`FASTCAR_READ_PORT(u_weight_checker, w)
`FASTCAR_READ_PORT(u_scale_checker, s)

bind fastcar_step axi_checker #(
    .AddrW    (40),
    .Bytes    (64),
    .IdW      (1),
    .MaxWrites(1024),
    .Strobes  (1'b1)
) u_memory_checker (
    .clk_i,
    .rst_ni,
    .ar_valid_i(m_arvalid_o),
    .ar_ready_i(m_arready_i),
    .ar_id_i   (1'b0),
    .ar_addr_i (m_araddr_o),
    .ar_len_i  (m_arlen_o),
    .ar_size_i (3'd6),
    .ar_burst_i(2'b01),
    .r_valid_i (m_rvalid_i),
    .r_ready_i (m_rready_o),
    .r_id_i    (1'b0),
    .r_data_i  (m_rdata_i),
    .r_resp_i  (m_rresp_i),
    .r_last_i  (m_rlast_i),
    .aw_valid_i(m_awvalid_o),
    .aw_ready_i(m_awready_i),
    .aw_id_i   (1'b0),
    .aw_addr_i (m_awaddr_o),
    .aw_len_i  (m_awlen_o),
    .aw_size_i (3'd6),
    .aw_burst_i(2'b01),
    .w_valid_i (m_wvalid_o),
    .w_ready_i (m_wready_i),
    .w_data_i  (m_wdata_o),
    .w_strb_i  (m_wstrb_o),
    .w_last_i  (m_wlast_o),
    .b_valid_i (m_bvalid_i),
    .b_ready_i (m_bready_o),
    .b_id_i    (1'b0),
    .b_resp_i  (m_bresp_i)
);
