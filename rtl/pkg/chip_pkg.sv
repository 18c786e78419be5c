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

endpackage
