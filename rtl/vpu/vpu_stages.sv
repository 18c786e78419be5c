// SPDX-License-Identifier: Apache-2.0
// Control of the lanes' pipeline: which stages hold something, and what. It moves as a whole (`enable_i`); stages
// without use for the microword in force are skipped.

`default_nettype none
`include "registers.svh"

module vpu_stages
  import vpu_pkg::*;
(
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  test_en_i,
    input  logic                  enable_i,
    input  uses_t                 uses_i,           // the microword in force
    input  logic                  issue_i,          // a group enters
    input  element_t              element_i,
    output logic     [Stages-1:0] valid_o,          // the stage holds something
    output logic     [Stages-1:0] advance_o,        // which moves on
    output element_t              element_o[Stages],  // of the decode stage with the offsets in A and B
    output logic     [       1:0] bank_busy_o,      // the parameter buffer is in use
    output logic                  idle_o
);
  logic [Stages-1:0] valid_d, valid_q;
  element_t element_q[Stages];
  logic scalar, function_used;

  assign scalar        = uses_i.scalar;
  assign function_used = uses_i.function_used;

  always_comb begin
    valid_d = '0;
    valid_d[StageDecode]    = issue_i;
    valid_d[StageAdd]       = valid_q[StageDecode];
    valid_d[StageMultiply]  = valid_q[StageAdd];
    valid_d[StageRound]     = valid_q[StageMultiply];
    valid_d[StageLookup]    = valid_q[StageRound] && function_used;
    valid_d[StageSquare]    = valid_q[StageLookup];
    valid_d[StageFinish]    = valid_q[StageSquare];
    valid_d[StageMultiply2] = valid_q[StageFinish] ||
                              (valid_q[StageRound] && uses_i.scaled && !function_used);
    valid_d[StageRound2]    = valid_q[StageMultiply2] && !scalar;
    valid_d[StageClamp]     = valid_q[StageRound2] || (valid_q[StageMultiply2] && scalar) ||
                              (valid_q[StageRound] && !uses_i.scaled && !function_used);
    valid_d[StageEncode]    = valid_q[StageClamp] && !scalar;
    valid_d[StagePack]      = valid_q[StageEncode];
  end
  `FFL(valid_q, valid_d, enable_i, '0)

  for (genvar s = 0; s < Stages; s++) begin : gen_element
    element_t previous, held_q;
    if (s == StageDecode) begin : gen_decode
      assign previous = element_i;
    end else if (s == StageAdd) begin : gen_add
      always_comb begin
        previous          = element_q[StageDecode];
        previous.a_offset = '0;
        previous.b_offset = '0;
      end
    end else if (s == StageMultiply2) begin : gen_multiply2
      assign previous = valid_q[StageFinish] ? element_q[StageFinish] : element_q[StageRound];
    end else if (s == StageClamp) begin : gen_clamp
      assign previous = valid_q[StageRound2] ? element_q[StageRound2] :
          valid_q[StageMultiply2] ? element_q[StageMultiply2] : element_q[StageRound];
    end else begin : gen_next
      assign previous = element_q[s-1];
    end
    `FFGATED(element, held_q, previous, enable_i && valid_d[s])
    assign element_q[s] = held_q;
  end

  always_comb begin
    bank_busy_o = '0;
    for (int unsigned s = 0; s <= StageClamp; s++) if (valid_q[s]) bank_busy_o[element_q[s].bank] = 1'b1;
  end

  assign valid_o   = valid_q;
  assign advance_o = enable_i ? valid_q : '0;
  assign element_o = element_q;
  assign idle_o    = valid_q == '0;

  logic unused_uses;
  assign unused_uses = ^uses_i;
endmodule

`default_nettype wire
