// SPDX-License-Identifier: Apache-2.0
// First-word fall-through FIFO: an entry is offered in the cycle after it was taken, in order, until it is accepted.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module fifo #(
    parameter int unsigned Width = 32,  // bits of an entry
    parameter int unsigned Depth = 2    // entries, a power of two, two or more
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             flush_i,  // drop everything; takes nothing in this cycle
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Width-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [Width-1:0] data_o
);
  localparam int unsigned IndexW = $clog2(Depth);

  if (Depth < 2 || Depth != 1 << IndexW) begin : gen_bad_size
    $fatal(1, "a FIFO has two entries, four, or another power of two");
  end

  logic [Width-1:0] entries_q[Depth];
  logic [IndexW:0] read_q, write_q;  // one bit more than an index: equal when empty, apart by Depth when full
  logic push, pop;

  assign ready_o = write_q - read_q != (IndexW + 1)'(Depth);
  assign valid_o = write_q != read_q;
  assign data_o  = entries_q[read_q[IndexW-1:0]];
  assign push    = valid_i && ready_o && !flush_i;
  assign pop     = valid_o && ready_i;

  `FFL(read_q, flush_i ? '0 : read_q + 1'b1, pop || flush_i, '0)
  `FFL(write_q, flush_i ? '0 : write_q + 1'b1, push || flush_i, '0)
  `FFLNR(entries_q[write_q[IndexW-1:0]], data_i, push)

  // Offers stay until they are taken, a flush apart.
  `ASSERT_ALWAYS(InputStable,
                 valid_i && !ready_o && !flush_i |=> flush_i || (valid_i && $stable(data_i)))
  `ASSERT_ALWAYS(OutputStable,
                 valid_o && !ready_i && !flush_i |=> valid_o && $stable(data_o))
endmodule

`default_nettype wire
