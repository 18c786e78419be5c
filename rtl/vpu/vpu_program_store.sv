// Holds the microwords; LOAD writes scratchpad words, a read gives the whole microword one cycle later.

`include "registers.svh"

module vpu_program_store
  import isa_pkg::*;
#(
    parameter int unsigned Depth     = 16,  // bytes of a written word
    parameter int unsigned ProgWords = 64,  // microwords
    localparam int unsigned Words    = ProgWords * MicrowordBytes / Depth,
    localparam int unsigned WriteW   = $clog2(Words),
    localparam int unsigned ReadW    = $clog2(ProgWords)
) (
    input  logic               clk_i,
    input  logic               prog_we_i,
    input  logic [ WriteW-1:0] prog_addr_i,
    input  logic [8*Depth-1:0] prog_wdata_i,
    input  logic               read_i,
    input  logic [  ReadW-1:0] index_i,
    output microword_t         microword_o
);
  logic [8*Depth-1:0] words_q[Words];
  microword_t read_d;

  if (Depth <= MicrowordBytes) begin : gen_narrow
    localparam int unsigned Parts = MicrowordBytes / Depth;
    always_comb begin
      read_d = '0;
      for (int unsigned i = 0; i < Parts; i++) begin
        read_d[8*Depth*i+:8*Depth] = words_q[WriteW'(Parts*32'(index_i)+i)];
      end
    end
  end else begin : gen_wide
    localparam int unsigned Parts = Depth / MicrowordBytes;
    localparam int unsigned Bits = 8 * MicrowordBytes;
    assign read_d = words_q[WriteW'(32'(index_i)/Parts)][Bits*(32'(index_i)%Parts)+:Bits];
  end

  `FFLNR(words_q[prog_addr_i], prog_wdata_i, prog_we_i)
  `FFLNR(microword_o, read_d, read_i)
endmodule
