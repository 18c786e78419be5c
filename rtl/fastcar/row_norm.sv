// SPDX-License-Identifier: Apache-2.0
// RMSNorm of the rows that are asked for, Vector elements a cycle, from their sums of squares: int16 rows in, segments of
// 64 int8 out to the lanes, row by row (docs/fastcar.md, Numerics, norm).

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module row_norm
  import arith_pkg::*;
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned Vector   = 8,    // elements a cycle, a power of two, 1 to 32
    parameter int unsigned RowWords = 128,  // words of a row's part of a memory, a power of two
    localparam int unsigned AddrW = $clog2(MaxRows * RowWords),
    localparam int unsigned GainW = $clog2(RowWords)
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic                start_i,
    output logic                done_o,        // for a cycle
    input  logic  [MaxRows-1:0] rows_i,        // to be normed, one at least
    input  logic  [        9:0] row_words_i,
    input  logic signed [  9:0] norm_shift_i,
    output row_t                square_row_o,
    input  logic  [       43:0] squares_i,
    output logic                x_re_o,
    output logic  [  AddrW-1:0] x_addr_o,
    input  word_t               x_i,
    output logic                gain_re_o,
    output logic  [  GainW-1:0] gain_addr_o,
    input  word_t               gain_i,
    output logic                load_valid_o,
    input  logic                load_ready_i,
    output row_t                load_row_o,
    output logic  [        9:0] load_segment_o,
    output word_t               load_o,
    output logic                load_last_o
);
  localparam int unsigned Slices = Shorts / Vector;
  localparam int unsigned SliceW = (Slices > 1) ? $clog2(Slices) : 1;
  localparam int unsigned RootLatency = 5;

  typedef enum logic [1:0] {
    Idle,
    Root,
    Work,
    Drain
  } state_e;

  state_e state_d, state_q;
  logic [MaxRows-1:0] left_d, left_q;
  row_t row;
  logic row_is_last, read, slice_ends, word_ends, row_ends, advance;
  logic [9:0] word_d, word_q;
  logic [SliceW-1:0] slice_d, slice_q;
  logic [2:0] wait_d, wait_q;

  // -- The root of a row
  logic [5:0] bits;
  logic [3:0] half_d, half_q;
  logic [43:0] scaled;
  logic [31:0] root_in_q, root;
  logic signed [9:0] shift_q;
  logic signed [15:0] mantissa_q;

  always_comb begin
    row = '0;
    for (int unsigned r = MaxRows; r > 0; r--) if (left_q[r-1]) row = row_t'(r - 1);
  end
  assign row_is_last  = (left_q & (left_q - 1'b1)) == '0;
  assign square_row_o = row;

  always_comb begin
    bits = '0;
    for (int unsigned b = 0; b < 44; b++) if (squares_i[b]) bits = 6'(b + 1);
    half_d = (bits > 6'd31) ? 4'((bits - 6'd30) >> 1) : '0;
    scaled = squares_i >> {half_d, 1'b0};
  end
  `FFLNR(half_q, half_d, state_q == Root)
  `FFLNR(root_in_q, 32'(scaled), state_q == Root)

  vpu_row_function u_root (
      .clk_i,
      .enable_i(1'b1),
      .valid_i ('1),
      .root_i  (1'b1),
      .y_i     ($signed(root_in_q)),
      .packed_o(root)
  );
  `FFLNR(shift_q, 10'(root[25:16]) + 10'(half_q) + norm_shift_i, state_q == Root)
  `FFLNR(mantissa_q, $signed(root[15:0]), state_q == Root)

  // -- Elements: a word's slices follow its read; two stages of products, then the segment
  typedef struct packed {
    logic [SliceW-1:0] slice;
    logic              odd;    // word of the segment
    logic              leaves;  // the segment is whole
    logic              last;
    row_t              row;
    logic [9:0]        segment;
  } tag_t;
  tag_t tag_d, tag_q[3];
  logic [2:0] busy_q;
  logic signed [31:0] scaled_d[Vector], scaled_q[Vector];
  logic signed [15:0] gain_q[Vector];
  logic signed [47:0] product_d[Vector], product_q[Vector];
  word_t segment_d, segment_q;
  logic leaves_d;

  assign advance     = !(load_valid_o && !load_ready_i);
  assign read        = state_q == Work && advance;
  assign slice_ends  = slice_q == SliceW'(Slices - 1);
  assign row_ends    = word_q == row_words_i - 10'd1;
  assign word_ends   = read && slice_ends;
  assign x_re_o      = read && slice_q == '0;
  assign gain_re_o   = x_re_o;
  assign x_addr_o    = AddrW'(32'(row) * RowWords + 32'(word_q));
  assign gain_addr_o = GainW'(word_q);
  assign tag_d = tag_t'{
      slice: slice_q,
      odd: word_q[0],
      leaves: slice_ends && (word_q[0] || row_ends),
      last: row_is_last && row_ends,
      row: row,
      segment: 10'(word_q >> 1)
  };

  always_comb begin
    segment_d = segment_q;
    for (int unsigned i = 0; i < Vector; i++) begin
      scaled_d[i]  = $signed(x_i[16*(32'(tag_q[0].slice)*Vector+i)+:16]) * mantissa_q;
      product_d[i] = 48'(scaled_q[i]) * 48'(gain_q[i]);
      segment_d[8*(32'(tag_q[2].odd)*Shorts+32'(tag_q[2].slice)*Vector+i)+:8] =
          sat8(rshift(product_q[i], shift_q));
    end
    leaves_d = busy_q[2] && tag_q[2].leaves;
  end
  for (genvar i = 0; i < Vector; i++) begin : gen_element
    `FFLNR(scaled_q[i], scaled_d[i], advance)
    `FFLNR(gain_q[i], $signed(gain_i[16*(32'(tag_q[0].slice)*Vector+i)+:16]), advance)
    `FFLNR(product_q[i], product_d[i], advance)
  end
  `FFL(busy_q, {busy_q[1:0], read}, advance, '0)
  `FFLNR(tag_q[0], tag_d, advance)
  `FFLNR(tag_q[1], tag_q[0], advance)
  `FFLNR(tag_q[2], tag_q[1], advance)
  `FFLNR(segment_q, segment_d, advance && busy_q[2])
  `FFL(load_valid_o, leaves_d, advance, 1'b0)
  `FFLNR(load_row_o, tag_q[2].row, advance)
  `FFLNR(load_segment_o, tag_q[2].segment, advance)
  `FFLNR(load_last_o, tag_q[2].last, advance)
  assign load_o = segment_q;

  always_comb begin
    state_d = state_q;
    left_d  = left_q;
    word_d  = word_q;
    slice_d = slice_q;
    wait_d  = wait_q;
    done_o  = 1'b0;
    unique case (state_q)
      Idle:
      if (start_i) begin
        state_d = Root;
        left_d  = rows_i;
        wait_d  = '0;
      end
      Root: begin
        wait_d  = wait_q + 1'b1;
        word_d  = '0;
        slice_d = '0;
        if (wait_q == 3'(RootLatency + 1)) state_d = Work;
      end
      Work:
      if (read) begin
        slice_d = slice_ends ? '0 : slice_q + 1'b1;
        if (word_ends) begin
          word_d = word_q + 1'b1;
          if (row_ends) state_d = Drain;
        end
      end
      default:  // the row's root stands still until its last element has left
      if (advance && busy_q == '0) begin
        wait_d  = '0;
        left_d  = left_q & (left_q - 1'b1);
        state_d = row_is_last ? Idle : Root;
        done_o  = row_is_last;
      end
    endcase
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(left_q, left_d, start_i || state_q == Drain)
  `FFLNR(word_q, word_d, state_q != Idle)
  `FFLNR(slice_q, slice_d, state_q != Idle)
  `FFLNR(wait_q, wait_d, 1'b1)

  logic unused_root;
  assign unused_root = ^{root[31:26], scaled[43:32]};

  `ASSERT_STABLE(LoadStable, load_valid_o, load_ready_i, {load_row_o, load_segment_o, load_o, load_last_o})
  `ASSERT_ALWAYS(SomeRow, !start_i || rows_i != '0)
  `CHECK_PARAMETER(VectorInRange, Vector >= 1 && Vector * Slices == Shorts)
endmodule

`default_nettype wire
