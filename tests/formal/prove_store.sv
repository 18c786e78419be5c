// SPDX-License-Identifier: Apache-2.0
// dma_store as an AXI4 manager, any instructions, stalls and stops, and any legal subordinate: offers stand until they
// are taken; every burst has as many beats as its address says, in order, WLAST with the last one alone; never more
// bursts under way than MaxBursts; after a stop no beat has a strobe. That bursts are not empty is prove_bursts'.

`default_nettype none

module prove_store #(
    parameter int unsigned MaxBursts = 2,
    parameter int unsigned Reach     = 0  // 1: a last beat, 2: one without strobes, 3: all bursts under way
) (
    input logic                  clk_i,
    input port_pkg::engine_req_t engine_i,
    input isa_pkg::header_t      instr_i,
    input logic                  rgnt_i,
    input logic [127:0]          rdata_i,
    input logic                  aw_ready_i,
    input logic                  w_ready_i,
    input logic                  b_valid_i,
    input logic                  b_error_i
);
  logic live = 1'b0;
  port_pkg::engine_rsp_t engine;
  port_pkg::spad_req_t read;
  logic aw_valid, w_valid, w_last, b_ready, b_valid;
  logic [31:0] aw_addr;
  logic [7:0] aw_len;
  logic [127:0] w_data;
  logic [15:0] w_strb;

  always_ff @(posedge clk_i) live <= 1'b1;

  dma_store #(
      .SpadWords(64),
      .MaxBurst (4),
      .MaxBursts(MaxBursts)
  ) u_store (
      .clk_i,
      .rst_ni    (live),
      .engine_i,
      .instr_i,
      .engine_o  (engine),
      .read_o    (read),
      .rgnt_i    (rgnt_i && read.valid),
      .rdata_i,
      .aw_valid_o(aw_valid),
      .aw_ready_i,
      .aw_addr_o (aw_addr),
      .aw_len_o  (aw_len),
      .w_valid_o (w_valid),
      .w_ready_i,
      .w_data_o  (w_data),
      .w_strb_o  (w_strb),
      .w_last_o  (w_last),
      .b_valid_i (b_valid),
      .b_ready_o (b_ready),
      .b_error_i
  );

  // The watcher: beats of the bursts whose address was offered and whose data are not all out, first come first.
  logic [8:0] list_d[MaxBursts], list_q[MaxBursts], beat_d, beat_q;
  logic [2:0] count_d, count_q, answers;  // answers: bursts whose last beat is out and that await theirs
  logic issue, load, ends;
  assign issue   = u_store.issue;
  assign load    = u_store.load;
  assign ends    = beat_q == list_q[0] - 1'b1;
  assign b_valid = b_valid_i && answers != 0;  // a legal subordinate's

  always_comb begin
    list_d  = list_q;
    count_d = count_q;
    beat_d  = beat_q;
    if (load) begin
      beat_d = beat_q + 1'b1;
      if (ends) begin
        beat_d = '0;
        for (int unsigned i = 1; i < MaxBursts; i++) list_d[i-1] = list_q[i];
        count_d = count_q - 1'b1;
      end
    end
    if (issue) begin
      list_d[count_d[0]] = u_store.burst.beats;
      count_d = count_d + 1'b1;
    end
  end

  logic was, was_aw, was_w, was_loaded, was_end, was_stop, was_issued, was_last;
  logic [8:0] was_beats;
  logic [31:0] was_addr;
  logic [7:0] was_len;
  logic [127:0] was_data;
  logic [15:0] was_strb;
  always_ff @(posedge clk_i) begin
    list_q  <= list_d;
    beat_q  <= live ? beat_d : '0;
    count_q <= live ? count_d : '0;
    answers <= live ? answers + 3'(load && ends) - 3'(b_valid) : '0;
    was <= live;
    was_aw <= live && aw_valid && !aw_ready_i;
    was_w <= live && w_valid && !w_ready_i;
    {was_addr, was_len, was_data, was_strb, was_last} <= {aw_addr, aw_len, w_data, w_strb, w_last};
    {was_loaded, was_end, was_stop, was_issued} <= {live && load, ends, engine_i.stop, live && issue};
    was_beats <= u_store.burst.beats;
  end

  always_comb begin
    if (u_store.bursts_valid) assume (u_store.burst.beats != '0 && u_store.burst.beats <= 9'd4);
    if (live) begin
      assert (b_ready);
      assert (32'(count_q) + 32'(answers) <= MaxBursts);
      if (load) assert (count_q != 0);
      if (issue) assert (32'(count_q) + 32'(answers) < MaxBursts);
      if (was) begin
        if (was_aw) assert (aw_valid && aw_addr == was_addr && aw_len == was_len);
        if (was_w) assert (w_valid && {w_data, w_strb, w_last} == {was_data, was_strb, was_last});
        if (was_loaded) assert (w_valid && w_last == was_end && w_strb == {16{!was_stop}});
        if (was_issued) assert (aw_valid && 9'(aw_len) + 9'd1 == was_beats);
        if (aw_valid) assert (was_issued || was_aw);
        if (w_valid) assert (was_loaded || was_w);
      end else begin
        assert (!aw_valid && !w_valid);
      end
      // What ties the machine to the watcher.
      assert (3'(u_store.outstanding_q) == count_q + answers);
      assert (3'(2'(u_store.u_queue.write_q - u_store.u_queue.read_q)) == count_q);
      assert (3'(2'(u_store.u_responses.write_q - u_store.u_responses.read_q)) == answers);
      assert (u_store.beat_q == beat_q);
      for (int unsigned i = 0; i < MaxBursts; i++) begin
        if (i < 32'(count_q)) begin
          assert (list_q[i] != '0 && list_q[i] <= 9'd4);
          assert (u_store.u_queue.entries_q[1'(32'(u_store.u_queue.read_q) + i)][9:1] == list_q[i]);
        end
      end
      assert (count_q == 0 ? beat_q == '0 : beat_q < list_q[0]);
      if (Reach == 1) assert (!(w_valid && w_last));
      if (Reach == 2) assert (!(w_valid && w_strb == '0));
      if (Reach == 3) assert (32'(count_q) != MaxBursts);
    end
  end
endmodule

`default_nettype wire
