// SPDX-License-Identifier: Apache-2.0
// Types of the matrix engine and the arithmetic of one cell of its array.

package mxu_pkg;
  // Bits of a word address in the loops: exact for every address inside the picture, modulo 2^40 outside it.
  parameter int unsigned WordW = 40;
  parameter int unsigned ByteW = 48;  // the same for byte addresses of the stationary operand

  // How a cell reads its weight byte w and its operand byte a.
  typedef enum logic [1:0] {
    CellPair   = 2'd0,  // two unsigned codes of a times the two signed nibbles of w
    CellNibble = 2'd1,  // signed a times the signed nibble of w that the phase names (1: high)
    CellByte   = 2'd2   // signed a times one nibble of the signed byte w: phase 1 the high one, 0 the low
  } cell_mode_e;

  // Cycle classes in the order of `class_o`, one-hot.
  typedef enum logic [2:0] {
    ClassActive  = 3'd0,
    ClassEmpty   = 3'd1,
    ClassToken   = 3'd2,
    ClassWeights = 3'd3,
    ClassAcc     = 3'd4,
    ClassSpad    = 3'd5,
    ClassFill    = 3'd6
  } class_e;
  parameter int unsigned Classes = 7;

  // A MATMUL, worked out for the stream's address generator.
  typedef struct packed {
    cell_mode_e mode;
    isa_pkg::act_format_e act_format;
    logic depthwise;
    logic [2:0] code_table;
    logic [7:0] pad_value;
    logic [15:0] in_h;
    logic [15:0] in_w;
    logic [3:0] pad_top;
    logic [3:0] pad_left;
    logic [3:0] kernel_h;
    logic [3:0] kernel_w;
    logic [2:0] stride_y;
    logic [2:0] stride_x;
    logic [11:0] chunks;
    logic [6:0] last_elems;
    logic [15:0] out_w;
    logic [31:0] pixels;  // out_h * out_w
    logic [7:0] block;
    logic [12:0] n;
    logic [WordW-1:0] act_row;  // words
    logic [WordW-1:0] act_pix;  // words
    logic [WordW-1:0] step_y;  // words from output row to output row
    logic [WordW-1:0] step_x;  // words from output pixel to output pixel
    logic [WordW-1:0] origin;  // word of the first tap of output pixel (0, 0), modulo 2^WordW
  } stream_job_t;

  // The same for the stationary loader.
  typedef struct packed {
    logic int8;
    logic depthwise;
    logic transpose;
    logic [11:0] chunks;
    logic [6:0] last_elems;
    logic [31:0] pixels;
    logic [7:0] block;
    logic [12:0] n;
    logic [23:0] wgt;
    logic [23:0] wgt_n;
    logic [23:0] wgt_t;
    logic [23:0] wgt_c;
    logic [19:0] tiles;  // a column tile; depthwise: in all
  } load_job_t;

  // What the edge makes of one word of the stream.
  typedef struct packed {
    isa_pkg::act_format_e act_format;
    logic depthwise;
    logic [2:0] code_table;
    logic [7:0] pad_value;
    logic pad;  // outside the picture: nothing is read
    logic half;  // half word of 4-bit codes
    logic [6:0] lanes;  // bytes that count
    logic [1:0] tap_row;  // row of the window
  } feed_t;

  // Where the accumulators put the sums of one step.
  typedef struct packed {
    logic first;  // overwrites
    logic complete;  // makes the row final
    logic [7:0] row;
    logic [2:0] group;  // running number of what shares a bank
    logic group_last;
    logic job_last;
  } target_t;

  // A step: dot products of one operand, or of the window that it completes.
  typedef struct packed {
    logic depthwise;
    cell_mode_e mode;
    logic phase;
    logic more;  // a second column tile follows from the same window
    logic [7:0] block;  // pixels of this block: rows from a column tile to the next
    target_t target;
  } step_t;

  // One word of the stream on its way.
  typedef struct packed {
    feed_t feed;
    logic last;  // the word makes a step
    logic swap;  // which needs the next stationary tile
    step_t step;
  } beat_t;

  // Signed nibbles are kept in the tile in excess of 8, so that a cell multiplies by unsigned ones.
  function automatic logic [7:0] stored_weight(input logic [7:0] w, input logic int8);
    return w ^ (int8 ? 8'h80 : 8'h88);
  endfunction

  // Whether the nibble in use is signed: then 8 times the operands' sum comes off the column's sum.
  function automatic logic excess(input cell_mode_e mode, input logic phase);
    return mode != CellByte || phase;
  endfunction

  // The operand as the cells take it: signed, but two unsigned codes stay what they are.
  function automatic logic signed [8:0] cell_operand(input logic [7:0] a, input cell_mode_e mode);
    return {a[7] && mode != CellPair, a};
  endfunction

  // A cell's two 4-bit products with `stored_weight` w and `cell_operand` a. They are summed apart over a column, so that
  // one shift a column and not one a cell gives the high one its weight. 8 and 9 bits hold them; 32 make fast simulators.
  function automatic logic signed [31:0] cell_low(input logic signed [31:0] a_low, input logic [7:0] w,
                                                  input cell_mode_e mode, input logic phase);
    return a_low * 32'(4'(w >> ((phase && mode != CellPair) ? 4 : 0)));
  endfunction

  function automatic logic signed [31:0] cell_high(input logic signed [31:0] a_high, input logic [7:0] w,
                                                   input cell_mode_e mode, input logic phase);
    return a_high * 32'(4'(w >> ((phase || mode == CellPair) ? 4 : 0)));
  endfunction

  // What low and high nibbles, or sums of them, count together: a byte, or two codes side by side.
  function automatic logic signed [31:0] joined(input logic signed [31:0] low, input logic signed [31:0] high,
                                                input cell_mode_e mode);
    return low + (high <<< (mode == CellPair ? 0 : 4));
  endfunction

  // A column's dot product: its summed products, less what its summed operands (`joined` both) have in excess.
  // CellByte's high nibble counts sixteenfold.
  function automatic logic signed [31:0] column_sum(input logic signed [31:0] products,
                                                    input logic signed [31:0] operands,
                                                    input cell_mode_e mode, input logic phase);
    return (products - (excess(mode, phase) ? operands <<< 3 : 32'sd0)) <<<
        ((mode == CellByte && phase) ? 4 : 0);
  endfunction
endpackage
