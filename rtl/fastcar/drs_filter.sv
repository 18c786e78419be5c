// SPDX-License-Identifier: Apache-2.0
// Drops the commands of replayed rows and sends the others, in order, to the lanes that work for their row.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module drs_filter
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes = 16,  // lanes of the cluster, 1..32
    parameter int unsigned Width = 32   // payload bits of a command
) (
    input  logic                 clk_i,
    input  logic                 rst_ni,
    input  logic   [MaxRows-1:0] index_i,
    input  row_t                 place_i[MaxRows],
    input  count_t               full_i,
    input  share_t               share_i[Lanes],
    input  logic                 valid_i,
    output logic                 ready_o,
    input  row_t                 row_i,
    input  logic   [  Width-1:0] data_i,
    output logic                 drop_o,            // a command is dropped in this cycle
    output logic                 valid_o,
    input  logic                 ready_i,
    output row_t                 row_o,
    output logic   [  Lanes-1:0] lanes_o,
    output count_t               pass_o,
    output logic   [  Width-1:0] data_o
);
  logic valid_d, take;
  logic [Lanes-1:0] lanes_d;
  count_t pass_d, slot;

  assign ready_o = !valid_o || ready_i;
  assign take    = valid_i && ready_o && index_i[row_i];
  assign drop_o  = valid_i && ready_o && !index_i[row_i];
  assign valid_d = take || (valid_o && !ready_i);

  always_comb begin
    pass_d  = count_t'(place_i[row_i]) / count_t'(Lanes);
    slot    = count_t'(place_i[row_i]) % count_t'(Lanes);
    lanes_d = '0;
    for (int unsigned k = 0; k < Lanes; k++) begin
      lanes_d[k] = (pass_d == full_i) ? count_t'(share_i[k].slot) == slot : slot == count_t'(k);
    end
  end

  `FF(valid_o, valid_d, 1'b0)
  `FFLNR(row_o, row_i, take)
  `FFLNR(data_o, data_i, take)
  `FFLNR(lanes_o, lanes_d, take)
  `FFLNR(pass_o, pass_d, take)

  `ASSERT_STABLE(CommandStable, valid_o, ready_i, {row_o, lanes_o, pass_o, data_o})

  `CHECK_PARAMETER(LanesInRange, Lanes >= 1 && Lanes <= MaxRows)
endmodule

`default_nettype wire
