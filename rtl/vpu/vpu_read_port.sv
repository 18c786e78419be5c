// SPDX-License-Identifier: Apache-2.0
// Reads one word for the element that waits to be issued, and offers it while that element is in the decode stage.
// A word that was granted before its element could go is kept, so that a request stands until it is granted.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_read_port #(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned AddrW = 14   // word address
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               test_en_i,
    input  logic               need_i,    // the waiting element needs the word at `addr_i`
    input  logic [  AddrW-1:0] addr_i,
    output logic               ready_o,   // it has it, or is granted it now
    input  logic               issue_i,   // it moves to the decode stage
    input  logic               enable_i,  // the decode stage moves on
    input  logic               again_i,   // that holds a first half: its word is used once more
    output logic [8*Depth-1:0] word_o,    // word of the element in the decode stage
    output logic               rreq_o,
    output logic [  AddrW-1:0] raddr_o,
    input  logic               rgnt_i,
    input  logic [8*Depth-1:0] rdata_i
);
  logic have_d, have_q;    // granted in an earlier cycle, not issued
  logic early_d, early_q;  // granted in the last cycle, not issued with it: arrives now
  logic live_d, live_q;    // granted and issued in the last cycle: the decode stage's word arrives now
  logic granted, keep_now, keep_early, hand_over;
  logic [8*Depth-1:0] waiting_q, decode_d, decode_q;

  assign rreq_o  = need_i && !have_q;
  assign raddr_o = addr_i;
  assign granted = rreq_o && rgnt_i;
  assign ready_o = !need_i || have_q || rgnt_i;

  assign have_d  = need_i && !issue_i && (have_q || granted);
  assign early_d = granted && !issue_i;
  assign live_d  = granted && issue_i;

  assign keep_early = early_q && !issue_i;
  assign hand_over  = have_q && issue_i;
  assign keep_now   = live_q && (!enable_i || again_i);
  assign decode_d   = keep_now || early_q ? rdata_i : waiting_q;

  `FF(have_q, have_d, 1'b0)
  `FF(early_q, early_d, 1'b0)
  `FF(live_q, live_d, 1'b0)
  `FFGATED(waiting, waiting_q, rdata_i, keep_early)
  `FFGATED(decode, decode_q, decode_d, keep_now || hand_over)

  assign word_o = live_q ? rdata_i : decode_q;

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
endmodule

`default_nettype wire
