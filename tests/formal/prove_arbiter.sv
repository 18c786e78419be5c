// SPDX-License-Identifier: Apache-2.0
// read_arbiter, any stalls: an offer to the bus stands until it is taken and is one that was asked for; fetch waits for
// the bus alone, LOAD for the bus and for fetch; data go to whom their identifier names.

`default_nettype none

module prove_arbiter #(
    parameter int unsigned Reach = 0  // 1: LOAD's address waits behind one of fetch
) (
    input logic            clk_i,
    input port_pkg::ar_t   fetch_i,
    input port_pkg::ar_t   load_i,
    input logic            load_r_ready_i,
    input logic            ar_ready_i,
    input logic            r_valid_i,
    input logic            r_id_i,
    input logic      [1:0] r_resp_i
);
  logic running = 1'b0;
  logic fetch_ready, load_ready, id, r_ready;
  port_pkg::r_t fetch_r, load_r;
  port_pkg::ar_t ar;

  always_ff @(posedge clk_i) running <= 1'b1;

  read_arbiter u_arbiter (
      .clk_i,
      .rst_ni          (running),
      .fetch_ar_i      (fetch_i),
      .fetch_ar_ready_o(fetch_ready),
      .fetch_r_o       (fetch_r),
      .load_ar_i       (load_i),
      .load_ar_ready_o (load_ready),
      .load_r_o        (load_r),
      .load_r_ready_i,
      .ar_o            (ar),
      .ar_ready_i,
      .ar_id_o         (id),
      .r_valid_i,
      .r_ready_o       (r_ready),
      .r_id_i,
      .r_resp_i
  );

  // The watcher: what stands in front of the bus.
  logic stands, whose;
  logic [31:0] addr;
  logic [7:0] len;
  always_ff @(posedge clk_i) begin
    if (!running) begin
      stands <= 1'b0;
    end else begin
      if (ar_ready_i) stands <= 1'b0;
      if (fetch_i.valid && fetch_ready) {stands, whose, addr, len} <= {1'b1, 1'b0, fetch_i.addr, fetch_i.len};
      if (load_i.valid && load_ready) {stands, whose, addr, len} <= {1'b1, 1'b1, load_i.addr, load_i.len};
    end
  end

  always_comb begin
    if (running) begin
      assert (ar.valid == stands);
      if (stands) assert (id == whose && ar.addr == addr && ar.len == len);
      // Nobody waits without a reason: one step of fairness, since fetch asks for a bounded number.
      assert (fetch_ready == (!stands || ar_ready_i));
      assert (load_ready == (fetch_ready && !fetch_i.valid));
      assert (!(fetch_i.valid && fetch_ready && load_i.valid && load_ready));
      // Beats: to one of the two, with the error that SLVERR and DECERR are, and never lost.
      assert (!(fetch_r.valid && load_r.valid));
      if (r_valid_i && r_ready) assert (fetch_r.valid == !r_id_i && load_r.valid == r_id_i);
      if (fetch_r.valid) assert (r_valid_i && r_ready && fetch_r.error == r_resp_i[1]);
      if (load_r.valid) assert (r_valid_i && load_r.error == r_resp_i[1]);
      assert (r_ready == load_r_ready_i);
      if (Reach == 1) assert (!(load_i.valid && !load_ready && ar_ready_i));
    end
  end
endmodule

`default_nettype wire
