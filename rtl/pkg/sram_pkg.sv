// SPDX-License-Identifier: Apache-2.0
// Pins of the memory macros that no logic drives: power, margins, self-test. What they are called and how they are timed
// is the memory compiler's affair; here they are a bundle between the chip's ports and every memory.

package sram_pkg;

  typedef struct packed {
    logic       shut_down;    // contents are lost
    logic       light_sleep;  // contents are kept
    logic       bist_en;      // the self-test owns the ports
    logic [3:0] margin;
  } pins_t;

  typedef struct packed {
    logic bist_busy;
    logic bist_fail;
  } status_t;

endpackage
