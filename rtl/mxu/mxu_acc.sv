// SPDX-License-Identifier: Apache-2.0
// Accumulators: two banks. The first step of a row overwrites, later ones accumulate; a complete group is drained in
// order through ready/valid while the other bank fills. Groups are numbered modulo 8 and alternate between the banks.
// A row leaves in parts of `Lanes` columns: first of all rows the first part. It may be overwritten as soon as its last
// part has been read.

`default_nettype none
`include "registers.svh"
`include "assertions.svh"

module mxu_acc
  import mxu_pkg::*;
#(
    parameter int unsigned Cols = 8,  // columns
    parameter int unsigned Lanes = 8,  // columns that leave in a cycle: those of the VPU
    parameter int unsigned Rows = 64  // rows of a bank, 2 to 255
) (
    input  logic                         clk_i,
    input  logic                         rst_ni,
    input  logic                         test_en_i,
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
    input  logic                         two_i,                     // its group has two column tiles, not one
    input  logic signed [          31:0] sum_i      [Cols],
    // rows that became final
    output logic                         row_valid_o,
    output logic        [          31:0] row_o      [Cols],
    output logic        [           7:0] row_index_o,  // within the group, in drain order
    output logic                         row_group_last_o,
    output logic                         row_job_last_o,
    // drain
    output logic                         acc_valid_o,
    output logic        [Lanes-1:0][31:0] acc_data_o,
    input  logic                         acc_ready_i,
    output logic                         empty_o
);
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned Parts = Cols / Lanes;
  localparam int unsigned PartW = chip_pkg::index_width(Parts);

  typedef logic [Parts-1:0][Lanes-1:0][31:0] row_t;

  // Fill: read, add, write.
  logic add_q;
  target_t target_q;
  logic two_q;
  logic [31:0] new_row[Cols];
  row_t rdata[2], wdata;
  logic read_old;

  assign read_old = valid_i && !target_i.first;
  `FF(add_q, valid_i && !stop_i, 1'b0)
  `FFLNR(target_q, target_i, valid_i)
  `FFLNR(two_q, two_i, valid_i)

  always_comb begin
    new_row = '{default: '0};
    if (add_q) begin
      for (int unsigned c = 0; c < Cols; c++) begin
        new_row[c] = sum_i[c] + (target_q.first ? '0 : rdata[target_q.group[0]][c/Lanes][c%Lanes]);
      end
    end
  end

  for (genvar c = 0; c < Cols; c++) begin : gen_wdata
    assign wdata[c/Lanes][c%Lanes] = new_row[c];
  end

  assign row_valid_o = add_q && target_q.complete;
  assign row_o = new_row;
  assign row_index_o = target_q.row;
  assign row_group_last_o = target_q.group_last;
  assign row_job_last_o = target_q.job_last;

  // Drain: groups handed over are read tile by tile, part by part and row by row; what was read moves on to the output
  // register.
  logic hand_over, read_row, end_row, last_part, upper_d, upper_q, last_row;
  logic move, fetched_d, fetched_q, fetched_bank_q, fetched_last_q;
  logic taken, out_last_q;
  // Groups: complete, read, gone from their bank, gone altogether.
  logic [2:0] handed_d, handed_q, read_d, read_q, left_d, left_q, gone_d, gone_q;
  logic [7:0] rows_q[4];  // last row of the groups between fill and drain
  logic [3:0] pairs_q;  // they have two column tiles
  logic pair;
  logic [7:0] row_d, row_q, final_row, tile_row;
  logic out_valid_d, out_valid_q;
  logic [PartW-1:0] part_d, part_q, fetched_part_q;
  logic [Lanes-1:0][31:0] out_q;

  assign hand_over = add_q && target_q.group_last;
  `FFLNR(rows_q[target_q.group[1:0]], target_q.row, hand_over)
  `FFLNR(pairs_q[target_q.group[1:0]], two_q, hand_over)

  assign move = fetched_q && (!out_valid_q || acc_ready_i);
  assign taken = acc_valid_o && acc_ready_i;
  assign read_row = handed_q != read_q && (!fetched_q || move);
  assign final_row = rows_q[read_q[1:0]];
  assign pair = pairs_q[read_q[1:0]];
  assign tile_row = upper_q ? (final_row >> 1) + 8'd1 : '0;  // first of the column tile
  assign end_row = row_q == (pair && !upper_q ? final_row >> 1 : final_row);
  assign last_part = 32'(part_q) == Parts - 1;
  assign last_row = end_row && last_part && (!pair || upper_q);
  always_comb begin
    handed_d = handed_q + 3'(hand_over);
    read_d = read_q + 3'(read_row && last_row);
    left_d = left_q + 3'(move && fetched_last_q);
    gone_d = gone_q + 3'(taken && out_last_q);
    row_d = row_q;
    part_d = part_q;
    upper_d = upper_q;
    if (read_row) begin
      row_d = row_q + 8'd1;
      if (end_row) begin
        part_d  = last_part ? '0 : part_q + 1'b1;
        upper_d = pair && (upper_q ? !last_part : last_part);
        if (!last_part) row_d = tile_row;
        if (last_row) row_d = '0;
      end
    end
    fetched_d = read_row || (fetched_q && !move);
    out_valid_d = move || (out_valid_q && !acc_ready_i);
    if (stop_i) begin
      handed_d = '0;
      read_d = '0;
      left_d = '0;
      gone_d = '0;
      row_d = '0;
      part_d = '0;
      upper_d = 1'b0;
      fetched_d = 1'b0;
      out_valid_d = 1'b0;
    end
  end
  `FF(handed_q, handed_d, '0)
  `FF(read_q, read_d, '0)
  `FF(left_q, left_d, '0)
  `FF(gone_q, gone_d, '0)
  `FF(row_q, row_d, '0)
  `FF(part_q, part_d, '0)
  `FF(upper_q, upper_d, 1'b0)
  `FF(fetched_q, fetched_d, 1'b0)
  `FFLNR(fetched_bank_q, read_q[0], read_row)
  `FFLNR(fetched_part_q, part_q, read_row)
  `FFLNR(fetched_last_q, last_row, read_row)
  `FF(out_valid_q, out_valid_d, 1'b0)

  `FFGATED(out, out_q, rdata[fetched_bank_q][fetched_part_q], move)
  `FFLNR(out_last_q, fetched_last_q, move)

  assign acc_valid_o = out_valid_q;
  assign acc_data_o = out_q;
  assign empty_o = handed_q == gone_q;

  // A step of group g finds its bank held by group g-2 at most. It may overwrite what has been read, and read itself
  // (the bank holds the last word read) when all has left. The last step of a job waits until all is gone: so an
  // instruction retires when its last row has a bank to itself, whatever the output register holds.
  logic [2:0] unread, unleft, ungone;
  logic [7:0] read_rows;  // of the group that drains: so many have been read whole
  assign read_rows = last_part ? row_q : tile_row;
  assign unread = ask_group_i - read_q;
  assign unleft = ask_group_i - left_q;
  assign ungone = ask_group_i - gone_q;
  assign free_o = (!ask_last_i || ungone <= 3'd1) &&
      (ask_first_i ? (unread <= 3'd1 || (unread == 3'd2 && ask_row_i < read_rows)) : unleft <= 3'd1);

  sram_pkg::status_t [1:0][Parts-1:0] status;
  always_comb begin
    sram_status_o = '0;
    for (int unsigned b = 0; b < 2; b++) begin
      for (int unsigned p = 0; p < Parts; p++) sram_status_o |= status[b][p];
    end
  end

  for (genvar b = 0; b < 2; b++) begin : gen_bank
    logic drain, fill_read, fill_write;
    assign drain      = read_row && read_q[0] == 1'(b);
    assign fill_read  = read_old && target_i.group[0] == 1'(b);
    assign fill_write = add_q && target_q.group[0] == 1'(b);

    for (genvar p = 0; p < Parts; p++) begin : gen_part
      ram_1r1w #(
          .Words(Rows),
          .Bytes(4 * Lanes)
      ) u_ram (
          .clk_i,
          .pins_i(sram_pins_i),
          .status_o(status[b][p]),
          .re_i((drain && 32'(part_q) == p) || fill_read),
          .raddr_i(RowW'(drain ? row_q : target_i.row)),
          .rdata_o(rdata[b][p]),
          .we_i(fill_write),
          .waddr_i(RowW'(target_q.row)),
          .wbe_i('1),
          .wdata_i(wdata[p])
      );
    end
  end

  `ASSERT_ALWAYS(ReadPortFree, !(read_old && ((read_row && read_q[0] == target_i.group[0]) ||
                                              (fetched_q && fetched_bank_q == target_i.group[0]))))
  `ASSERT_ALWAYS(NoHazard, !(read_old && add_q && target_q.group == target_i.group &&
                             target_q.row == target_i.row))
  `ASSERT_ALWAYS(InOrder, !hand_over || target_q.group == handed_q)
  `ASSERT_STABLE(OutputStable, acc_valid_o, acc_ready_i || stop_i, acc_data_o)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_lanes(Cols))
  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
endmodule

`default_nettype wire
