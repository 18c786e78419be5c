// SPDX-License-Identifier: Apache-2.0
// Streams regions of weights from memory in order, as AXI4 read bursts that never cross 4 KiB. A burst is asked for only
// when the FIFO has room for it, so the bus never waits. Regions of the MLP wait for the batch's decision and are dropped
// without a read when the whole batch replays; the regions behind them are then prefetched. A beat that comes with an
// error ends the stream: it and all behind it are dropped, and nothing more is asked for.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module weight_streamer
  import fastcar_pkg::*;
#(
    parameter int unsigned Bytes    = 64,   // of a beat and of a weight word, a power of two, 16 to 128
    parameter int unsigned Depth    = 512,  // words of prefetch, a power of two, a burst or more
    parameter int unsigned MaxBurst = 64    // beats, 1 to 256
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               region_valid_i,
    output logic               region_ready_o,
    input  region_t            region_i,
    input  logic               decision_valid_i,
    output logic               decision_ready_o,
    input  logic               decision_skip_i,    // the whole batch replays
    output logic               arvalid_o,
    input  logic               arready_i,
    output logic        [39:0] araddr_o,
    output logic        [ 7:0] arlen_o,
    input  logic               rvalid_i,
    output logic               rready_o,
    input  logic [8*Bytes-1:0] rdata_i,
    input  logic        [ 1:0] rresp_i,
    input  logic               rlast_i,
    output logic               valid_o,
    input  logic               ready_i,
    output logic [8*Bytes-1:0] word_o,
    output fault_e             fault_o,            // until reset
    // Every cycle is one of: word delivered, consumer busy, and without a word to offer: no region, no decision, memory.
    output logic        [31:0] delivered_o,
    output logic        [31:0] blocked_o,
    output logic        [31:0] no_region_o,
    output logic        [31:0] no_decision_o,
    output logic        [31:0] memory_o,
    output logic        [31:0] skipped_o           // beats dropped
);
  localparam int unsigned Shift = $clog2(Bytes);
  localparam int unsigned PageBeats = 4096 / Bytes;
  localparam int unsigned CountW = $clog2(Depth + 1);

  logic active_d, active_q, drop, accept, issue, pop, region_end;
  logic [39:0] addr_d, addr_q;
  logic [23:0] left_d, left_q;
  logic [ 8:0] burst, page_left;
  logic [CountW-1:0] room_d, room_q;  // words neither stored nor on their way
  logic waits, sound, offered_q;
  fault_e fault_d;

  // An address that was offered is not withdrawn.
  always_comb begin
    fault_d = fault_o;
    if (rvalid_i && rresp_i[1] && sound) fault_d = rresp_i[0] ? FaultDecode : FaultSlave;
  end
  `FF(fault_o, fault_d, FaultNone)
  `FF(offered_q, arvalid_o && !arready_i, 1'b0)
  assign sound = fault_o == FaultNone;

  assign waits            = region_valid_i && region_i.mlp && !decision_valid_i;
  assign drop             = region_valid_i && region_ready_o && region_i.mlp && decision_skip_i;
  assign region_ready_o   = (!active_q || (issue && region_end)) && !waits && sound;
  assign accept           = region_valid_i && region_ready_o && !drop;
  assign decision_ready_o = region_valid_i && region_ready_o && region_i.mlp && region_i.last;

  always_comb begin
    page_left = 9'(PageBeats) - 9'(addr_q[11:Shift]);
    burst = (9'(MaxBurst) < page_left) ? 9'(MaxBurst) : page_left;
    if (left_q < 24'(burst)) burst = left_q[8:0];
  end
  assign region_end = left_q == 24'(burst);
  assign arvalid_o  = active_q && room_q >= CountW'(burst) && (sound || offered_q);
  assign araddr_o   = addr_q;
  assign arlen_o    = 8'(burst - 9'd1);
  assign issue      = arvalid_o && arready_i;
  assign pop        = valid_o && ready_i;

  always_comb begin
    active_d = active_q;
    addr_d   = addr_q;
    left_d   = left_q;
    if (issue) begin
      active_d = !region_end;
      addr_d   = addr_q + (40'(burst) << Shift);
      left_d   = left_q - 24'(burst);
    end
    if (accept) begin
      active_d = region_i.beats != '0;
      addr_d   = region_i.addr;
      left_d   = region_i.beats;
    end
    room_d = room_q + CountW'(pop) - (issue ? CountW'(burst) : '0);
  end

  `FF(active_q, active_d, 1'b0)
  `FFLNR(addr_q, addr_d, issue || accept)
  `FFLNR(left_q, left_d, issue || accept)
  `FF(room_q, room_d, CountW'(Depth))

  fifo #(
      .Width(8 * Bytes),
      .Depth(Depth)
  ) u_fifo (
      .clk_i,
      .rst_ni,
      .flush_i(1'b0),
      .valid_i(rvalid_i && fault_d == FaultNone),
      .ready_o(rready_o),
      .data_i (rdata_i),
      .valid_o,
      .ready_i,
      .data_o (word_o)
  );

  logic empty, idle;
  assign empty = !valid_o;
  assign idle  = room_q == CountW'(Depth) && !active_q;  // nothing asked for
  `FFL(delivered_o, delivered_o + 1'b1, pop, '0)
  `FFL(blocked_o, blocked_o + 1'b1, valid_o && !ready_i, '0)
  `FFL(no_region_o, no_region_o + 1'b1, empty && idle && !waits, '0)
  `FFL(no_decision_o, no_decision_o + 1'b1, empty && idle && waits, '0)
  `FFL(memory_o, memory_o + 1'b1, empty && !idle, '0)
  `FFL(skipped_o, skipped_o + 32'(region_i.beats), drop, '0)

  logic unused_last;
  assign unused_last = rlast_i;

  `CHECK_PARAMETER(BytesInRange, Bytes >= 16 && Bytes <= 128 && Bytes == 1 << Shift)
  `CHECK_PARAMETER(BurstInRange, MaxBurst >= 1 && MaxBurst <= 256 && MaxBurst <= Depth)

  // The reservation holds: the bus is never kept waiting, and no more comes than was asked for.
  `ASSERT_ALWAYS(AlwaysRoom, !rvalid_i || rready_o)
  `ASSERT_ALWAYS(WithinPage, !arvalid_o || 32'(araddr_o[11:0]) + 32'(burst) * Bytes <= 32'd4096)
  `ASSERT_STABLE(AddressStable, arvalid_o, arready_i, {araddr_o, arlen_o})
  `ASSERT_ALWAYS(NotEmpty, !arvalid_o || burst != '0)
endmodule

`default_nettype wire
