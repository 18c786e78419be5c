// SPDX-License-Identifier: Apache-2.0
// A region a row, `stride_i` bytes apart, of the rows that are asked for; `end_o` is where the row behind the last would
// begin, once all is asked for.

`default_nettype none
`include "registers.svh"

module row_regions
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               start_i,
    input  count_t             rows_i,          // of the batch
    input  logic [MaxRows-1:0] wanted_i,
    input  addr_t              first_i,         // of a byte
    input  addr_t              stride_i,
    input  logic [        9:0] words_i,
    output addr_t              end_o,
    output logic               busy_o,
    output logic               region_valid_o,
    input  logic               region_ready_i,
    output region_t            region_o
);
  logic busy_d;
  row_t row_d, row_q;
  addr_t addr_d, addr_q;
  logic wanted, step;

  assign wanted         = wanted_i[row_q];
  assign region_valid_o = busy_o && wanted;
  assign region_o       = region_t'{
          addr: {addr_q[39:6], 6'd0},
          beats: 24'(words_i),
          mlp: 1'b0,
          last: 1'b0
      };
  assign step           = busy_o && (region_ready_i || !wanted);
  assign busy_d         = start_i || (busy_o && !(step && count_t'(row_q) == rows_i - 1'b1));
  assign row_d          = start_i ? '0 : row_q + row_t'(step);
  assign addr_d         = start_i ? first_i : addr_q + (step ? stride_i : '0);
  assign end_o          = addr_q;
  `FF(busy_o, busy_d, 1'b0)
  `FFLNR(row_q, row_d, 1'b1)
  `FFLNR(addr_q, addr_d, 1'b1)
endmodule

`default_nettype wire
