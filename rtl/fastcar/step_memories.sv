// SPDX-License-Identifier: Apache-2.0
// The memories of a step, words of 64 bytes a row: x (the residual), deltas, queries and keys, what scores compare and
// values, hidden (attention's output before it). Pairs are written into words; each memory has one reader at a time.

`default_nettype none

module step_memories
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned RowWords    = 128,  // words of a row of x and of deltas, a power of two
    parameter int unsigned HeadWords   = 64,   // of a row's heads, a power of two
    parameter int unsigned HiddenWords = 256,  // of a row's hidden, a power of two
    parameter bit          Ultra       = 1'b1,  // in UltraRAM
    localparam int unsigned RowW = $clog2(MaxRows * RowWords),
    localparam int unsigned HeadW = $clog2(2 * MaxRows * HeadWords),
    localparam int unsigned HiddenW = $clog2(MaxRows * HiddenWords)
) (
    input  logic                clk_i,
    input  logic                x_re_i,
    input  logic [    RowW-1:0] x_raddr_i,
    output word_t               x_o,
    input  logic                x_we_i,
    input  logic [    RowW-1:0] x_waddr_i,
    input  word_t               x_i,
    input  logic                delta_re_i,
    input  logic [    RowW-1:0] delta_addr_i,
    output word_t               delta_o,
    input  logic                delta_we_i,
    input  row_t                delta_row_i,
    input  logic [        13:0] delta_place_i,
    input  pair_t               delta_i,
    input  logic                attended_re_i,
    input  logic [   HeadW-1:0] attended_addr_i,
    output word_t               attended_o,
    input  logic                attended_we_i,
    input  logic                attended_key_i,
    input  byte_pair_t          attended_i,
    input  logic                scored_re_i,
    input  logic [   HeadW-1:0] scored_addr_i,
    output word_t               scored_o,
    input  logic                scored_we_i,
    input  logic                scored_value_i,
    input  byte_pair_t          scored_i,
    input  logic                hidden_re_i,
    input  logic [ HiddenW-1:0] hidden_addr_i,
    output word_t               hidden_o,
    input  logic                hidden_we_i,
    input  byte_pair_t          hidden_i
);
  function automatic logic [HeadW-1:0] head_place(input logic second, input row_t row,
                                                  input logic [11:0] word);
    return HeadW'((32'(second) * MaxRows + 32'(row)) * HeadWords + 32'(word));
  endfunction

  step_ram #(
      .Words(MaxRows * RowWords),
      .Ultra(Ultra)
  ) u_x (
      .clk_i,
      .re_i   (x_re_i),
      .raddr_i(x_raddr_i),
      .rdata_o(x_o),
      .we_i   (x_we_i),
      .waddr_i(x_waddr_i),
      .wbe_i  ('1),
      .wdata_i(x_i)
  );

  step_ram #(
      .Words(MaxRows * RowWords),
      .Ultra(Ultra)
  ) u_delta (
      .clk_i,
      .re_i   (delta_re_i),
      .raddr_i(delta_addr_i),
      .rdata_o(delta_o),
      .we_i   (delta_we_i),
      .waddr_i(RowW'(32'(delta_row_i) * RowWords + 32'(delta_place_i >> 4))),
      .wbe_i  (Bytes'(4'hf) << {delta_place_i[3:0], 2'b00}),
      .wdata_i({Bytes / 4{delta_i}})
  );

  step_ram #(
      .Words(2 * MaxRows * HeadWords),
      .Ultra(Ultra)
  ) u_attended (
      .clk_i,
      .re_i   (attended_re_i),
      .raddr_i(attended_addr_i),
      .rdata_o(attended_o),
      .we_i   (attended_we_i),
      .waddr_i(head_place(attended_key_i, attended_i.row, attended_i.word)),
      .wbe_i  (Bytes'(2'b11) << {attended_i.at, 1'b0}),
      .wdata_i({Bytes / 2{attended_i.data}})
  );

  step_ram #(
      .Words(2 * MaxRows * HeadWords),
      .Ultra(Ultra)
  ) u_scored (
      .clk_i,
      .re_i   (scored_re_i),
      .raddr_i(scored_addr_i),
      .rdata_o(scored_o),
      .we_i   (scored_we_i),
      .waddr_i(head_place(scored_value_i, scored_i.row, scored_i.word)),
      .wbe_i  (Bytes'(2'b11) << {scored_i.at, 1'b0}),
      .wdata_i({Bytes / 2{scored_i.data}})
  );

  step_ram #(
      .Words(MaxRows * HiddenWords),
      .Ultra(Ultra)
  ) u_hidden (
      .clk_i,
      .re_i   (hidden_re_i),
      .raddr_i(hidden_addr_i),
      .rdata_o(hidden_o),
      .we_i   (hidden_we_i),
      .waddr_i(HiddenW'(32'(hidden_i.row) * HiddenWords + 32'(hidden_i.word))),
      .wbe_i  (Bytes'(2'b11) << {hidden_i.at, 1'b0}),
      .wdata_i({Bytes / 2{hidden_i.data}})
  );
endmodule

`default_nettype wire
