// SPDX-License-Identifier: Apache-2.0
// Token counts: the instructions that each engine has retired since the start, modulo 2^16.

`default_nettype none
`include "registers.svh"

module tokens (
    input  logic                                     clk_i,
    input  logic                                     rst_ni,
    input  logic                                     begin_i,  // a program starts: count from zero
    input  logic             [chip_pkg::Engines-1:0] retire_i,
    output chip_pkg::token_t [chip_pkg::Engines-1:0] tokens_o,
    output chip_pkg::token_t [chip_pkg::Engines-1:0] next_o     // with what retires in this cycle
);
  import chip_pkg::*;

  always_comb begin
    next_o = tokens_o;
    for (int unsigned e = 0; e < Engines; e++) begin
      if (retire_i[e]) next_o[e] = tokens_o[e] + 1'b1;
    end
    if (begin_i) next_o = '0;
  end

  `FFL(tokens_o, next_o, begin_i || retire_i != '0, '0)
endmodule

`default_nettype wire
