// SPDX-License-Identifier: Apache-2.0
// Queues and token counts, any program and any engines: an instruction is offered only when all four counts have reached
// what it waits for, stays offered or is put back, and is handed over in order; counts move by one a retirement.
// One instruction of one engine, any, is watched from the push to the offer.

`default_nettype none

module prove_tokens
  import chip_pkg::*;
#(
    parameter int unsigned Queue    = 2,
    parameter int unsigned InFlight = 2,
    parameter int unsigned Reach    = 0  // 1: an instruction that waited for a count starts
) (
    input logic                       clk_i,
    input logic             [    3:0] push_i,
    input isa_pkg::header_t           instr_i,
    input pc_t                        pc_i,
    input logic             [    3:0] ready_i,
    input logic             [    3:0] retire_i,
    input logic             [    1:0] watched_i
);
  logic running = 1'b0;
  logic [1:0] w;
  logic [3:0] push, push_ready, valid, token_wait, issue, busy, retire;
  pc_t [3:0] issue_pc, oldest;
  token_t [3:0] tokens, next, shadow;
  isa_pkg::header_t instr;
  sram_pkg::status_t status;

  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running) w <= watched_i;
  end

  // One push at most; what retires has been issued.
  logic [3:0][1:0] flying;
  assign push = running && $onehot(push_i) ? push_i : '0;
  always_comb begin
    for (int unsigned e = 0; e < 4; e++) retire[e] = running && retire_i[e] && flying[e] != '0;
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned e = 0; e < 4; e++) begin
      if (!running) flying[e] <= '0;
      else flying[e] <= flying[e] + 2'(issue[e]) - 2'(retire[e]);
      if (!running) shadow[e] <= '0;
      else shadow[e] <= shadow[e] + 16'(retire[e]);
    end
  end

  tokens u_tokens (
      .clk_i,
      .rst_ni  (running),
      .begin_i (1'b0),
      .retire_i(retire),
      .tokens_o(tokens),
      .next_o  (next)
  );

  engine_queues #(
      .Queue   (Queue),
      .InFlight(InFlight)
  ) u_queues (
      .clk_i,
      .rst_ni       (running),
      .sram_pins_i  ('0),
      .sram_status_o(status),
      .stop_i       (1'b0),
      .push_valid_i (push),
      .push_ready_o (push_ready),
      .push_instr_i (instr_i),
      .push_pc_i    (pc_i),
      .tokens_i     (next),
      .instr_valid_o(valid),
      .instr_ready_i(ready_i),
      .instr_o      (instr),
      .token_wait_o (token_wait),
      .retire_i     (retire),
      .issue_o      (issue),
      .issue_pc_o   (issue_pc),
      .busy_o       (busy),
      .oldest_pc_o  (oldest)
  );

  // The watched engine's queue as a list: what each waits for and its place in the program.
  typedef struct packed {
    logic [3:0][15:0] waits;
    pc_t pc;
  } entry_t;
  entry_t list_d[Queue], list_q[Queue], entry;
  logic [1:0] count_d, count_q;
  assign entry = '{
          waits: {instr_i.wait_store, instr_i.wait_vpu, instr_i.wait_mxu, instr_i.wait_load},
          pc: pc_i
      };

  always_comb begin
    list_d  = list_q;
    count_d = count_q;
    if (issue[w] && count_q != 0) begin
      for (int unsigned i = 1; i < Queue; i++) list_d[i-1] = list_q[i];
      count_d = count_q - 1'b1;
    end
    if (push[w] && count_q != 2'(Queue)) begin
      list_d[count_d[0]] = entry;
      count_d = count_d + 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    list_q  <= list_d;
    count_q <= running ? count_d : '0;
  end

  logic [3:0] reached;
  always_comb begin
    for (int unsigned e = 0; e < 4; e++) reached[e] = tokens[e] >= list_q[0].waits[e];
  end

  // The counts do not wrap: decode refuses the instruction that would.
  always_comb begin
    for (int unsigned e = 0; e < 4; e++) assume (tokens[e] < 16'hfff0);
  end

  logic [1:0] head_fill;
  always_comb begin
    if (running) begin
      for (int unsigned e = 0; e < 4; e++) begin
        assert (tokens[e] == shadow[e]);
        assert (flying[e] <= 2'(InFlight));
      end
      assert ($onehot0(valid));
      // An offer: of an instruction that is there, whose counts are reached.
      if (valid[w]) assert (count_q != 0 && reached == '1);
      if (issue[w]) assert (valid[w] && ready_i[w] && issue_pc[w] == list_q[0].pc);
      assert (push_ready[w] == (count_q != 2'(Queue)));
      assert (busy[w] == (count_q != 0 || flying[w] != 0));
      assert (count_q <= 2'(Queue));
      // Whoever may start does so, or somebody else who may is offered: nobody is forgotten.
      if (count_q != 0 && reached == '1 && flying[w] < 2'(InFlight) && !u_queues.held_q)
        assert (u_queues.choose);
      if (Reach == 1) assert (!(issue[w] && list_q[0].waits != '0));
    end
  end

  // What ties the list to the engine's memory of it.
  logic [1:0] first[4];
  logic [1:0] fill[4];
  logic [1:0] flight[4];
  entry_t stored[4][Queue];
  for (genvar e = 0; e < 4; e++) begin : gen_tie
    assign first[e]  = u_queues.gen_engine[e].u_waiting.read_q;
    assign fill[e]   = u_queues.gen_engine[e].u_waiting.write_q - first[e];
    assign flight[e] = u_queues.gen_engine[e].u_in_flight.write_q - u_queues.gen_engine[e].u_in_flight.read_q;
    for (genvar i = 0; i < Queue; i++) begin : gen_entry
      logic [83:0] raw;
      assign raw = u_queues.gen_engine[e].u_waiting.entries_q[1'(first[e]+2'(i))];
      assign stored[e][i] = '{waits: raw[63:0], pc: raw[83:64]};
    end
  end

  always_comb begin
    if (running) begin
      for (int unsigned e = 0; e < 4; e++) begin
        assert (fill[e] <= 2'(Queue));
        assert (flight[e] == flying[e]);
      end
      assert (fill[w] == count_q);
      for (int unsigned i = 0; i < Queue; i++) if (i < 32'(count_q)) assert (stored[w][i] == list_q[i]);
      // Held is an instruction that waits there, may start, and has room among those under way.
      if (u_queues.held_q && u_queues.held_engine_q == w)
        assert (count_q != 0 && reached == '1 && flying[w] < 2'(InFlight));
      if (u_queues.held_q) begin
        assert (fill[u_queues.held_engine_q] != '0);
        assert (flying[u_queues.held_engine_q] < 2'(InFlight));
      end
    end
  end
endmodule

`default_nettype wire
