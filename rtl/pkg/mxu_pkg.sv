// SPDX-License-Identifier: Apache-2.0
// Types of the matrix engine and the arithmetic of one cell of its array.

package mxu_pkg;
  // Bits of a word address in the loops: exact for every address inside the picture, modulo 2^40 outside it.
  parameter int unsigned WordW = 40;
  parameter int unsigned ByteW = 48;  // the same for byte addresses of the stationary operand

  // How a cell reads its weight byte w and its operand byte a.
  typedef enum logic [1:0] {
    CellPair   = 2'd0,  // the entries of two codes, a, times the two signed nibbles of w
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
    logic low4;  // CellNibble: every step takes the low nibbles of its own tile
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

  // An operand as the cells take it: two nibbles, each less 16 where its sign says so. In a byte the high one counts
  // sixteenfold and has the byte's sign; codes stand side by side, each an entry of five bits.
  typedef struct packed {
    logic high_sign;
    logic [3:0] high;
    logic low_sign;
    logic [3:0] low;
  } operand_t;

  function automatic operand_t byte_operand(input logic [7:0] a);
    return '{high_sign: a[7], high: a[7:4], low_sign: 1'b0, low: a[3:0]};
  endfunction

  // The nibbles of `stored_weight` w that a cell multiplies by the low and by the high nibble of its operand.
  function automatic logic [31:0] weight_low(input logic [7:0] w, input cell_mode_e mode, input logic phase);
    return 32'(4'(w >> ((phase && mode != CellPair) ? 4 : 0)));
  endfunction

  function automatic logic [31:0] weight_high(input logic [7:0] w, input cell_mode_e mode, input logic phase);
    return 32'(4'(w >> ((phase || mode == CellPair) ? 4 : 0)));
  endfunction

  // A cell's two products of nibbles, and the weights that stand at signs (all ones or zeros). 8 and 5 bits hold them;
  // 32 make fast simulators. They are summed apart over a column, so that one shift a column and not one a cell gives
  // each its weight.
  function automatic logic [31:0] cell_low(input logic [31:0] a_low, input logic [7:0] w,
                                           input cell_mode_e mode, input logic phase);
    return a_low * weight_low(w, mode, phase);
  endfunction

  function automatic logic [31:0] cell_high(input logic [31:0] a_high, input logic [7:0] w,
                                            input cell_mode_e mode, input logic phase);
    return a_high * weight_high(w, mode, phase);
  endfunction

  function automatic logic [31:0] cell_sign(input logic [31:0] low_sign, input logic [31:0] high_sign,
                                            input logic [7:0] w, input cell_mode_e mode, input logic phase);
    return (low_sign & weight_low(w, mode, phase)) + (high_sign & weight_high(w, mode, phase));
  endfunction

  // What these three sums, or those of the operands' own nibbles and signs, count together.
  function automatic logic signed [31:0] joined(input logic [31:0] low, input logic [31:0] high,
                                                input logic [31:0] sign, input cell_mode_e mode);
    return low + (high << (mode == CellPair ? 0 : 4)) - (sign << (mode == CellPair ? 4 : 8));
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
