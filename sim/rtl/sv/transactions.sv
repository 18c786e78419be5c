// SPDX-License-Identifier: Apache-2.0
// Names what each engine does, for people who look at waves: instruction, layer and addresses of what it began last,
// and how many it has under way. Part of traced builds alone, and of no synthesis.
// +names=FILE holds, for each instruction of the program in order, one row for $readmemh: layer and text in ASCII,
// byte address in memory, byte address in the scratchpad.

`default_nettype none

module transactions #(
    parameter int unsigned Entries    = 131072,  // instructions that have names
    parameter int unsigned LayerChars = 32,      // of a layer's name
    parameter int unsigned TextChars  = 32       // of an instruction's text
) (
    input wire             clk_i,
    input wire             rst_ni,
    input wire [3:0]       issue_i,
    input wire [3:0][31:0] issue_pc_i,
    input wire [3:0]       retire_i
);
  typedef struct packed {
    logic [8*LayerChars-1:0] layer;
    logic [8*TextChars-1:0]  text;
    logic [31:0]             memory;
    logic [31:0]             scratchpad;
  } row_t;

  row_t names[Entries];

  initial begin : read_names
    automatic string file;
    if ($value$plusargs("names=%s", file)) $readmemh(file, names);
  end

  for (genvar e = 0; e < 4; e++) begin : gen_engine
    row_t        now_q;
    logic [31:0] pc_q;
    logic [ 7:0] under_way_q;
    logic        unused_but_for_waves;

    assign unused_but_for_waves = ^{now_q, pc_q, under_way_q};

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        now_q       <= '0;
        pc_q        <= '1;
        under_way_q <= '0;
      end else begin
        under_way_q <= under_way_q + 8'(issue_i[e]) - 8'(retire_i[e]);
        if (issue_i[e]) begin
          now_q <= names[issue_pc_i[e][$clog2(Entries)-1:0]];
          pc_q  <= issue_pc_i[e];
        end
      end
    end
  end

endmodule

`default_nettype wire
