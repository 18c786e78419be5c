// SPDX-License-Identifier: Apache-2.0
// How often in a row each row's output was replayed at this place of the frame: a byte a row, `stride_i` apart in memory.
// Counts come in as the words that hold them; when the layer is done they leave, one more for a row that replayed (255 at
// most), 0 for one that computed.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module chain_counts
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic               clk_i,
    input  logic               rst_ni,
    input  count_t             rows_i,
    input  addr_t              first_i,       // the byte of row 0
    input  addr_t              stride_i,
    input  logic        [ 7:0] cap_i,         // 0: none
    output logic [MaxRows-1:0] may_replay_o,
    input  logic               fetch_i,       // begins
    input  logic               word_valid_i,
    output logic               word_ready_o,
    input  word_t              word_i,
    output logic               fetched_o,     // for a cycle
    input  logic               store_i,       // begins
    input  logic [MaxRows-1:0] index_i,
    output logic               cmd_valid_o,
    input  logic               cmd_ready_i,
    output addr_t              cmd_addr_o,
    output logic               store_valid_o,
    input  logic               store_ready_i,
    output word_t              store_o,
    output logic [  Bytes-1:0] strobe_o,
    output logic               stored_o,      // for a cycle: all is with the writer
    output addr_t              end_o          // behind the row that is stored
);
  typedef enum logic [1:0] {
    Idle,
    Fetch,
    Command,
    Store
  } state_e;

  state_e state_d, state_q;
  row_t row_d, row_q;
  addr_t addr_d, addr_q;
  logic step, last;
  logic [7:0] count_q[MaxRows], now;

  assign last          = count_t'(row_q) == rows_i - 1'b1;
  assign word_ready_o  = state_q == Fetch;
  assign fetched_o     = state_q == Fetch && step && last;
  assign stored_o      = state_q == Store && step && last;
  assign cmd_valid_o   = state_q == Command;
  assign cmd_addr_o    = {addr_q[39:6], 6'd0};
  assign store_valid_o = state_q == Store;
  assign step          = (state_q == Fetch && word_valid_i) || (state_q == Store && store_ready_i);
  assign end_o         = addr_d;

  always_comb begin
    now = '0;
    if (!index_i[row_q]) now = (count_q[row_q] == '1) ? '1 : count_q[row_q] + 1'b1;
    store_o  = {Bytes{now}};
    strobe_o = Bytes'(1) << addr_q[5:0];
    for (int unsigned r = 0; r < MaxRows; r++) may_replay_o[r] = cap_i == '0 || count_q[r] < cap_i;
  end

  always_comb begin
    state_d = state_q;
    row_d   = row_q + row_t'(step);
    addr_d  = addr_q + (step ? stride_i : '0);
    unique case (state_q)
      Fetch:   if (step && last) state_d = Idle;
      Command: if (cmd_ready_i) state_d = Store;
      Store:   if (step) state_d = last ? Idle : Command;
      default: ;
    endcase
    if (fetch_i || store_i) begin
      state_d = fetch_i ? Fetch : Command;
      row_d   = '0;
      addr_d  = first_i;
    end
  end
  `FF(state_q, state_d, Idle)
  `FFLNR(row_q, row_d, 1'b1)
  `FFLNR(addr_q, addr_d, 1'b1)
  `FFLNR(count_q[row_q], word_i[8*addr_q[5:0]+:8], state_q == Fetch && step)
endmodule

`default_nettype wire
