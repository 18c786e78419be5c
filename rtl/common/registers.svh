// SPDX-License-Identifier: Apache-2.0
// The one way to write a register. Clock and reset are always `clk_i` and `rst_ni`.

`ifndef TRIPTYCH_REGISTERS_SVH
`define TRIPTYCH_REGISTERS_SVH

// Register with asynchronous reset to `rstval`.
`define FF(q, d, rstval)                          \
  always_ff @(posedge clk_i or negedge rst_ni) begin \
    if (!rst_ni) q <= rstval;                     \
    else         q <= d;                          \
  end

// The same with a load enable.
`define FFL(q, d, en, rstval)                     \
  always_ff @(posedge clk_i or negedge rst_ni) begin \
    if (!rst_ni) q <= rstval;                     \
    else if (en) q <= d;                          \
  end

// Wide datapath register behind a clock gate of its own (`gate_<name>`); in scan it loads in every cycle. Without the
// multiplexers that hold a register whose clock runs it takes a quarter less.
`define FFGATED(name, q, d, en)                   \
  logic clk_``name;                               \
  clock_gate gate_``name (.clk_i, .en_i(en), .test_en_i, .clk_o(clk_``name)); \
  always_ff @(posedge clk_``name) q <= d;

// Datapath register: load enable, no reset.
`define FFLNR(q, d, en)                           \
  always_ff @(posedge clk_i) begin                \
    if (en) q <= d;                               \
  end

`endif
