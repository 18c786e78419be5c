// SPDX-License-Identifier: Apache-2.0
// Dynamic resource scheduling: the mapping registers of a batch. A load takes an index register, and two cycles later
// the compaction table and the plan of the passes stand, until the next load.

`default_nettype none
`include "registers.svh"

module drs
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes = 16,  // lanes of the cluster, 1..32
    parameter int unsigned Words = 16  // words of a window, 1..32
) (
    input  logic                 clk_i,
    input  logic                 rst_ni,
    input  logic                 load_i,
    input  logic   [MaxRows-1:0] index_i,
    output logic                 ready_o,          // what follows belongs to the last load
    output logic   [MaxRows-1:0] index_o,
    output count_t               count_o,
    output row_t                 row_o  [MaxRows],
    output row_t                 place_o[MaxRows],
    output count_t               full_o,
    output count_t               left_o,
    output count_t               steps_o,
    output share_t               share_o[Lanes]
);
  logic [1:0] age_q;
  count_t count_d, full_d, left_d, steps_d;
  row_t row_d[MaxRows], place_d[MaxRows];
  share_t share_d[Lanes];

  drs_map u_map (
      .index_i(index_o),
      .count_o(count_d),
      .row_o(row_d),
      .place_o(place_d)
  );

  drs_plan #(
      .Lanes(Lanes),
      .Words(Words)
  ) u_plan (
      .count_i(count_o),
      .full_o(full_d),
      .left_o(left_d),
      .steps_o(steps_d),
      .share_o(share_d)
  );

  `FF(age_q, (load_i ? 2'b00 : {age_q[0], 1'b1}), 2'b00)
  `FFL(index_o, index_i, load_i, '0)
  `FFLNR(count_o, count_d, !age_q[0])
  `FFLNR(row_o, row_d, !age_q[0])
  `FFLNR(place_o, place_d, !age_q[0])
  `FFLNR(full_o, full_d, !age_q[1])
  `FFLNR(left_o, left_d, !age_q[1])
  `FFLNR(steps_o, steps_d, !age_q[1])
  `FFLNR(share_o, share_d, !age_q[1])
  assign ready_o = age_q[1];
endmodule

`default_nettype wire
