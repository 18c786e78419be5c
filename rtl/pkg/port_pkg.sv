// SPDX-License-Identifier: Apache-2.0
// The ports between blocks, each written once. What is as wide as a scratchpad word stands beside them, since its
// width is a parameter. docs/architecture.md says what the names mean.

package port_pkg;
  import isa_pkg::*;

  // To an engine, beside the instruction itself (isa_pkg::header_t).
  typedef struct packed {
    logic stop;        // level: drop everything, start nothing
    logic valid;       // an instruction is offered, its tokens are there
    logic token_wait;  // one waits whose tokens are missing
  } engine_req_t;

  localparam int unsigned ClassW = 7;  // of the engine with most cycle classes
  typedef logic [ClassW-1:0] class_t;

  // From an engine.
  typedef struct packed {
    logic              ready;        // takes the instruction
    logic              retire;       // pulse; instructions retire in order
    logic [31:0]       signature;    // with `retire`
    logic              fault;        // level until `stop`; in no cycle with `retire`
    trap_e             cause;        // with `fault`
    logic              idle;         // holds nothing, and nothing is outstanding
    class_t            cycle_class;  // of the cycle before, one-hot: chip_pkg, mxu_pkg, vpu_pkg
  } engine_rsp_t;

  // A request to the scratchpad, for a read or a write; granted in the same cycle, read data come in the next.
  typedef struct packed {
    logic        valid;
    logic [19:0] addr;  // word: 24-bit byte addresses, words of 16 bytes or more
  } spad_req_t;

  // AXI4 read address, of whole beats that increment.
  typedef struct packed {
    logic        valid;
    logic [31:0] addr;
    logic [7:0]  len;    // beats - 1
  } ar_t;

  // AXI4 read data, beside the data itself.
  typedef struct packed {
    logic valid;
    logic error;
  } r_t;

  // What the registers ask of the chip, and what they show of it.
  typedef struct packed {
    logic          start;  // pulse
    logic          clear;  // pulse
    logic [31:0]   watchdog;
    logic [31:6]   prog_base;
    chip_pkg::pc_t prog_count;
  } command_t;

  typedef struct packed {
    logic          running;
    logic          done;
    logic          trapped;
    logic          idle;
    trap_e         cause;
    logic [2:0]    source;  // engine, or chip_pkg::SourceFrontEnd
    chip_pkg::pc_t pc;
  } status_t;

  // Signatures of an engine: of the instruction that it retired last, and the sum of all.
  typedef struct packed {
    logic [31:0] last;
    logic [31:0] sum;
  } signatures_t;

endpackage
