// First-word fall-through FIFO: an entry is offered in the cycle after it was taken, in order, until it is accepted.

`include "assertions.svh"
`include "registers.svh"

module fifo #(
    parameter int unsigned Width = 32,  // bits of an entry
    parameter int unsigned Depth = 2    // entries, two or more for full throughput
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
  localparam int unsigned IndexW = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int unsigned CountW = $clog2(Depth + 1);

  logic [Width-1:0] entries_q[Depth];
  logic [IndexW-1:0] read_d, read_q, write_d, write_q;
  logic [CountW-1:0] count_d, count_q;
  logic push, pop;

  assign ready_o = count_q != CountW'(Depth);
  assign valid_o = count_q != '0;
  assign data_o  = entries_q[read_q];
  assign push    = valid_i && ready_o && !flush_i;
  assign pop     = valid_o && ready_i;

  always_comb begin
    read_d  = read_q;
    write_d = write_q;
    count_d = count_q;
    if (push) write_d = (write_q == IndexW'(Depth - 1)) ? '0 : write_q + 1'b1;
    if (pop) read_d = (read_q == IndexW'(Depth - 1)) ? '0 : read_q + 1'b1;
    if (push && !pop) count_d = count_q + 1'b1;
    if (pop && !push) count_d = count_q - 1'b1;
    if (flush_i) begin
      read_d  = '0;
      write_d = '0;
      count_d = '0;
    end
  end

  `FFL(read_q, read_d, push || pop || flush_i, '0)
  `FFL(write_q, write_d, push || pop || flush_i, '0)
  `FFL(count_q, count_d, push || pop || flush_i, '0)
  `FFLNR(entries_q[write_q], data_i, push)

  // Offers stay until they are taken, a flush apart.
  `ASSERT_ALWAYS(InputStable,
                 valid_i && !ready_o && !flush_i |=> flush_i || (valid_i && $stable(data_i)))
  `ASSERT_ALWAYS(OutputStable,
                 valid_o && !ready_i && !flush_i |=> valid_o && $stable(data_o))
endmodule
