// Sum or maximum of the valid lanes of one group.

module vpu_reduce
  import isa_pkg::*;
#(
    parameter int unsigned Cols = 8  // lanes
) (
    input  logic                    enable_i,      // without it the result does not matter
    input  reduce_e                 reduce_i,
    input  logic                    encode_i,      // the lanes hold codes, to be decoded first
    input  logic signed      [ 7:0] decode_i[16],
    input  logic        [Cols-1:0] valid_i,
    input  logic signed      [15:0] lanes_i[Cols],
    output logic signed      [31:0] result_o
);
  // A tree over the next power of two: leaves first, every level behind its inputs.
  localparam int unsigned Levels = $clog2(Cols);
  localparam int unsigned Leaves = 1 << Levels;

  function automatic logic signed [31:0] reduced();
    logic signed [31:0] node[2*Leaves];
    logic maximum;
    maximum = reduce_i == ReduceMax;
    for (int unsigned i = 0; i < Leaves; i++) node[Leaves+i] = maximum ? 32'sh80000000 : 32'sd0;
    for (int unsigned c = 0; c < Cols; c++) begin
      if (valid_i[c]) node[Leaves+c] = encode_i ? 32'(decode_i[lanes_i[c][3:0]]) : 32'(lanes_i[c]);
    end
    for (int unsigned i = Leaves - 1; i > 0; i--) begin
      node[i] = !maximum ? node[2*i] + node[2*i+1] : (node[2*i] > node[2*i+1]) ? node[2*i] : node[2*i+1];
    end
    return node[1];
  endfunction

  always_comb begin
    result_o = '0;
    if (enable_i) result_o = reduced();
  end
endmodule
