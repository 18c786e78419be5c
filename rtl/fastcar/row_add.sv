// SPDX-License-Identifier: Apache-2.0
// Adds a delta to the residual of every row and sums the squares of the result: x = sat16(x + delta), Vector elements a
// cycle. A row's delta comes from the memory of deltas or as words from outside (the replay ring; rows of a new token, to
// which nothing is added). Deltas from the memory leave to the ring where asked for.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module row_add
  import arith_pkg::*;
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Vector   = 8,    // elements a cycle, a power of two, 1 to 32
    parameter int unsigned RowWords = 128,  // words of a row's part of a memory, a power of two
    localparam int unsigned AddrW = $clog2(MaxRows * RowWords)
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               start_i,
    output logic               done_o,         // for a cycle
    input  count_t             rows_i,
    input  logic [       14:0] width_i,
    input  logic [        9:0] row_words_i,
    input  logic               fresh_i,        // x is 0
    input  logic [MaxRows-1:0] outside_i,      // rows whose delta comes from outside
    input  logic               keep_i,         // deltas from the memory leave
    output logic               x_re_o,
    output logic [  AddrW-1:0] x_raddr_o,
    input  word_t              x_i,
    output logic               x_we_o,
    output logic [  AddrW-1:0] x_waddr_o,
    output word_t              x_o,
    output logic               delta_re_o,
    output logic [  AddrW-1:0] delta_addr_o,
    input  word_t              delta_i,
    input  logic               word_valid_i,   // from outside
    output logic               word_ready_o,
    input  word_t              word_i,
    output logic               keep_valid_o,
    input  logic               keep_ready_i,
    output word_t              keep_o,
    output logic               row_o,          // for a cycle: a row is done
    input  row_t               square_row_i,
    output logic [       43:0] squares_o       // of that row, as they were summed last
);
  localparam int unsigned Slices = Shorts / Vector;
  localparam int unsigned SliceW = (Slices > 1) ? $clog2(Slices) : 1;

  typedef enum logic [1:0] {
    Idle,
    Read,
    Offer,
    Work
  } state_e;

  state_e state_d, state_q;
  row_t row;
  logic [9:0] word;
  logic [SliceW-1:0] slice_d, slice_q;
  logic outside, row_ends, word_ends, begins, ends, unused_ends;
  logic [7:0] unused_chunk;
  logic [11:0] unused_at;
  logic [Bytes-1:0] kept;
  word_t delta, sum_d, sum_q;
  logic [43:0] squares_d, squares_q, squares[MaxRows];
  logic signed [15:0] added[Vector];

  walk_counter u_walk (
      .clk_i,
      .rst_ni,
      .start_i,
      .step_i      (word_ends),
      .rows_i,
      .chunks_i    (8'd1),
      .words_i     (row_words_i),
      .row_o       (row),
      .chunk_o     (unused_chunk),
      .word_o      (word),
      .at_o        (unused_at),
      .chunk_ends_o(unused_ends),
      .row_ends_o  (row_ends),
      .ends_o      (ends)
  );

  assign outside   = outside_i[row];
  assign kept      = tail_bytes(12'(word), {2'd0, width_i, 1'b0});
  assign delta     = mask_word(outside ? word_i : delta_i, kept);
  assign word_ends = state_q == Work && slice_q == SliceW'(Slices - 1);
  assign begins    = word == '0 && slice_q == '0;

  // A word is offered to the ring, and taken from outside, before the work on it begins and as it ends.
  assign keep_valid_o = state_q == Offer && keep_i && !outside;
  assign keep_o       = delta;
  assign word_ready_o = word_ends && outside;
  assign x_re_o       = state_q == Read;
  assign delta_re_o   = state_q == Read;
  assign x_raddr_o    = AddrW'(32'(row) * RowWords + 32'(word));
  assign delta_addr_o = x_raddr_o;
  assign x_we_o       = word_ends;
  assign x_waddr_o    = x_raddr_o;
  assign x_o          = sum_d;
  assign row_o        = word_ends && row_ends;

  always_comb begin
    sum_d = sum_q;
    squares_d = begins ? '0 : squares_q;
    for (int unsigned i = 0; i < Vector; i++) begin
      added[i] = sat16(48'($signed(delta[16*(32'(slice_q)*Vector+i)+:16])) +
                       (fresh_i ? 48'sd0 : 48'($signed(x_i[16*(32'(slice_q)*Vector+i)+:16]))));
      if (!kept[2*(32'(slice_q)*Vector+i)]) added[i] = '0;
      sum_d[16*(32'(slice_q)*Vector+i)+:16] = added[i];
      squares_d += 44'(32'(added[i]) * 32'(added[i]));
    end
  end

  always_comb begin
    state_d = state_q;
    slice_d = slice_q;
    done_o  = 1'b0;
    unique case (state_q)
      Idle: if (start_i) state_d = Read;
      Read: begin
        state_d = Offer;
        slice_d = '0;
      end
      Offer: if (outside ? word_valid_i : (!keep_i || keep_ready_i)) state_d = Work;
      default: begin
        slice_d = slice_q + 1'b1;
        if (word_ends) begin
          slice_d = '0;
          state_d = ends ? Idle : Read;
          done_o  = ends;
        end
      end
    endcase
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(slice_q, slice_d, state_q != Idle)
  `FFLNR(sum_q, sum_d, state_q == Work)
  `FFLNR(squares_q, squares_d, state_q == Work)
  `FFLNR(squares[row], squares_d, row_o)
  assign squares_o = squares[square_row_i];

  `ASSERT_STABLE(KeepStable, keep_valid_o, keep_ready_i, keep_o)
  `CHECK_PARAMETER(VectorInRange, Vector >= 1 && Vector * Slices == Shorts)
  `CHECK_PARAMETER(RowsArePowersOfTwo, RowWords == 1 << $clog2(RowWords))
endmodule

`default_nettype wire
