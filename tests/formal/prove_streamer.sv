// SPDX-License-Identifier: Apache-2.0
// weight_streamer, any regions (empty ones too), any decisions, stalls and errors: of each region that is kept exactly its
// beats are asked for, in bursts as long as they may be and within 4 KiB; what was asked for always has room; after an
// error nothing more is asked for.

`default_nettype none

module prove_streamer
  import fastcar_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: an empty region is taken, 2: a region of more than one burst ends
) (
    input logic       clk_i,
    input logic       region_valid_i,
    input region_t    region_i,
    input logic       decision_valid_i,
    input logic       decision_skip_i,
    input logic       arready_i,
    input logic       rvalid_i,
    input logic [1:0] rresp_i,
    input logic       ready_i
);
  localparam int unsigned Bytes = 64;
  localparam int unsigned Depth = 8;
  localparam int unsigned MaxBurst = 4;

  logic running = 1'b0;
  logic region_ready, decision_ready, arvalid, rready, valid;
  logic [39:0] araddr;
  logic [7:0] arlen;
  logic [8*Bytes-1:0] unused_word;
  logic [31:0] unused_counts[6];
  fault_e fault;

  weight_streamer #(
      .Bytes(Bytes),
      .Depth(Depth),
      .MaxBurst(MaxBurst)
  ) u_streamer (
      .clk_i,
      .rst_ni          (running),
      .region_valid_i  (region_valid_i && running),
      .region_ready_o  (region_ready),
      .region_i,
      .decision_valid_i(decision_valid_i && running),
      .decision_ready_o(decision_ready),
      .decision_skip_i,
      .arvalid_o       (arvalid),
      .arready_i,
      .araddr_o        (araddr),
      .arlen_o         (arlen),
      .rvalid_i        (rvalid_i && running),
      .rready_o        (rready),
      .rdata_i         ('0),
      .rresp_i,
      .rlast_i         (1'b0),
      .valid_o         (valid),
      .ready_i,
      .word_o          (unused_word),
      .fault_o         (fault),
      .delivered_o     (unused_counts[0]),
      .blocked_o       (unused_counts[1]),
      .no_region_o     (unused_counts[2]),
      .no_decision_o   (unused_counts[3]),
      .memory_o        (unused_counts[4]),
      .skipped_o       (unused_counts[5])
  );

  // The watcher: what of the region is still to be asked for, and what is on its way.
  logic open, again, failed, take;
  logic [63:0] left, longest, wanted;
  logic [39:0] place;
  logic [7:0] away, stored;
  assign take    = region_valid_i && running && region_ready && !(region_i.mlp && decision_skip_i);
  assign longest = (64'd4096 - 64'(place[11:0])) / Bytes;
  always_comb begin
    wanted = left;
    if (wanted > longest) wanted = longest;
    if (wanted > MaxBurst) wanted = MaxBurst;
  end

  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running) begin
      open   <= 1'b0;
      away   <= '0;
      stored <= '0;
      failed <= 1'b0;
    end else begin
      if (arvalid && arready_i) begin
        left  <= left - wanted;
        place <= place + 40'(wanted * Bytes);
        if (left == wanted) open <= 1'b0;
      end
      if (take) begin
        left  <= 64'(region_i.beats);
        place <= region_i.addr;
        open  <= region_i.beats != '0;
      end
      away <= away + ((arvalid && arready_i) ? 8'(wanted) : 8'd0) - 8'(rvalid_i);
      stored <= stored + 8'(rvalid_i && !failed && !rresp_i[1]) - 8'(valid && ready_i);
      if (rvalid_i && rresp_i[1]) failed <= 1'b1;
    end
  end

  always_comb begin
    assume (region_i.addr[5:0] == '0);
    assume (!rvalid_i || away != '0);
    if (running) begin
      assert (open == u_streamer.active_q);
      assert (failed == (fault != FaultNone));
      if (open) begin
        assert (left != '0 && left < 64'd1 << 24 && left == 64'(u_streamer.left_q));
        assert (place == u_streamer.addr_q && place[5:0] == '0);
      end
      if (arvalid) assert (open && araddr == place && 64'(arlen) + 1 == wanted);
      if (failed && !u_streamer.offered_q) assert (!arvalid);
      assert (32'(away) + 32'(stored) <= Depth);
      if (!failed) assert (32'(u_streamer.room_q) + 32'(away) + 32'(stored) == Depth);
      if (failed) assert (32'(u_streamer.room_q) + 32'(away) + 32'(stored) <= Depth);
      assert (8'(4'(u_streamer.u_fifo.write_q - u_streamer.u_fifo.read_q)) == stored);
      if (rvalid_i) assert (rready);
      assert (valid == (stored != '0));
      // An empty cycle is the memory's where something is asked for, or still to be asked for.
      if (!failed) assert (u_streamer.idle == (!open && away == '0 && stored == '0));
      // A region waits for its decision, for the one before, and for nothing else.
      if (!failed && region_valid_i && (!region_i.mlp || decision_valid_i) && !open) assert (region_ready);
      if (decision_ready) assert (region_valid_i && region_i.mlp && region_i.last && decision_valid_i);
      if (Reach == 1) assert (!(take && region_i.beats == '0));
      if (Reach == 2) begin
        assert (!(arvalid && arready_i && left == wanted && left < MaxBurst && place[7:6] == 2'd1));
      end
    end
  end
endmodule

`default_nettype wire
