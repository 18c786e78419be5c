// SPDX-License-Identifier: Apache-2.0
// Walks the byte addresses of one stream: block by block, group by group, pixel by pixel, one element a `step_i`.
// What is wrong with an address is found while it is made, so that it stands in registers when the element waits.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_stream_address
  import vpu_pkg::*;
#(
    parameter int unsigned Cols      = 8,     // columns of the MXU (C), a multiple of the lanes
    parameter int unsigned Lanes     = 8,     // lanes
    parameter int unsigned Depth     = 16,    // bytes of a word
    parameter int unsigned SpadWords = 16384  // words of the scratchpad
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             start_i,       // an instruction begins at `base_i`
    input  logic [     23:0] base_i,
    input  logic [     23:0] row_stride_i,
    input  logic [     19:0] pix_stride_i,
    input  logic             check_i,       // the format is new: `addr_o` is checked again
    input  logic             half_i,        // half a byte a channel
    input  logic             double_i,      // two bytes a channel (neither: one)
    input  logic             step_i,        // the element at `addr_o` is taken
    input  logic             row_end_i,     // it is the last pixel of its row
    input  logic             block_end_i,   // of its block (in this group)
    input  logic             first_group_i, // it belongs to group 0
    input  logic             last_group_i,  // to the last group
    input  logic             advance_i,     // after this block comes the next one (otherwise this one again)
    output logic [ByteW-1:0] addr_o,
    output logic             misaligned_o,
    output logic             outside_o
);
  localparam int unsigned SpadBytes = SpadWords * Depth;
  localparam int unsigned GranuleW = $clog2(2 * Cols);

  // Place and row of the element (with the group's offset), of the block's first pixel and of the next block's.
  typedef struct packed {
    logic [ByteW-1:0] pixel;
    logic [ByteW-1:0] row;
  } place_t;

  place_t at_d, at_q, block_d, block_q, next_d, next_q, stepped, follower;
  logic [ByteW-1:0] group_d, group_q, granule, checked;
  logic [GranuleW-1:0] checked_group;
  logic misaligned_d, outside_d;
  logic [GranuleW-1:0] mask;

  assign granule = half_i ? ByteW'(Lanes / 2) : double_i ? ByteW'(2 * Lanes) : ByteW'(Lanes);

  always_comb begin
    stepped.row   = row_end_i ? at_q.row + ByteW'(row_stride_i) : at_q.row;
    stepped.pixel = row_end_i ? stepped.row : at_q.pixel + ByteW'(pix_stride_i);
    follower = first_group_i ? stepped : next_q;
  end

  always_comb begin
    at_d    = stepped;
    block_d = block_q;
    next_d  = next_q;
    group_d = group_q;
    if (block_end_i) begin
      next_d  = follower;
      group_d = last_group_i ? '0 : group_q + granule;
      if (last_group_i && advance_i) block_d = follower;
      at_d.pixel = block_d.pixel + group_d;
      at_d.row   = block_d.row + group_d;
    end
    if (start_i) begin
      at_d    = {ByteW'(base_i), ByteW'(base_i)};
      block_d = at_d;
      group_d = '0;
    end
  end

  `FFL(at_q, at_d, start_i || step_i, '0)
  `FFL(block_q, block_d, start_i || step_i, '0)
  `FFL(next_q, next_d, step_i, '0)
  `FFL(group_q, group_d, start_i || step_i, '0)

  // C channels lie together at a multiple of their bytes, the groups of lanes one behind the other in them.
  assign mask = half_i ? GranuleW'(Cols / 2 - 1) : double_i ? GranuleW'(2 * Cols - 1) : GranuleW'(Cols - 1);
  assign checked       = check_i ? at_q.pixel : at_d.pixel;
  assign checked_group = GranuleW'(check_i ? group_q : group_d);
  assign misaligned_d  = ((checked[GranuleW-1:0] ^ checked_group) & mask) != '0;
  assign outside_d     = checked >= ByteW'(SpadBytes);
  assign addr_o        = at_q.pixel;

  `FFL(misaligned_o, misaligned_d, check_i || step_i, 1'b0)
  `FFL(outside_o, outside_d, check_i || step_i, 1'b0)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
