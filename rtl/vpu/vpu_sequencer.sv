// SPDX-License-Identifier: Apache-2.0
// Runs an instruction: block by block, microword by microword, group by group, pixel by pixel. It names the
// element that waits to be issued and moves on when that is; a microword starts when the one before has left the
// pipeline. A program of one VECTOR microword streams its blocks back to back.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module vpu_sequencer
  import isa_pkg::*;
  import vpu_pkg::*;
#(
    parameter int unsigned Cols      = 8,   // columns of the MXU (C), a multiple of the lanes
    parameter int unsigned Lanes     = 8,   // lanes
    parameter int unsigned FullLanes = 8,   // of these, full ones
    parameter int unsigned ProgWords = 64,  // microwords in the store
    parameter int unsigned Tables    = 8,   // code tables, 1 to 8
    localparam int unsigned ProgW    = $clog2(ProgWords)
) (
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  logic                   instr_valid_i,
    input  vector_t                instr_i,
    output logic                   instr_ready_o,
    input  logic                   stop_i,
    output logic                   start_o,        // an instruction is taken in this cycle
    output logic                   retire_o,
    output logic                   fault_o,
    output trap_e                  fault_cause_o,
    output logic                   waiting_o,      // an element waits
    output logic                   stopped_o,      // no instruction in hand
    output vector_t                instr_o,        // the instruction in hand
    output microword_t             word_o,         // the microword in hand
    output logic                   setup_o,        // `word_o` is new in this cycle
    output logic                   read_o,         // store of microwords
    output logic       [ProgW-1:0] index_o,
    input  microword_t             microword_i,
    input  logic                   drained_i,      // nothing is under way
    input  logic                   issue_i,        // the waiting element goes
    input  logic                   element_fault_i,  // it has a bad address
    input  trap_e                  element_cause_i,
    output logic       [      7:0] row_o,          // its pixel in the block
    output logic       [     13:0] group_o,
    output logic                   halved_o,       // the microword takes a group in two halves
    output logic                   second_o,       // this is the second one
    output logic                   bank_o,         // parameter buffer of the group
    output logic                   ahead_o,        // another group follows, `next_group_o`
    output logic       [     13:0] next_group_o,
    output logic                   first_group_o,
    output logic                   last_group_o,
    output logic                   ends_o,         // it has the last channel that counts
    output logic                   void_o,         // it has none that counts
    output logic                   row_end_o,      // last pixel of a picture row
    output logic                   block_end_o,    // last pixel of the block
    output logic                   advance_o       // behind this microword comes the next block
);
  localparam int unsigned GroupShift = $clog2(Lanes);
  localparam int unsigned ShareW = $clog2(Cols / Lanes);

  typedef enum logic [2:0] {
    Idle,    // no instruction
    Fetch,   // the microword is read
    Drain,   // the pipeline runs empty; the next microword is there
    Setup,   // tables are taken over, the microword is checked
    Stream,  // elements are issued
    Retire,
    Fault
  } state_e;

  state_e state_d, state_q;
  trap_e cause_d, cause_q;
  logic [3:0] step_d, step_q;          // microword of the program that is fetched next or in hand
  logic [3:0] read_step;               // microword that the store is asked for
  logic finished_d, finished_q;        // the last microword of the last block has been issued
  logic [15:0] x_d, x_q, y_d, y_q, next_x, next_y;
  logic [15:0] block_x_q, block_y_q, follow_x_q, follow_y_q, follow_x, follow_y;
  logic [7:0] row_d, row_q;
  logic [13:0] group_d, group_q, groups, covering, filled;
  logic bank_d, bank_q;
  logic picture_end;  // this is the picture's last pixel
  logic final_d, final_q;  // this is its last block (known from group 1 on)
  logic load, last_word, group_end, word_end, single, whole_rows;
  logic step;  // the waiting element goes, its second half if it has two
  logic second_d, second_q;
  logic illegal;

  // Accumulator rows come whole, C channels: also the groups of the last one in which no channel counts.
  assign whole_rows  = word_o.src_a == SourceAAcc;
  assign covering    = 14'(instr_o.n) + (whole_rows ? 14'(Cols - 1) : 14'(Lanes - 1));
  assign groups      = whole_rows ? (covering >> (GroupShift + ShareW)) << ShareW : covering >> GroupShift;
  assign filled      = 14'((instr_o.n - 13'd1) >> GroupShift);
  assign ends_o      = group_q == filled;
  assign void_o      = group_q > filled;
  // A SCALAR microword may read the row scalar that it writes: its blocks must not overlap.
  assign single      = instr_o.prog_len == 4'd1 && word_o.kind == KindVector;
  assign last_word   = step_q == instr_o.prog_len - 4'd1;
  assign row_end_o   = x_q == instr_o.w - 16'd1;
  assign picture_end = row_end_o && y_q == instr_o.h - 16'd1;
  assign block_end_o = picture_end || row_q == instr_o.block - 8'd1;
  assign step        = issue_i && (!halved_o || second_q);
  assign group_end   = step && block_end_o;
  assign word_end    = group_end && last_group_o;
  assign advance_o   = last_word;

  assign first_group_o = group_q == '0;
  assign last_group_o  = word_o.kind == KindScalar || group_q == groups - 14'd1;
  assign next_group_o  = last_group_o ? '0 : group_q + 14'd1;
  assign ahead_o       = groups != 14'd1 && !(last_group_o && final_q && last_word);

  // -- Loops ---------------------------------------------------------------------------------------

  assign next_x = row_end_o ? '0 : x_q + 16'd1;
  assign next_y = row_end_o ? y_q + 16'd1 : y_q;
  // Where the next block starts is known when group 0 has passed.
  assign follow_x = first_group_o ? next_x : follow_x_q;
  assign follow_y = first_group_o ? next_y : follow_y_q;

  always_comb begin
    x_d     = next_x;
    y_d     = next_y;
    row_d   = row_q + 8'd1;
    group_d = group_q;
    bank_d  = bank_q;
    final_d = final_q;
    if (block_end_o) begin
      x_d     = (last_group_o && last_word) ? follow_x : block_x_q;
      y_d     = (last_group_o && last_word) ? follow_y : block_y_q;
      row_d   = '0;
      group_d = last_group_o ? '0 : group_q + 14'd1;
      bank_d  = (word_o.kind == KindScalar || groups == 14'd1) ? bank_q : !bank_q;
      final_d = picture_end;
    end
    if (start_o) begin
      x_d     = '0;
      y_d     = '0;
      row_d   = '0;
      group_d = '0;
      bank_d  = 1'b0;
      final_d = 1'b0;
    end
  end

  `FFL(x_q, x_d, start_o || step, '0)
  `FFL(y_q, y_d, start_o || step, '0)
  `FFL(row_q, row_d, start_o || step, '0)
  `FFL(group_q, group_d, start_o || step, '0)
  `FFL(bank_q, bank_d, start_o || step, '0)
  `FFL(final_q, final_d, start_o || step, '0)
  if (FullLanes < Lanes) begin : gen_halves
    // It needs what only full lanes have: parameters, a second operand, a function, the encoder.
    assign halved_o = word_o.kind == KindVector &&
        (word_o.side != SideNone || word_o.mul inside {MultiplyParam, MultiplyB} ||
         word_o.addend == AddendBias || word_o.zp_param || word_o.encode);
  end else begin : gen_whole
    assign halved_o = 1'b0;
  end
  assign second_d = halved_o && !second_q && !start_o;
  `FFL(second_q, second_d, start_o || issue_i, 1'b0)
  assign second_o = second_q;

  `FFL(follow_x_q, follow_x, group_end, '0)
  `FFL(follow_y_q, follow_y, group_end, '0)
  `FFL(block_x_q, start_o ? '0 : follow_x, start_o || (word_end && last_word), '0)
  `FFL(block_y_q, start_o ? '0 : follow_y, start_o || (word_end && last_word), '0)

  // -- States --------------------------------------------------------------------------------------

  assign instr_ready_o = state_q == Idle && !stop_i && drained_i;
  assign start_o       = instr_valid_i && instr_ready_o;
  assign read_o        = state_q == Fetch || (state_q == Stream && word_end);
  assign index_o       = ProgW'(instr_o.prog) + ProgW'(read_step);
  assign load          = state_q == Drain && drained_i && !finished_q;

  assign read_step = state_q == Stream ? (last_word ? 4'd0 : step_q + 4'd1) : step_q;

  always_comb begin
    state_d    = state_q;
    step_d     = step_q;
    finished_d = finished_q;
    cause_d    = cause_q;
    unique case (state_q)
      Idle: begin
        if (start_o) begin
          state_d    = Fetch;
          step_d     = '0;
          finished_d = 1'b0;
        end
      end
      Fetch: state_d = Drain;
      Drain: begin
        if (drained_i) state_d = finished_q ? Retire : Setup;
      end
      Setup: begin
        state_d = Stream;
        if (illegal) begin
          state_d = Fault;
          cause_d = TrapIllegalField;
        end
      end
      Stream: begin
        if (element_fault_i) begin
          state_d = Fault;
          cause_d = element_cause_i;
        end else if (word_end && !(single && !picture_end)) begin
          state_d    = Drain;
          step_d     = read_step;
          finished_d = last_word && picture_end;
        end
      end
      Retire:  state_d = Idle;
      default: state_d = Fault;
    endcase
    if (stop_i) state_d = Idle;
  end

  `FF(state_q, state_d, Idle)
  `FF(step_q, step_d, '0)
  `FF(finished_q, finished_d, 1'b0)
  `FF(cause_q, cause_d, TrapNone)
  `FFLNR(instr_o, instr_i, start_o)
  `FFL(word_o, microword_i, load, '0)

  // -- Legality of a microword (docs/architecture.md) ----------------------------------------------

  logic second;  // the microword reads B

  assign second = reads_b(word_o.kind, word_o.side, word_o.mul);

  always_comb begin
    illegal = word_o.mul > MultiplyB || word_o.fn > FunctionRsqrt || word_o.reduce > ReduceMax;
    if (word_o.kind == KindScalar) begin
      illegal = illegal || !(word_o.addend inside {AddendNone, AddendImm}) ||
          !(word_o.mul inside {MultiplyNone, MultiplyImm}) || word_o.fn inside {FunctionExp2n, FunctionGelu};
    end else begin
      illegal = illegal || word_o.fn inside {FunctionRecip, FunctionRsqrt} ||
          (word_o.src_a == SourceASpad && word_o.fmt_a == FormatInt16) ||
          (second && word_o.fmt_b == FormatInt16) ||
          (word_o.mul == MultiplyB && word_o.fn != FunctionIdent) ||
          (word_o.src_a == SourceASpad && word_o.fmt_a == FormatTable4 && 4'(word_o.table_a) >= 4'(Tables)) ||
          (second && word_o.fmt_b == FormatTable4 && 4'(word_o.table_b) >= 4'(Tables)) ||
          (word_o.encode && 4'(word_o.table_e) >= 4'(Tables));
    end
  end

  assign waiting_o     = state_q == Stream;
  assign stopped_o     = state_q == Idle;
  assign setup_o       = state_q == Setup;
  assign fault_o       = state_q == Fault;
  assign fault_cause_o = cause_q;
  assign retire_o      = state_q == Retire;
  assign row_o         = row_q;
  assign group_o       = group_q;
  assign bank_o        = bank_q;

  `CHECK_PARAMETER(LanesInRange, chip_pkg::legal_share(Lanes, Cols))
  `CHECK_PARAMETER(FullInRange, chip_pkg::legal_full(FullLanes, Lanes))
  `CHECK_PARAMETER(ProgramInRange, chip_pkg::legal_program(ProgWords))
  `CHECK_PARAMETER(TablesInRange, chip_pkg::legal_tables(Tables))
endmodule

`default_nettype wire
