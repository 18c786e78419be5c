// SPDX-License-Identifier: Apache-2.0
// Checks instructions and hands them to their engines' queues in program order, one register stage behind fetch.
// An instruction that is not legal, or HALT, stays at the head: `trap_o` or `halt_o` until the chip stops.
// Order of causes: BUS_FETCH, ILLEGAL_OPCODE, ILLEGAL_FIELD, ALIGNMENT.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module decode #(
    parameter int unsigned Depth     = 16,  // bytes of a scratchpad word
    parameter int unsigned Cols      = 8,   // columns of the MXU
    parameter int unsigned Rows      = 16,  // rows of an accumulator bank
    parameter int unsigned ProgWords = 32,  // microwords in the program store
    parameter int unsigned Tables    = 8    // code tables, 1 to 8
) (
    input  logic                             clk_i,
    input  logic                             rst_ni,
    input  logic                             stop_i,
    input  logic                             valid_i,
    output logic                             ready_o,
    input  logic             [        511:0] instr_i,
    input  logic                             error_i,  // the fetch failed
    output logic                             busy_o,   // an instruction is at the head
    output chip_pkg::pc_t                    pc_o,     // of the head, or of the next one
    output isa_pkg::header_t                 instr_o,
    output logic             [chip_pkg::Engines-1:0] push_valid_o,
    input  logic             [chip_pkg::Engines-1:0] push_ready_i,
    output logic                             halt_o,
    output logic                             trap_o,
    output isa_pkg::trap_e                   cause_o
);
  import chip_pkg::*;
  import decode_pkg::*;
  import isa_pkg::*;

  header_t header, instr_q;
  matmul_t matmul;
  vector_t vector;
  trap_e cause, cause_q;
  engine_e engine_q;
  logic valid_d, valid_q, halt_q, take, leave, illegal, misaligned;
  pc_t pc_d, pc_q;
  engine_e engine;
  token_t [Engines-1:0] sent_d, sent_q;  // instructions taken for each engine

  assign header = instr_i;
  assign matmul = instr_i;
  assign vector = instr_i;

  assign take    = valid_i && ready_o && !stop_i;
  assign leave   = (push_valid_o & push_ready_i) != '0;
  assign ready_o = !valid_q || leave;
  assign valid_d = !stop_i && (take || (valid_q && !leave));

  always_comb begin
    cause      = TrapNone;
    illegal    = 1'b0;
    misaligned = 1'b0;
    if (take) begin
      unique case (header.opcode)
        OpcodeLoad: begin
          illegal    = load_outside(instr_i);
          misaligned = load_misaligned(instr_i, Depth);
        end
        OpcodeStore: begin
          illegal    = store_outside(instr_i);
          misaligned = store_misaligned(instr_i, Depth);
        end
        OpcodeMatmul: begin
          illegal = matmul_outside(matmul) || 32'(matmul.block) > Rows ||
              32'(matmul.last_elems) > Depth ||
              (matmul.weight_format != WeightFormatInt4 && matmul.act_format != ActFormatInt8) ||
              (matmul.weight_format == WeightFormatInt4 && matmul.transpose) ||
              (matmul.act_format == ActFormatTable4 && 4'(matmul.code_table) >= 4'(Tables));
          if (matmul.depthwise) begin
            illegal = illegal || matmul.weight_format != WeightFormatInt4 ||
                matmul.kernel_h != 4'd3 || matmul.kernel_w != 4'd3 ||
                32'(matmul.block) > Rows * Cols / Depth ||
                32'(matmul.chunks) != (32'(matmul.n) + Depth - 1) / Depth;
          end
          misaligned = matmul_misaligned(matmul, Depth, Cols);
          if (!matmul.transpose) begin
            misaligned = misaligned ||
                ((matmul.wgt | matmul.wgt_n | matmul.wgt_t) & 24'(Depth - 1)) != '0;
          end
        end
        OpcodeVector: begin
          illegal = vector_outside(vector) || 32'(vector.block) > Rows ||
              32'(vector.prog) + 32'(vector.prog_len) > ProgWords;
          misaligned = vector_misaligned(vector, Depth, Cols);
        end
        default: ;
      endcase
      // A token count holds no more of its engine's instructions.
      illegal = illegal || (header.opcode != OpcodeHalt && sent_q[engine] == '1);
      if (error_i) cause = TrapBusFetch;
      else if (!known(header.opcode)) cause = TrapIllegalOpcode;
      else if (illegal) cause = TrapIllegalField;
      else if (misaligned) cause = TrapAlignment;
    end
  end

  assign pc_d = stop_i ? '0 : (valid_q && leave) ? pc_q + 1'b1 : pc_q;

  assign engine = engine_of(header.opcode);
  always_comb begin
    sent_d = sent_q;
    if (take && header.opcode != OpcodeHalt && cause == TrapNone) sent_d[engine] = sent_q[engine] + 1'b1;
    if (stop_i) sent_d = '0;
  end
  `FFL(sent_q, sent_d, take || stop_i, '0)

  `FF(valid_q, valid_d, 1'b0)
  `FF(pc_q, pc_d, '0)
  `FFLNR(instr_q, header, take)
  `FFLNR(cause_q, cause, take)
  `FFLNR(engine_q, engine, take)
  `FFLNR(halt_q, header.opcode == OpcodeHalt, take)

  assign busy_o  = valid_q;
  assign pc_o    = pc_q;
  assign instr_o = instr_q;
  assign trap_o  = valid_q && cause_q != TrapNone;
  assign cause_o = cause_q;
  assign halt_o  = valid_q && cause_q == TrapNone && halt_q;

  always_comb begin
    push_valid_o = '0;
    push_valid_o[engine_q] = valid_q && cause_q == TrapNone && !halt_q;
  end

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(RowsInRange, chip_pkg::legal_rows(Rows))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
