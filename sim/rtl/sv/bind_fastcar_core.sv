// The port through which FastCar's core reads its weights is watched wherever the core is simulated.

bind fastcar_core axi_checker #(
    .AddrW(40),
    .Bytes(Width),
    .IdW  (1)
) u_axi_checker (
    .clk_i,
    .rst_ni,
    .ar_valid_i(arvalid_o),
    .ar_ready_i(arready_i),
    .ar_id_i   (1'b0),
    .ar_addr_i (araddr_o),
    .ar_len_i  (arlen_o),
    .ar_size_i (3'($clog2(Width))),
    .ar_burst_i(2'b01),
    .r_valid_i (rvalid_i),
    .r_ready_i (rready_o),
    .r_id_i    (1'b0),
    .r_data_i  (rdata_i),
    .r_resp_i  (rresp_i),
    .r_last_i  (rlast_i),
    .aw_valid_i(1'b0),
    .aw_ready_i(1'b0),
    .aw_id_i   (1'b0),
    .aw_addr_i ('0),
    .aw_len_i  ('0),
    .aw_size_i ('0),
    .aw_burst_i('0),
    .w_valid_i (1'b0),
    .w_ready_i (1'b0),
    .w_data_i  ('0),
    .w_strb_i  ('0),
    .w_last_i  (1'b0),
    .b_valid_i (1'b0),
    .b_ready_i (1'b0),
    .b_id_i    (1'b0),
    .b_resp_i  ('0)
);
