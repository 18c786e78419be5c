// SPDX-License-Identifier: Apache-2.0
// A two-dimensional copy as LOAD and STORE carry it out, in words of the scratchpad.

package dma_pkg;

  typedef logic [19:0] word_t;  // word address or distance: 24-bit byte address, words of 16 bytes or more
  typedef logic [35:0] run_t;  // words in all rows together

  // A copy as its instruction asks for it, in bytes.
  typedef struct packed {
    logic [31:0] dram;
    logic [31:0] dram_row;
    logic [23:0] spad;
    logic [23:0] spad_row;
    logic [15:0] rows;
    logic [23:0] row_bytes;
    logic [1:0]  space;  // isa_pkg::space_e
  } copy_t;

  // What the memory side does: `rows` runs of `run` words.
  typedef struct packed {
    logic [31:0] dram;  // byte address of the first run
    logic [31:0] dram_row;  // bytes from run to run
    logic [15:0] rows;
    run_t run;
  } stream_t;

  // What the scratchpad side does: `rows` rows of `words` words.
  typedef struct packed {
    logic [1:0]  space;  // isa_pkg::space_e
    word_t       spad;
    word_t       spad_row;
    logic [15:0] rows;
    word_t       words;
  } box_t;

endpackage
