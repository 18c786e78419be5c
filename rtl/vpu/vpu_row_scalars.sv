// SPDX-License-Identifier: Apache-2.0
// Four row scalars for every pixel of a block, a memory each: they are read for the add and for the multiply stage, and
// set, added to or maximised. Both are read for what comes to the add stage: there the one is at once, and held; the other
// moves on to a register, for the product behind it takes a whole cycle. A microword that reduces into a row scalar does
// not read it for a stage.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_row_scalars
  import isa_pkg::*;
#(
    parameter int unsigned Rows = 64,  // pixels of a block
    localparam int unsigned RowW = $clog2(Rows)
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  sram_pkg::pins_t          sram_pins_i,
    output sram_pkg::status_t        sram_status_o,
    input  logic          [RowW-1:0] row_read_i,    // pixel of what comes to the add stage
    input  logic                     add_read_i,    // it uses one there
    input  logic              [ 1:0] add_select_i,
    output logic signed       [31:0] add_value_o,
    input  logic                     mul_read_i,    // and one in the multiply stage, which comes next
    input  logic              [ 1:0] mul_select_i,
    input  logic                     mul_take_i,    // it goes there
    output logic signed       [31:0] mul_value_o,
    input  logic                     write_i,       // taken always; in effect two cycles later
    input  logic                     set_i,         // the old entry does not matter
    input  reduce_e                  reduce_i,      // how the entry and the value are joined
    input  logic              [ 1:0] select_i,
    input  logic          [RowW-1:0] row_i,
    input  logic signed       [31:0] value_i,
    output logic                     idle_o
);
  logic write_q, set_q, max_q, again, again_q;
  logic [1:0] select_q, add_select_q, mul_select_q;
  logic [RowW-1:0] row_q;
  logic signed [31:0] value_q, joined_q, old, joined;
  logic signed [31:0] rdata[RowScalars];
  sram_pkg::status_t [RowScalars-1:0] status;

  // Read, join, write. The entry that is written in this cycle comes from a register.
  assign again = write_q && row_q == row_i;

  `FF(write_q, write_i, 1'b0)
  `FFLNR(set_q, set_i, write_i)
  `FFLNR(max_q, reduce_i == ReduceMax, write_i)
  `FFLNR(select_q, select_i, write_i)
  `FFLNR(row_q, row_i, write_i)
  `FFLNR(value_q, value_i, write_i)
  `FFLNR(again_q, again, write_i)
  `FFLNR(joined_q, joined, write_q)

  assign old = again_q ? joined_q : rdata[select_q];
  always_comb begin
    joined = value_q;
    if (!set_q) joined = max_q ? (old > value_q ? old : value_q) : old + value_q;
  end

  for (genvar r = 0; r < RowScalars; r++) begin : gen_scalar
    logic old_read, add_read, mul_read;
    assign old_read = write_i && !set_i && !again && 32'(select_i) == r;
    assign add_read = add_read_i && 32'(add_select_i) == r;
    assign mul_read = mul_read_i && 32'(mul_select_i) == r;

    ram_1r1w #(
        .Words(Rows),
        .Bytes(4)
    ) u_ram (
        .clk_i,
        .pins_i  (sram_pins_i),
        .status_o(status[r]),
        .re_i    (old_read || add_read || mul_read),
        .raddr_i (old_read ? row_i : row_read_i),
        .rdata_o (rdata[r]),
        .we_i    (write_q && 32'(select_q) == r),
        .waddr_i (row_q),
        .wbe_i   ('1),
        .wdata_i (joined)
    );
  end

  `FFLNR(add_select_q, add_select_i, add_read_i)
  `FFLNR(mul_select_q, mul_select_i, mul_read_i)
  `FFLNR(mul_value_o, rdata[mul_select_q], mul_take_i)

  assign add_value_o = rdata[add_select_q];
  assign idle_o      = !write_q;

  always_comb begin
    sram_status_o = '0;
    for (int unsigned r = 0; r < RowScalars; r++) sram_status_o |= status[r];
  end

  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
endmodule

`default_nettype wire
