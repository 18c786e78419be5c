// SPDX-License-Identifier: Apache-2.0
// Types of a whole step (fastcar_step): its registers, what follows from them, words of 64 bytes and pairs of outputs.

package step_pkg;
  import fastcar_pkg::*;

  localparam int unsigned Bytes = 64;  // of a word, here and in memory
  localparam int unsigned Shorts = 32;  // int16 of a word
  localparam int unsigned RopeShift = 21;  // 14 bits of the tables, 7 guard bits

  typedef logic [8*Bytes-1:0] word_t;
  typedef logic [39:0] addr_t;  // of a byte
  typedef logic [33:0] place_t;  // of a word, from the beginning of its array

  // The numbers are those of the chooser register (docs/fastcar.md).
  typedef enum logic [2:0] {
    ChooserPublished  = 3'd0,
    ChooserConsistent = 3'd1,
    ChooserHeads      = 3'd2,
    ChooserValue      = 3'd3,
    ChooserKey        = 3'd4
  } chooser_e;

  // Why a step stopped, until reset. The first cause stays.
  typedef enum logic [3:0] {
    StepSound        = 4'd0,
    StepWeightSlave  = 4'd1,   // SLVERR to a read of weights
    StepWeightDecode = 4'd2,   // DECERR
    StepNoRoom       = 4'd3,   // a product's inputs do not fit in the lanes
    StepScaleSlave   = 4'd4,   // to a read of scales
    StepScaleDecode  = 4'd5,
    StepReadSlave    = 4'd6,   // to a read of caches, ring, rows, registers
    StepReadDecode   = 4'd7,
    StepWriteSlave   = 4'd8,   // to a write
    StepWriteDecode  = 4'd9,
    StepShape        = 4'd10   // the shape is beyond what was built
  } step_fault_e;

  // One step of a batch. Addresses are of whole words, `chains` of a byte.
  typedef struct packed {
    logic [7:0]  layers;
    count_t      rows;
    logic [12:0] position;
    logic [14:0] width;
    logic [14:0] ffn;
    logic [7:0]  heads;
    logic [7:0]  kv_heads;
    logic [8:0]  head_dim;
    logic [12:0] frame_tokens;
    logic [12:0] tokens;  // positions that a row's cache holds
    logic        scheduling;  // 0: every row is computed unless the whole batch replays
    addr_t       weights;
    addr_t       scales;
    addr_t       registers;
    addr_t       gains;
    addr_t       turns;
    addr_t       keys;
    addr_t       values;
    addr_t       ring;
    addr_t       chains;
    addr_t       x;
    addr_t       y;
  } shape_t;

  // What follows from a shape, in words unless stated.
  typedef struct packed {
    logic        replays;  // a frame lies behind
    logic [14:0] q_width;  // elements
    logic [14:0] kv_width;
    logic [7:0]  heads_each;  // query heads of a key head
    logic [2:0]  head_words;
    logic [9:0]  row_words;  // of x, of the ring
    logic [9:0]  width_segments;
    logic [9:0]  q_segments;
    logic [9:0]  ffn_segments;
    logic [11:0] q_tiles;
    logic [11:0] kv_tiles;
    logic [11:0] o_tiles;  // of the width
    logic [11:0] ffn_tiles;
    logic [23:0] attention_beats;  // of weights
    logic [23:0] mlp_beats;
    logic [23:0] attention_scales;
    logic [23:0] mlp_scales;
    place_t      head_stride;  // from a head's cache to the next
    place_t      now;  // of the position in a head's cache
    place_t      earlier;  // of that one frame earlier
    place_t      ring_stride;  // from a row's ring to the next
    logic [12:0] slot;
    place_t      ring_slot;
    place_t      turn_now;
    place_t      turn_before;
  } derived_t;

  // The positions that attention sees: `old` from the beginning, and from `first` on; `count` in all.
  typedef struct packed {
    logic [12:0] old;
    logic [12:0] first;
    logic [12:0] count;
  } seen_t;

  // LayerRegisters of hls/include/records.hpp, as a record's first word holds them.
  typedef struct packed {
    logic signed [9:0]  attention_norm_shift;
    logic signed [9:0]  mlp_norm_shift;
    logic [14:0]        score_multiplier;
    logic [5:0]         score_shift;
    logic [2:0]         attention_shift;
    logic [5:0]         swiglu_shift;
    logic signed [31:0] threshold;
    policy_e            policy;
    chooser_e           chooser;
    logic [7:0]         chain_cap;
    logic [12:0]        window;
    logic [12:0]        sink;
  } layer_t;

  function automatic layer_t unpack_layer(input word_t word);
    return layer_t'{
        attention_norm_shift: word[9:0],
        mlp_norm_shift: word[32+:10],
        score_multiplier: word[64+:15],
        score_shift: word[96+:6],
        attention_shift: word[128+:3],
        swiglu_shift: word[160+:6],
        threshold: word[192+:32],
        policy: policy_e'(word[224+:2]),
        chooser: chooser_e'(word[256+:3]),
        chain_cap: word[288+:8],
        window: word[320+:13],
        sink: word[352+:13]
    };
  endfunction

  // The phases of a step, those of a layer from PhaseRecord to PhaseCounts.
  typedef enum logic [4:0] {
    PhaseIdle,
    PhaseSetup,
    PhaseTurns,    // RoPE's tables of the position, and of that one frame earlier
    PhaseRecord,   // the layer's registers
    PhaseChains,   // chain counts of the position's place
    PhaseGain,
    PhaseRows,     // the residual of a new token
    PhaseHeads,    // norm, Q, K, V
    PhaseScore,
    PhaseKeys,     // leave to the cache
    PhaseValues,
    PhaseStored,   // until they are there
    PhaseAttend,
    PhaseOutput,   // O
    PhaseAdd,
    PhaseMlpGain,
    PhaseHidden,   // norm, gate and up
    PhaseDown,
    PhaseRing,     // the MLP's outputs, of now or of the ring, are added
    PhaseCounts,   // chain counts leave
    PhaseResult,
    PhaseFlush,
    PhaseDone,
    PhaseStopped
  } phase_e;
  localparam int unsigned Phases = 24;

  // What a job's sums become.
  typedef enum logic [1:0] {
    SumHeads  = 2'd0,  // queries, keys, values
    SumDelta  = 2'd1,  // what a row's residual takes
    SumHidden = 2'd2   // gate and up, tile by tile
  } sum_e;

  typedef struct packed {
    logic signed [15:0] odd;
    logic signed [15:0] even;
  } pair_t;

  // A pair of bytes for a word of a memory: byte pair `at` of word `word` in the row's part.
  typedef struct packed {
    row_t        row;
    logic [11:0] word;
    logic [4:0]  at;
    logic [15:0] data;
  } byte_pair_t;

  // Bytes of word `word` of a row of `bytes` bytes that belong to it.
  function automatic logic [Bytes-1:0] tail_bytes(input logic [11:0] word, input logic [17:0] bytes);
    logic [17:0] begins;
    begins = {word, 6'd0};
    if (begins >= bytes) return '0;
    if (bytes - begins >= 18'(Bytes)) return '1;
    return ~({Bytes{1'b1}} << 6'(bytes - begins));
  endfunction

  function automatic word_t mask_word(input word_t word, input logic [Bytes-1:0] keep);
    word_t masked;
    for (int unsigned b = 0; b < Bytes; b++) masked[8*b+:8] = keep[b] ? word[8*b+:8] : 8'd0;
    return masked;
  endfunction

  function automatic logic [7:0] sat8(input logic signed [47:0] value);
    return (value > 48'sd127) ? 8'h7f : (value < -48'sd128) ? 8'h80 : value[7:0];
  endfunction

endpackage
