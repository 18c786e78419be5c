// SPDX-License-Identifier: Apache-2.0
// Fetches the lanes' parameters a group ahead: two buffers, each tagged with the group that it holds. What the engine
// has written over since is fetched anew when the next microword begins.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_parameters
  import isa_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Depth     = 16,     // bytes of a word
    parameter int unsigned Cols      = 8,      // columns of the MXU (C), a multiple of the lanes
    parameter int unsigned Lanes     = 8,      // lanes
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    localparam int unsigned AddrW    = $clog2(SpadWords)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      test_en_i,
    input  logic                      clear_i,      // an instruction begins: what the buffers hold is stale
    input  logic                      begin_i,      // a microword begins, and all writes have landed
    input  logic                      use_i,        // the microword in hand reads parameters
    input  logic               [23:0] base_i,
    input  logic               [13:0] group_i,      // group that streams
    input  logic                      bank_i,       // its buffer
    input  logic                      ahead_i,      // another group follows
    input  logic               [13:0] next_group_i, // this, in the other buffer
    input  logic               [ 1:0] bank_busy_i,  // elements in the pipeline need the buffer
    input  logic                      written_i,    // the engine writes to the scratchpad
    input  logic       [ AddrW-1:0]   waddr_i,      // this word
    output logic                      ready_o,      // the group's are there, or known to be out of range
    output logic                      outside_o,
    output logic                      idle_o,
    output parameter_t                parameter_o[2][Lanes],
    output logic                      rreq_o,
    output logic         [ AddrW-1:0] raddr_o,
    input  logic                      rgnt_i,
    input  logic       [8*Depth-1:0] rdata_i
);
  localparam int unsigned PerWord = Depth / ParamBytes;
  localparam int unsigned Words = Lanes / PerWord;
  localparam int unsigned CountW = $clog2(Words + 1);
  localparam int unsigned SpadBytes = SpadWords * Depth;
  localparam int unsigned ShareW = $clog2(Cols / Lanes);  // bits of a group's place among C channels
  localparam int unsigned WordShift = $clog2(Depth);

  logic [1:0] valid_d, valid_q, outside_d, outside_q;
  logic [13:0] tag_q[2];
  logic [AddrW-1:0] place_q[2];  // first word of a buffer's parameters
  logic [1:0] overwritten, stale_d, stale_q;
  logic hit_now, hit_next, start, target_d, target_q, beyond;
  logic [13:0] wanted;
  logic [AddrW-1:0] first;  // word of the group
  logic [ByteW-1:0] whole;  // byte of the C channels that it belongs to
  logic busy_d, busy_q, landing_d, landing_q, done;
  logic [AddrW-1:0] addr_d, addr_q;
  logic [CountW-1:0] asked_d, asked_q, landed_d, landed_q;

  assign hit_now  = valid_q[bank_i] && tag_q[bank_i] == group_i;
  assign hit_next = valid_q[!bank_i] && tag_q[!bank_i] == next_group_i;
  assign wanted   = hit_now ? next_group_i : group_i;
  assign start    = use_i && !busy_q && !clear_i && !bank_busy_i[target_d] &&
                    (!hit_now || (ahead_i && !hit_next));
  assign first    = AddrW'((ByteW'(base_i) + (ByteW'(wanted) << $clog2(ParamBytes * Lanes))) >> WordShift);
  assign whole    = ByteW'(base_i) + (ByteW'(wanted >> ShareW) << $clog2(ParamBytes * Cols));
  assign beyond   = whole + ByteW'(ParamBytes * Cols) > ByteW'(SpadBytes);

  assign ready_o   = hit_now;
  assign outside_o = hit_now && outside_q[bank_i];
  assign idle_o    = !busy_q;

  assign rreq_o    = busy_q && asked_q != CountW'(Words);
  assign raddr_o   = addr_q;
  assign landing_d = rreq_o && rgnt_i;
  assign done      = landing_q && landed_q == CountW'(Words - 1);

  assign target_d  = hit_now ? !bank_i : bank_i;

  for (genvar b = 0; b < 2; b++) begin : gen_overwritten
    assign overwritten[b] = written_i && AddrW'(waddr_i - place_q[b]) < AddrW'(Words);
  end

  always_comb begin
    valid_d   = begin_i ? valid_q & ~stale_q : valid_q;
    stale_d   = stale_q | overwritten;
    outside_d = outside_q;
    busy_d    = busy_q;
    addr_d    = addr_q;
    asked_d   = asked_q;
    landed_d  = landed_q;
    if (landing_d) begin
      addr_d  = addr_q + 1'b1;
      asked_d = asked_q + 1'b1;
    end
    if (landing_q) landed_d = landed_q + 1'b1;
    if (done) begin
      busy_d = 1'b0;
      valid_d[target_q] = 1'b1;
    end
    if (start) begin
      valid_d[target_d] = beyond;
      outside_d[target_d] = beyond;
      stale_d[target_d] = 1'b0;
      busy_d   = !beyond;
      addr_d   = first;
      asked_d  = '0;
      landed_d = '0;
    end
    if (clear_i) valid_d = '0;
  end

  `FF(valid_q, valid_d, '0)
  `FF(outside_q, outside_d, '0)
  `FF(busy_q, busy_d, 1'b0)
  `FF(landing_q, landing_d, 1'b0)
  `FFL(asked_q, asked_d, start || landing_d, '0)
  `FFL(landed_q, landed_d, start || landing_q, '0)
  `FFLNR(addr_q, addr_d, start || landing_d)
  `FFLNR(target_q, target_d, start)
  `FFLNR(tag_q[target_d], wanted, start)
  `FFLNR(place_q[target_d], first, start)
  `FF(stale_q, stale_d, '0)

  for (genvar b = 0; b < 2; b++) begin : gen_bank
    for (genvar w = 0; w < Words; w++) begin : gen_word
      logic [8*Depth-1:0] held_q;
      `FFGATED(word, held_q, rdata_i, landing_q && 32'(target_q) == b && 32'(landed_q) == w)
      for (genvar i = 0; i < PerWord; i++) begin : gen_parameter
        assign parameter_o[b][PerWord*w+i] = held_q[64*i+:64];
      end
    end
  end

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
