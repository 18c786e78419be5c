// SPDX-License-Identifier: Apache-2.0
// Accumulators: two banks. The first step of a row overwrites, later ones accumulate; a complete group is drained in
// order through ready/valid while the other bank fills. Groups are numbered modulo 8 and alternate between the banks.
// A row of the group that drains may be overwritten as soon as it has been read.

`default_nettype none
`include "registers.svh"
`include "assertions.svh"

module mxu_acc
  import mxu_pkg::*;
#(
    parameter int unsigned Cols = 8,  // columns
    parameter int unsigned Rows = 64  // rows of a bank, 2 to 255
) (
    input  logic                         clk_i,
    input  logic                         rst_ni,
    input  logic                         stop_i,
    input  sram_pkg::pins_t         sram_pins_i,
    output sram_pkg::status_t       sram_status_o,
    // may a step that writes this row be issued?
    input  logic        [           2:0] ask_group_i,
    input  logic                         ask_first_i,
    input  logic        [           7:0] ask_row_i,                 // the highest one, if it writes two
    input  logic                         ask_last_i,                // of its job
    output logic                         free_o,
    // the step whose sums come in the next cycle
    input  logic                         valid_i,
    input  target_t                      target_i,
    input  logic signed [          31:0] sum_i      [Cols],
    // rows that became final
    output logic                         row_valid_o,
    output logic        [          31:0] row_o      [Cols],
    output logic        [           7:0] row_index_o,  // within the group, in drain order
    output logic                         row_group_last_o,
    output logic                         row_job_last_o,
    // drain
    output logic                         acc_valid_o,
    output logic        [Cols-1:0][31:0] acc_data_o,
    input  logic                         acc_ready_i,
    output logic                         empty_o
);
  localparam int unsigned RowW = $clog2(Rows);

  // Fill: read, add, write.
  logic add_q;
  target_t target_q;
  logic [31:0] new_row[Cols];
  logic [Cols-1:0][31:0] rdata[2], wdata;
  logic read_old;

  assign read_old = valid_i && !target_i.first;
  `FF(add_q, valid_i && !stop_i, 1'b0)
  `FFLNR(target_q, target_i, valid_i)

  always_comb begin
    new_row = '{default: '0};
    if (add_q) begin
      for (int unsigned c = 0; c < Cols; c++) begin
        new_row[c] = sum_i[c] + (target_q.first ? '0 : rdata[target_q.group[0]][c]);
      end
    end
  end

  for (genvar c = 0; c < Cols; c++) begin : gen_wdata
    assign wdata[c] = new_row[c];
  end

  assign row_valid_o = add_q && target_q.complete;
  assign row_o = new_row;
  assign row_index_o = target_q.row;
  assign row_group_last_o = target_q.group_last;
  assign row_job_last_o = target_q.job_last;

  // Drain: groups handed over are read row by row; a row that was read moves on to the output register.
  logic hand_over, read_row, last_row, move, fetched_d, fetched_q, fetched_bank_q, fetched_last_q;
  logic taken, out_last_q;
  // Groups: complete, read, gone from their bank, gone altogether.
  logic [2:0] handed_d, handed_q, read_d, read_q, left_d, left_q, gone_d, gone_q;
  logic [7:0] rows_q[4];  // last row of the groups between fill and drain
  logic [7:0] row_d, row_q;
  logic out_valid_d, out_valid_q;
  logic [Cols-1:0][31:0] out_q;

  assign hand_over = add_q && target_q.group_last;
  `FFLNR(rows_q[target_q.group[1:0]], target_q.row, hand_over)

  assign move = fetched_q && (!out_valid_q || acc_ready_i);
  assign taken = acc_valid_o && acc_ready_i;
  assign read_row = handed_q != read_q && (!fetched_q || move);
  assign last_row = row_q == rows_q[read_q[1:0]];
  always_comb begin
    handed_d = handed_q + 3'(hand_over);
    read_d = read_q + 3'(read_row && last_row);
    left_d = left_q + 3'(move && fetched_last_q);
    gone_d = gone_q + 3'(taken && out_last_q);
    row_d = row_q;
    if (read_row) row_d = last_row ? '0 : row_q + 8'd1;
    fetched_d = read_row || (fetched_q && !move);
    out_valid_d = move || (out_valid_q && !acc_ready_i);
    if (stop_i) begin
      handed_d = '0;
      read_d = '0;
      left_d = '0;
      gone_d = '0;
      row_d = '0;
      fetched_d = 1'b0;
      out_valid_d = 1'b0;
    end
  end
  `FF(handed_q, handed_d, '0)
  `FF(read_q, read_d, '0)
  `FF(left_q, left_d, '0)
  `FF(gone_q, gone_d, '0)
  `FF(row_q, row_d, '0)
  `FF(fetched_q, fetched_d, 1'b0)
  `FFLNR(fetched_bank_q, read_q[0], read_row)
  `FFLNR(fetched_last_q, last_row, read_row)
  `FF(out_valid_q, out_valid_d, 1'b0)

  `FFLNR(out_q, rdata[fetched_bank_q], move)
  `FFLNR(out_last_q, fetched_last_q, move)

  assign acc_valid_o = out_valid_q;
  assign acc_data_o = out_q;
  assign empty_o = handed_q == gone_q;

  // A step of group g finds its bank held by group g-2 at most. It may overwrite what has been read, and read itself
  // (the bank holds the last word read) when all has left. The last step of a job waits until all is gone: so an
  // instruction retires when its last row has a bank to itself, whatever the output register holds.
  logic [2:0] unread, unleft, ungone;
  assign unread = ask_group_i - read_q;
  assign unleft = ask_group_i - left_q;
  assign ungone = ask_group_i - gone_q;
  assign free_o = (!ask_last_i || ungone <= 3'd1) &&
      (ask_first_i ? (unread <= 3'd1 || (unread == 3'd2 && ask_row_i < row_q)) : unleft <= 3'd1);

  sram_pkg::status_t [1:0] status;
  assign sram_status_o = status[0] | status[1];

  for (genvar b = 0; b < 2; b++) begin : gen_bank
    logic drain;
    assign drain = read_row && read_q[0] == 1'(b);
    ram_1r1w #(
        .Words(Rows),
        .Bytes(4 * Cols)
    ) u_ram (
        .clk_i,
        .pins_i(sram_pins_i),
        .status_o(status[b]),
        .re_i(drain || (read_old && target_i.group[0] == 1'(b))),
        .raddr_i(RowW'(drain ? row_q : target_i.row)),
        .rdata_o(rdata[b]),
        .we_i(add_q && target_q.group[0] == 1'(b)),
        .waddr_i(RowW'(target_q.row)),
        .wbe_i('1),
        .wdata_i(wdata)
    );
  end

  `ASSERT_ALWAYS(ReadPortFree, !(read_old && ((read_row && read_q[0] == target_i.group[0]) ||
                                              (fetched_q && fetched_bank_q == target_i.group[0]))))
  `ASSERT_ALWAYS(NoHazard, !(read_old && add_q && target_q.group == target_i.group &&
                             target_q.row == target_i.row))
  `ASSERT_ALWAYS(InOrder, !hand_over || target_q.group == handed_q)
  `ASSERT_STABLE(OutputStable, acc_valid_o, acc_ready_i || stop_i, acc_data_o)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_lanes(Cols))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
endmodule

`default_nettype wire
