// Accumulators: two banks. The first step of a row overwrites, later ones accumulate; a complete group is drained in
// order through ready/valid while the other bank fills. Groups are numbered modulo 8 and alternate between the banks.
// A row of the group that drains may be overwritten as soon as it has left for the output register.

`include "registers.svh"
`include "assertions.svh"

module mxu_acc
  import mxu_pkg::*;
#(
    parameter int unsigned Cols = 8,  // columns
    parameter int unsigned Rows = 64  // rows of a bank
) (
    input  logic                         clk_i,
    input  logic                         rst_ni,
    input  logic                         stop_i,
    // may a step that writes this row be issued?
    input  logic        [           2:0] ask_group_i,
    input  logic                         ask_first_i,
    input  logic        [           7:0] ask_row_i,                 // the highest one, if it writes two
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
  logic [31:0] old_q[Cols], new_row[Cols];
  logic [31:0] rdata[2][Cols];
  logic read_old;

  assign read_old = valid_i && !target_i.first;
  `FF(add_q, valid_i && !stop_i, 1'b0)
  `FFLNR(target_q, target_i, valid_i)
  `FFLNR(old_q, rdata[target_i.group[0]], read_old)

  always_comb begin
    new_row = '{default: '0};
    if (add_q) begin
      for (int unsigned c = 0; c < Cols; c++) new_row[c] = (target_q.first ? '0 : old_q[c]) + sum_i[c];
    end
  end

  assign row_valid_o = add_q && target_q.complete;
  assign row_o = new_row;
  assign row_index_o = target_q.row;
  assign row_group_last_o = target_q.group_last;
  assign row_job_last_o = target_q.job_last;

  // Groups handed over, and the one that drains.
  logic hand_over, take_row, last_row;
  logic [2:0] handed_d, handed_q, drained_d, drained_q, ahead;
  logic [7:0] rows_q[4];  // last row of the groups between fill and drain
  logic [7:0] row_d, row_q;
  logic out_valid_d, out_valid_q;
  logic [Cols-1:0][31:0] out_d, out_q;

  assign hand_over = add_q && target_q.group_last;
  assign handed_d = stop_i ? '0 : handed_q + 3'(hand_over);
  `FFLNR(rows_q[target_q.group[1:0]], target_q.row, hand_over)

  assign take_row = handed_q != drained_q && (!out_valid_q || acc_ready_i);
  assign last_row = row_q == rows_q[drained_q[1:0]];
  always_comb begin
    row_d = row_q;
    drained_d = drained_q;
    if (take_row) begin
      row_d = last_row ? '0 : row_q + 8'd1;
      drained_d = drained_q + 3'(last_row);
    end
    if (stop_i) begin
      row_d = '0;
      drained_d = '0;
    end
  end
  assign out_valid_d = !stop_i && (take_row || (out_valid_q && !acc_ready_i));

  always_comb begin
    out_d = '0;
    if (take_row) begin
      for (int unsigned c = 0; c < Cols; c++) out_d[c] = rdata[drained_q[0]][c];
    end
  end
  `FF(handed_q, handed_d, '0)
  `FF(drained_q, drained_d, '0)
  `FF(row_q, row_d, '0)
  `FF(out_valid_q, out_valid_d, 1'b0)
  `FFLNR(out_q, out_d, take_row)

  assign acc_valid_o = out_valid_q;
  assign acc_data_o = out_q;
  assign empty_o = handed_q == drained_q && !out_valid_q;

  // A step of group g finds its bank held by group g-2 at most; the last row that it writes must have left.
  assign ahead  = ask_group_i - drained_q;
  assign free_o = ahead <= 3'd1 || (ahead == 3'd2 && ask_first_i && ask_row_i < row_q);

  for (genvar b = 0; b < 2; b++) begin : gen_bank
    logic draining;
    assign draining = handed_q != drained_q && drained_q[0] == 1'(b);
    mxu_acc_bank #(
        .Cols(Cols),
        .Rows(Rows)
    ) u_bank (
        .clk_i,
        .raddr_i(RowW'(draining ? row_q : target_i.row)),
        .rdata_o(rdata[b]),
        .we_i(add_q && target_q.group[0] == 1'(b)),
        .waddr_i(RowW'(target_q.row)),
        .wdata_i(new_row)
    );
  end

  `ASSERT_ALWAYS(ReadPortFree, !(read_old && handed_q != drained_q && drained_q[0] == target_i.group[0]))
  `ASSERT_ALWAYS(NoHazard, !(read_old && add_q && target_q.group == target_i.group &&
                             target_q.row == target_i.row))
  `ASSERT_ALWAYS(InOrder, !hand_over || target_q.group == handed_q)
  `ASSERT_STABLE(OutputStable, acc_valid_o, acc_ready_i || stop_i, acc_data_o)
endmodule
