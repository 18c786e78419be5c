// SPDX-License-Identifier: Apache-2.0
// step_writer as an AXI4 manager, any commands, words, stalls and faults, and any legal subordinate: offers stand until
// they are taken; addresses follow each other, within 4 KiB, as many words as a command says; every burst has as many
// beats as its address says, WLAST with the last one alone; a burst's words are offered whether or not its address is
// taken; no word is taken that is not written.

`default_nettype none

module prove_writer
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: a last beat, 2: all words before the address, 3: the end of a page
) (
    input logic              clk_i,
    input logic              valid_i,
    input addr_t             addr_i,
    input logic       [15:0] words_i,
    input logic              word_valid_i,
    input word_t             word_i,
    input logic [Bytes-1:0]  strobe_i,
    input logic              awready_i,
    input logic              wready_i,
    input logic              bvalid_i,
    input logic       [ 1:0] bresp_i
);
  localparam int unsigned MaxBurst = 4;

  logic live = 1'b0;
  logic ready, word_ready, awvalid, wvalid, wlast, bready, bvalid, idle;
  logic [39:0] awaddr;
  logic [7:0] awlen;
  word_t wdata;
  logic [Bytes-1:0] wstrb;
  fault_e fault;

  always_ff @(posedge clk_i) live <= 1'b1;

  step_writer #(
      .MaxBurst(MaxBurst)
  ) u_writer (
      .clk_i,
      .rst_ni      (live),
      .valid_i,
      .ready_o     (ready),
      .addr_i,
      .words_i,
      .word_valid_i,
      .word_ready_o(word_ready),
      .word_i,
      .strobe_i,
      .awvalid_o   (awvalid),
      .awready_i,
      .awaddr_o    (awaddr),
      .awlen_o     (awlen),
      .wvalid_o    (wvalid),
      .wready_i,
      .wdata_o     (wdata),
      .wstrb_o     (wstrb),
      .wlast_o     (wlast),
      .bvalid_i    (bvalid),
      .bready_o    (bready),
      .bresp_i,
      .idle_o      (idle),
      .fault_o     (fault)
  );

  // The watcher: a command's address and words that no burst has taken; the burst that is offered, its beats to come.
  addr_t at_d, at_q;
  logic [15:0] left_d, left_q;
  logic busy_d, busy_q, burst_d, burst_q, sent_d, sent_q, aw, beat, begins;
  logic [8:0] beats_d, beats_q;
  logic [9:0] answers_d, answers_q;  // bursts that await theirs, a legal subordinate's
  assign aw     = awvalid && awready_i;
  assign beat   = wvalid && wready_i;
  assign begins = awvalid && !burst_q;
  assign bvalid = bvalid_i && answers_q != '0;

  always_comb begin
    {at_d, left_d, busy_d, burst_d, sent_d, beats_d} = {at_q, left_q, busy_q, burst_q, sent_q, beats_q};
    answers_d = answers_q - 10'(bvalid);
    if (valid_i && ready) {at_d, left_d, busy_d} = {addr_i, words_i, 1'b1};
    if (begins) {burst_d, sent_d, beats_d} = {1'b1, 1'b0, 9'(awlen) + 9'd1};
    if (beat) beats_d = beats_q - 1'b1;
    if (aw) begin
      at_d   = at_q + {26'd0, 9'(awlen) + 9'd1, 6'd0};
      left_d = left_q - 16'(awlen) - 16'd1;
      sent_d = 1'b1;
    end
    if (burst_d && sent_d && beats_d == '0) begin
      burst_d   = 1'b0;
      answers_d = answers_d + 1'b1;
      busy_d    = left_d != '0 && u_writer.fault_d == FaultNone;
    end
  end

  logic was, was_aw, was_w, was_word, was_last;
  logic [39:0] was_addr;
  logic [7:0] was_len;
  word_t was_data, was_in;
  logic [Bytes-1:0] was_strb, was_mask;
  always_ff @(posedge clk_i) begin
    {at_q, left_q, beats_q} <= {at_d, left_d, beats_d};
    {busy_q, burst_q, sent_q} <= live ? {busy_d, burst_d, sent_d} : '0;
    answers_q <= live ? answers_d : '0;
    was <= live;
    {was_aw, was_w, was_word} <= {live && awvalid && !awready_i, live && wvalid && !wready_i,
                                  live && word_valid_i && !word_ready};
    {was_addr, was_len, was_data, was_strb, was_last} <= {awaddr, awlen, wdata, wstrb, wlast};
    {was_in, was_mask} <= {word_i, strobe_i};
  end

  always_comb begin
    if (valid_i) assume (words_i != '0 && addr_i[5:0] == '0);
    if (was && was_word) assume (word_valid_i && {word_i, strobe_i} == {was_in, was_mask});
    if (live) begin
      assert (bready);
      if (was) begin
        if (was_aw) assert (awvalid && {awaddr, awlen} == {was_addr, was_len});
        if (was_w) assert (wvalid && {wdata, wstrb, wlast} == {was_data, was_strb, was_last});
        if (was_aw && beats_q != '0) assert (wvalid == word_valid_i);  // no data wait for an address
      end
      if (awvalid) begin
        assert (busy_q && !(burst_q && sent_q));
        assert (awaddr == at_q && 16'(awlen) < left_q && 32'(awlen) < MaxBurst);
        assert (32'(awaddr[11:0]) + 64 * (32'(awlen) + 1) <= 4096);
      end
      if (wvalid) assert (burst_q && beats_q != '0 && wlast == (beats_q == 9'd1));
      assert ((word_valid_i && word_ready) == beat);
      if (beat) assert ({wdata, wstrb} == {word_i, strobe_i});
      if (idle) assert (!busy_q && !burst_q && answers_q == '0);
      // What ties the machine to the watcher.
      assert (u_writer.active_q == busy_q);
      assert (u_writer.sent_q == (burst_q && sent_q));
      assert (u_writer.all_q == (burst_q && beats_q == '0));
      assert (u_writer.data_q == (burst_q && beats_q != '0));
      assert (u_writer.open_q == answers_q + 10'(burst_q && sent_q));
      if (burst_q) assert (busy_q && (!sent_q || beats_q != '0) && beats_q <= 9'(MaxBurst));
      if (burst_q && !sent_q) assert (awvalid && beats_q <= 9'(awlen) + 9'd1);
      if (u_writer.data_q) assert (9'(u_writer.beats_q) == beats_q);
      if (busy_q) begin
        assert (u_writer.addr_q == at_q && u_writer.left_q == left_q && at_q[5:0] == '0);
        assert (left_q != '0 || (burst_q && sent_q));
      end
      if (Reach == 1) assert (!(wvalid && wlast));
      if (Reach == 2) assert (!(awvalid && burst_q && beats_q == '0));
      if (Reach == 3) assert (!(awvalid && 32'(awaddr[11:0]) + 64 * (32'(awlen) + 1) == 4096));
    end
  end
endmodule

`default_nettype wire
