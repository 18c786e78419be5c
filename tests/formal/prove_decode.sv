// SPDX-License-Identifier: Apache-2.0
// decode: of every word of 512 bits, whether it is legal and the cause if not, against the manual's rules (docs/isa.md,
// docs/architecture.md, Legality), written here once more by the places of the bits.

`default_nettype none

module prove_decode #(
    parameter int unsigned Depth     = 16,
    parameter int unsigned Cols      = 8,
    parameter int unsigned Rows      = 16,
    parameter int unsigned ProgWords = 32,
    parameter int unsigned Tables    = 5,
    parameter int unsigned Reach     = 0  // this cause is said never to be: it must be refuted
) (
    input logic         clk_i,
    input logic         rst_ni,
    input logic [511:0] word_i,
    input logic         error_i
);
  logic ready, busy, halt, trap;
  chip_pkg::pc_t pc;
  isa_pkg::header_t instr;
  logic [3:0] push;
  isa_pkg::trap_e cause;

  decode #(
      .Depth    (Depth),
      .Cols     (Cols),
      .Rows     (Rows),
      .ProgWords(ProgWords),
      .Tables   (Tables)
  ) u_decode (
      .clk_i,
      .rst_ni,
      .stop_i      (1'b0),
      .valid_i     (1'b1),
      .ready_o     (ready),
      .instr_i     (word_i),
      .error_i,
      .busy_o      (busy),
      .pc_o        (pc),
      .instr_o     (instr),
      .push_valid_o(push),
      .push_ready_i('1),
      .halt_o      (halt),
      .trap_o      (trap),
      .cause_o     (cause)
  );

  function automatic logic [31:0] bits(input int unsigned high, input int unsigned low);
    return 32'(word_i >> low) & 32'((64'd1 << (high - low + 1)) - 1);
  endfunction

  function automatic logic odd(input logic [31:0] value, input int unsigned unit);
    return (value & (unit - 1)) != 0;
  endfunction

  // The manual, in order of cause.
  logic illegal, misaligned, full;
  logic [31:0] groups;
  int unsigned wanted, engine, unit;

  always_comb begin
    illegal    = 1'b0;
    misaligned = 1'b0;
    groups     = '0;
    engine     = 0;
    unit       = Depth;
    case (word_i[7:0])
      8'd1, 8'd4: begin
        engine = word_i[7:0] == 8'd1 ? 0 : 3;
        illegal = bits(199, 184) == 0 || bits(223, 200) == 0 || (word_i[7:0] == 8'd1 && bits(225, 224) == 3);
        misaligned = odd(bits(103, 72), Depth) || odd(bits(135, 104), Depth) || odd(bits(159, 136), Depth) ||
                     odd(bits(183, 160), Depth) || odd(bits(223, 200), Depth);
      end
      8'd2: begin
        engine = 1;
        illegal = bits(73, 72) == 3 || bits(75, 74) == 3 || bits(172, 157) == 0 || bits(188, 173) == 0 ||
                  bits(200, 197) == 0 || bits(204, 201) == 0 || bits(207, 205) == 0 || bits(210, 208) == 0 ||
                  bits(222, 211) == 0 || bits(229, 223) == 0 || bits(245, 230) == 0 || bits(261, 246) == 0 ||
                  bits(269, 262) == 0 || bits(282, 270) == 0;
        if (bits(73, 72) == 1 && bits(80, 78) >= Tables) illegal = 1'b1;  // a table that is not there
        if (bits(269, 262) > Rows || bits(229, 223) > Depth) illegal = 1'b1;
        if (bits(75, 74) != 0 && bits(73, 72) != 0) illegal = 1'b1;  // INT8 or LOW4 with codes
        if (word_i[77] && bits(75, 74) == 0) illegal = 1'b1;  // transpose with INT4
        // ceil(n / D), as the least number of groups that hold n channels
        groups = bits(222, 211);
        if (word_i[76]) begin
          if (bits(200, 197) != 3 || bits(204, 201) != 3 || bits(75, 74) != 0) illegal = 1'b1;
          if (bits(269, 262) * Depth > Rows * Cols) illegal = 1'b1;
          if (groups * Depth < bits(282, 270) || groups * Depth >= bits(282, 270) + Depth) illegal = 1'b1;
        end
        unit = word_i[77] ? Cols : Depth;
        misaligned = odd(bits(112, 89), Depth) || odd(bits(136, 113), Depth) || odd(bits(156, 137), Depth) ||
                     odd(bits(378, 355), Depth) || odd(bits(306, 283), unit) ||
                     odd(bits(330, 307), unit) || odd(bits(354, 331), unit);
      end
      8'd3: begin
        engine = 2;
        illegal = bits(83, 80) == 0 || bits(99, 84) == 0 || bits(115, 100) == 0 || bits(128, 116) == 0 ||
                  bits(136, 129) == 0 || bits(136, 129) > Rows || bits(79, 72) + bits(83, 80) > ProgWords;
        unit = Cols / 2;
        misaligned = odd(bits(160, 137), unit) || odd(bits(184, 161), unit) || odd(bits(204, 185), unit) ||
                     odd(bits(228, 205), unit) || odd(bits(252, 229), unit) || odd(bits(272, 253), unit) ||
                     odd(bits(296, 273), unit) || odd(bits(320, 297), unit) || odd(bits(340, 321), unit) ||
                     odd(bits(364, 341), Depth);
      end
      default: ;
    endcase
    full = word_i[7:0] != 8'd5 && u_decode.sent_q[engine] == 16'hffff;
    wanted = misaligned ? 3 : 0;
    if (illegal || full) wanted = 2;
    if (!(word_i[7:0] inside {[8'd1:8'd5]})) wanted = 1;
    if (error_i) wanted = 5;
  end

  always_comb begin
    if (ready) assert (32'(u_decode.cause) == wanted);
    if (ready && word_i[7:0] inside {[8'd1:8'd4]}) assert (32'(u_decode.engine) == engine);
    // What is at the head goes to one queue, is HALT, or traps.
    assert (trap == (busy && cause != isa_pkg::TrapNone));
    assert (32'(push != '0) + 32'(halt) + 32'(trap) == 32'(busy));
    if (Reach != 0) assert (!(ready && wanted == Reach));
  end
endmodule

`default_nettype wire
