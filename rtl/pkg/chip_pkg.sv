// SPDX-License-Identifier: Apache-2.0
// Sizes and types that the control blocks share.

package chip_pkg;

  localparam int unsigned Engines = 4;  // LOAD, MXU, VPU, STORE: isa_pkg::engine_e
  localparam int unsigned PcW = 20;  // bits of an instruction's index in the program
  localparam int unsigned TokenW = 16;  // bits of a token count

  typedef logic [PcW-1:0] pc_t;
  typedef logic [TokenW-1:0] token_t;

  // Who trapped: an engine, or fetch and decode.
  localparam logic [2:0] SourceFrontEnd = 3'd4;

  // Cycle classes: bit numbers of `class_o`, in the order of docs/architecture.md. Every engine has the first three.
  localparam int unsigned ClassActive = 0;
  localparam int unsigned ClassEmpty = 1;
  localparam int unsigned ClassToken = 2;
  localparam int unsigned DmaClassBus = 3;
  localparam int unsigned DmaClassSpad = 4;
  localparam int unsigned DmaClassFill = 5;

  localparam int unsigned DmaClasses = 6;
  localparam int unsigned MxuClasses = 7;
  localparam int unsigned VpuClasses = 7;

  localparam int unsigned CounterW = 48;  // bits of a cycle counter

  localparam int unsigned SpadBanks = 4;  // banks of the scratchpad: the hash of words is made for four
  localparam int unsigned InFlight = 4;  // instructions that an engine may hold, a power of two

  // Bits of an index into so many.
  function automatic int unsigned index_width(input int unsigned count);
    return (count > 1) ? $clog2(count) : 1;
  endfunction

  // The range of each size of the chip. Every module checks what it is given when it is elaborated.
  function automatic bit legal_depth(input int unsigned depth);  // bytes of a word
    return depth == 16 || depth == 32 || depth == 64;
  endfunction

  function automatic bit legal_cols(input int unsigned cols, input int unsigned depth);
    return legal_depth(depth) && (cols == depth || 2 * cols == depth);
  endfunction

  function automatic bit legal_lanes(input int unsigned lanes);  // also columns, without the depth
    return lanes == 8 || lanes == 16 || lanes == 32 || lanes == 64;
  endfunction

  function automatic bit legal_share(input int unsigned lanes, input int unsigned cols);
    return legal_lanes(lanes) && legal_lanes(cols) && lanes <= cols;
  endfunction

  function automatic bit legal_full(input int unsigned full, input int unsigned lanes);
    return full >= 8 && (full == lanes || 2 * full == lanes);
  endfunction

  function automatic bit legal_rows(input int unsigned rows);  // of an accumulator bank
    return rows >= 2 && rows <= 255;
  endfunction

  function automatic bit legal_spad(input int unsigned words, input int unsigned depth);
    return words >= 64 && words % 4 == 0 && words <= (1 << 24) / depth;  // 24-bit byte addresses
  endfunction

  function automatic bit legal_program(input int unsigned words);  // microwords
    return words >= 4 && words <= 256 && words % 2 == 0;
  endfunction

  function automatic bit legal_tables(input int unsigned tables);
    return tables >= 1 && tables <= 8;
  endfunction

  function automatic bit legal_queue(input int unsigned queue);
    return queue == 2 || queue == 4 || queue == 8;
  endfunction

endpackage
