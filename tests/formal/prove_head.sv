// SPDX-License-Identifier: Apache-2.0
// decode around its rules (those are prove_decode's): what is taken stands at the head unchanged until it leaves for one
// queue, the next is taken while it leaves, nothing is taken twice or counted wrong, and a stop forgets all.

`default_nettype none

module prove_head #(
    parameter int unsigned Reach = 0  // 1: one taken while another leaves, 2: a trap at the head
) (
    input logic         clk_i,
    input logic         stop_i,
    input logic         valid_i,
    input logic [  3:0] push_ready_i,
    input logic [511:0] word_i,
    input logic         error_i
);
  logic running = 1'b0;
  logic ready, busy, halt, trap;
  chip_pkg::pc_t pc;
  isa_pkg::header_t instr;
  logic [3:0] push;
  isa_pkg::trap_e cause;

  decode #(
      .Depth    (16),
      .Cols     (8),
      .Rows     (16),
      .ProgWords(32),
      .Tables   (5)
  ) u_decode (
      .clk_i,
      .rst_ni      (running),
      .stop_i,
      .valid_i     (valid_i && running),
      .ready_o     (ready),
      .instr_i     (word_i),
      .error_i,
      .busy_o      (busy),
      .pc_o        (pc),
      .instr_o     (instr),
      .push_valid_o(push),
      .push_ready_i,
      .halt_o      (halt),
      .trap_o      (trap),
      .cause_o     (cause)
  );

  // The watcher: what stands at the head, how many have left, how many were taken for each engine.
  logic take, leave, held, held_halt;
  logic [3:0] held_cause;
  logic [1:0] held_engine;
  isa_pkg::header_t held_word;
  chip_pkg::pc_t left;
  logic [15:0] taken[4];
  assign take  = valid_i && running && (!held || leave) && !stop_i;
  assign leave = held && held_cause == '0 && !held_halt && push_ready_i[held_engine];

  function automatic logic [1:0] engine_of(input logic [7:0] opcode);
    return opcode == 8'd2 ? 2'd1 : opcode == 8'd3 ? 2'd2 : opcode == 8'd4 ? 2'd3 : 2'd0;
  endfunction

  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running || stop_i) begin
      held <= 1'b0;
      left <= '0;
      for (int unsigned e = 0; e < 4; e++) taken[e] <= '0;
    end else begin
      if (leave) begin
        held <= 1'b0;
        left <= left + 1'b1;
      end
      if (take) begin
        held <= 1'b1;
        if (word_i[7:0] inside {[8'd1:8'd4]} && u_decode.cause == isa_pkg::TrapNone) begin
          taken[engine_of(word_i[7:0])] <= taken[engine_of(word_i[7:0])] + 1'b1;
        end
      end
    end
    if (take) begin
      held_cause  <= u_decode.cause;
      held_word   <= word_i;
      held_engine <= engine_of(word_i[7:0]);
      held_halt   <= word_i[7:0] == 8'd5;
    end
  end

  always_comb begin
    if (running) begin
      assert (ready == (!held || leave));
      assert (busy == held && pc == left);
      for (int unsigned e = 0; e < 4; e++) assert (u_decode.sent_q[e] == taken[e]);
      if (held) begin
        assert (cause == held_cause && instr == held_word);
        assert (u_decode.halt_q == held_halt);
        if (held_cause == '0 && !held_halt) assert (u_decode.engine_q == held_engine);
      end
      assert (trap == (held && held_cause != '0));
      assert (halt == (held && held_cause == '0 && held_halt));
      assert (push == ((held && held_cause == '0 && !held_halt) ? 4'd1 << held_engine : 4'd0));
      if (Reach == 1) assert (!(take && leave));
      if (Reach == 2) assert (!trap);
    end
  end
endmodule

`default_nettype wire
