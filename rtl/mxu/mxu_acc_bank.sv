// One accumulator bank: R rows of C int32 with one read and one write port; read data one cycle after `re_i`, held.
// A row must not be read and written in the same cycle. In its own file so that synthesis can put a macro in its place.

`include "assertions.svh"
`include "registers.svh"

module mxu_acc_bank #(
    parameter int unsigned Cols = 8,  // columns
    parameter int unsigned Rows = 64,  // rows
    localparam int unsigned RowW = $clog2(Rows)
) (
    input  logic            clk_i,
    input  logic            re_i,
    input  logic [RowW-1:0] raddr_i,
    output logic [    31:0] rdata_o[Cols],
    input  logic            we_i,
    input  logic [RowW-1:0] waddr_i,
    input  logic [    31:0] wdata_i[Cols]
);
  logic [31:0] rows_q[Rows][Cols];

  `FFLNR(rdata_o, rows_q[raddr_i], re_i)
  `FFLNR(rows_q[waddr_i], wdata_i, we_i)

  `ASSERT_CLOCKED(NoClash, !(re_i && we_i && raddr_i == waddr_i))
endmodule
