// SPDX-License-Identifier: Apache-2.0
// Signature of the rows that became final, and the retirement that carries it: sum over 32-bit words of
// rotl(word ^ a, a), a the word's running index since the instruction's start in drain order.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module mxu_signature #(
    parameter int unsigned Cols = 8  // columns
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        stop_i,
    input  logic        valid_i,
    input  logic [31:0] row_i       [Cols],
    input  logic [ 7:0] index_i,             // within the group, in drain order
    input  logic        group_last_i,        // last row of the group, in drain order too
    input  logic        job_last_i,
    output logic        retire_o,
    output logic [31:0] signature_o
);
  logic [31:0] base_d, base_q;  // rows of earlier groups
  logic [31:0] row_q[Cols], index_q, part_d, part_q, sum_d, sum_q;
  logic [1:0] valid_d, valid_q;
  logic [2:0] last_d, last_q;  // three stages behind the row

  always_comb begin
    base_d = base_q;
    if (valid_i && group_last_i) base_d = job_last_i ? '0 : base_q + 32'(index_i) + 32'd1;
    if (stop_i) base_d = '0;
  end
  `FF(base_q, base_d, '0)

  assign valid_d = stop_i ? '0 : {valid_q[0], valid_i};
  assign last_d  = stop_i ? '0 : {last_q[1:0], valid_i && job_last_i};
  `FF(valid_q, valid_d, '0)
  `FF(last_q, last_d, '0)
  `FFLNR(row_q, row_i, valid_i)
  `FFLNR(index_q, (base_q + 32'(index_i)) * 32'(Cols), valid_i)

  always_comb begin
    part_d = '0;
    if (valid_q[0]) begin
      for (int unsigned c = 0; c < Cols; c++) part_d += arith_pkg::signature_step(row_q[c], index_q + c);
    end
  end
  `FFLNR(part_q, part_d, valid_q[0])

  // A new instruction starts from zero when the last one's sum has been given out.
  always_comb begin
    sum_d = last_q[2] ? '0 : sum_q;
    if (valid_q[1]) sum_d = sum_d + part_q;
    if (stop_i) sum_d = '0;
  end
  `FF(sum_q, sum_d, '0)
  assign retire_o = last_q[2];
  assign signature_o = sum_q;

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_lanes(Cols))
endmodule

`default_nettype wire
