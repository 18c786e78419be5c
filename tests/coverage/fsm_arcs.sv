// SPDX-License-Identifier: Apache-2.0
// Which state follows which in a state machine: bound to the machines' registers (machines.py) while coverage is counted.

`default_nettype none

module fsm_arcs #(
    parameter int unsigned States = 4  // of the machine
) (
    input logic       clk_i,
    input logic       rst_ni,
    input logic [2:0] state_i
);
  logic [2:0] last_q;
  logic known_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) known_q <= 1'b0;
    else known_q <= 1'b1;
  end
  always_ff @(posedge clk_i) last_q <= state_i;

  for (genvar from = 0; from < States; from++) begin : gen_from
    for (genvar to = 0; to < States; to++) begin : gen_to
      Arc : cover property (@(posedge clk_i) known_q && rst_ni && last_q == 3'(from) && state_i == 3'(to));
    end
  end
endmodule

`default_nettype wire
