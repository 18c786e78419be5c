// SPDX-License-Identifier: Apache-2.0
// Packs a group of results into scratchpad words, writes them (INT16 may need two), and keeps the signature.
// The pipeline may move on only while `ready_o`.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_write
  import isa_pkg::*;
  import arith_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Depth     = 16,     // bytes of a word
    parameter int unsigned Lanes      = 8,      // lanes
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    localparam int unsigned AddrW    = $clog2(SpadWords)
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      test_en_i,
    input  logic                      clear_i,        // an instruction begins: signature zero
    input  logic                      valid_i,        // a group to write
    output logic                      ready_o,
    input  destination_e              destination_i,
    input  logic          [ByteW-1:0] dest_i,         // byte address of the granule
    input  logic          [ Lanes-1:0] lanes_valid_i,
    input  logic signed   [     15:0] lanes_i[Lanes],
    output logic                      idle_o,
    output logic          [     31:0] signature_o,
    output logic                      wreq_o,
    output logic          [AddrW-1:0] waddr_o,
    output logic          [Depth-1:0] wbe_o,
    output logic        [8*Depth-1:0] wdata_o,
    input  logic                      wgnt_i
);
  localparam int unsigned Beats = (2 * Lanes > Depth) ? 2 : 1;  // words of an INT16 granule
  localparam int unsigned Chunks = Depth / 4;  // 32-bit words of a word
  localparam int unsigned WordShift = $clog2(Depth);
  localparam int unsigned HalfShift = $clog2(Lanes / 2);

  typedef logic [31:0] words_t[Beats*Chunks];
  typedef logic [31:0] chunks_t[Chunks];

  words_t words_q;
  chunks_t chunks, steps_q;
  logic [Beats*Depth-1:0] be_d, be_q;
  logic [WordShift-1:0] offset;
  logic take, full_d, full_q, last_beat, beat_d, beat_q, second_q, written, step_q;
  logic [AddrW-1:0] addr_q;
  logic [31:0] signature_d, signature_q;

  // Every place where the granule may lie gets its bytes; the byte enables choose.
  function automatic words_t next_words();
    for (int unsigned i = 0; i < Beats * Chunks; i++) begin
      unique case (destination_i)
        DestinationInt8: begin
          next_words[i] = {
            lanes_i[(4*i+3)%Lanes][7:0],
            lanes_i[(4*i+2)%Lanes][7:0],
            lanes_i[(4*i+1)%Lanes][7:0],
            lanes_i[(4*i)%Lanes][7:0]
          };
        end
        DestinationNibble: begin
          next_words[i] = '0;
          for (int unsigned k = 0; k < 8; k++) begin
            if (lanes_valid_i[(8*i+k)%Lanes]) begin
              next_words[i] = next_words[i] | (32'(lanes_i[(8*i+k)%Lanes][3:0]) << (4 * k));
            end
          end
        end
        default: next_words[i] = {lanes_i[(2*i+1)%Lanes], lanes_i[(2*i)%Lanes]};
      endcase
    end
  endfunction

  assign offset = dest_i[WordShift-1:0];

  always_comb begin
    be_d = '0;
    if (take) begin
      unique case (destination_i)
        DestinationInt8: begin
          for (int unsigned b = 0; b < Depth; b++) begin
            be_d[b] = lanes_valid_i[b%Lanes] && 32'(offset >> (HalfShift + 1)) == b / Lanes;
          end
        end
        DestinationNibble: begin
          for (int unsigned b = 0; b < Depth; b++) begin
            be_d[b] = lanes_valid_i[(2*b)%Lanes] && 32'(offset >> HalfShift) == b / (Lanes / 2);
          end
        end
        default: begin
          for (int unsigned b = 0; b < Beats * Depth; b++) begin
            be_d[b] = lanes_valid_i[(b/2)%Lanes] &&
                      (2 * Lanes >= Depth || 32'(offset >> (HalfShift + 2)) == b / (2 * Lanes));
          end
        end
      endcase
    end
  end

  assign ready_o = !full_q || (wgnt_i && last_beat);
  assign take    = valid_i && ready_o;
  assign full_d  = take || !ready_o;

  `FF(full_q, full_d, 1'b0)
  `FFGATED(words, words_q, next_words(), take)
  `FFLNR(be_q, be_d, take)

  // The address of the second word stands in the register, too: the scratchpad's grants hang on it.
  if (Beats == 2) begin : gen_beats
    logic [AddrW-1:0] addr_d;
    assign addr_d = take ? dest_i[WordShift+:AddrW] : addr_q + 1'b1;
    `FFLNR(addr_q, addr_d, take || (written && !last_beat))
    `FFLNR(second_q, destination_i == DestinationInt16, take)
    `FF(beat_q, beat_d, 1'b0)
    assign beat_d    = wreq_o && wgnt_i ? !last_beat : beat_q;
    assign last_beat = beat_q || !second_q;
  end else begin : gen_beat
    `FFLNR(addr_q, dest_i[WordShift+:AddrW], take)
    assign second_q  = 1'b0;
    assign beat_d    = 1'b0;
    assign beat_q    = beat_d;
    assign last_beat = !second_q;
  end

  always_comb begin
    for (int unsigned i = 0; i < Chunks; i++) chunks[i] = words_q[i];
    if (beat_q) for (int unsigned i = 0; i < Chunks; i++) chunks[i] = words_q[(Beats-1)*Chunks+i];
  end

  assign wreq_o  = full_q;
  assign waddr_o = addr_q;
  assign wbe_o   = beat_q ? be_q[(Beats-1)*Depth+:Depth] : be_q[Depth-1:0];
  for (genvar i = 0; i < Chunks; i++) begin : gen_wdata
    assign wdata_o[32*i+:32] = chunks[i];
  end

  // Signature: the words' shares one cycle, their sum the next.
  function automatic chunks_t next_steps();
    logic [3:0] be;
    for (int unsigned i = 0; i < Chunks; i++) begin
      be = wbe_o[4*i+:4];
      next_steps[i] = '0;
      if (be != '0) begin
        next_steps[i] = signature_step(
            chunks[i] & {{8{be[3]}}, {8{be[2]}}, {8{be[1]}}, {8{be[0]}}}, 32'(waddr_o) * Chunks + i);
      end
    end
  endfunction

  always_comb begin
    signature_d = '0;
    if (!clear_i) begin
      signature_d = signature_q;
      for (int unsigned i = 0; i < Chunks; i++) signature_d = signature_d + steps_q[i];
    end
  end

  assign written = wreq_o && wgnt_i;
  `FF(step_q, written, 1'b0)
  `FFGATED(steps, steps_q, next_steps(), written)
  `FFL(signature_q, signature_d, step_q || clear_i, '0)

  assign signature_o = signature_q;
  assign idle_o = !full_q && !step_q;

  // An element without lanes is not written: it would take the port's time for nothing.
  `ASSERT_ALWAYS(SomethingTaken, !take || lanes_valid_i != '0)
  logic unused_dest;
  assign unused_dest = ^dest_i[ByteW-1:WordShift+AddrW];

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_lanes(Lanes) && Lanes <= Depth)
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
