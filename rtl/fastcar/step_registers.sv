// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite registers of a step, laid out as Vitis HLS lays out a kernel's: ap_ctrl at 0 (start, done, idle, ready; done
// is cleared by reading it), the fields of `Shape` in the order of hls/include/records.hpp from 0x10, the addresses of
// the arrays (low word, high word) from 0x40, what can be read from 0xa0. Writes while a step runs are ignored.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_registers
  import fastcar_pkg::*;
  import step_pkg::*;
(
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic        [ 8:0]       s_axil_awaddr_i,
    input  logic                     s_axil_awvalid_i,
    output logic                     s_axil_awready_o,
    input  logic        [31:0]       s_axil_wdata_i,
    input  logic        [ 3:0]       s_axil_wstrb_i,
    input  logic                     s_axil_wvalid_i,
    output logic                     s_axil_wready_o,
    output logic        [ 1:0]       s_axil_bresp_o,
    output logic                     s_axil_bvalid_o,
    input  logic                     s_axil_bready_i,
    input  logic        [ 8:0]       s_axil_araddr_i,
    input  logic                     s_axil_arvalid_i,
    output logic                     s_axil_arready_o,
    output logic        [31:0]       s_axil_rdata_o,
    output logic        [ 1:0]       s_axil_rresp_o,
    output logic                     s_axil_rvalid_o,
    input  logic                     s_axil_rready_i,
    output logic                     start_o,         // for a cycle
    input  logic                     done_i,          // for a cycle
    input  logic                     idle_i,
    output shape_t                   shape_o,
    input  step_fault_e              fault_i,
    input  logic   [MaxRows-1:0]     index_i,
    input  logic        [31:0]       computed_i,      // rows
    input  logic        [31:0]       replayed_i,
    input  logic        [31:0]       delivered_i,     // words of weights
    input  logic        [31:0]       skipped_i,
    input  logic [Phases-1:0][31:0]  cycles_i         // by phase
);
  localparam int unsigned Fields = 11;
  localparam int unsigned Arrays = 11;
  localparam int unsigned Stored = 34;  // words from 0x10 to the last address

  logic [Stored-1:0][31:0] stored_q;
  logic write, read, done_d, done_q, status_read;
  logic [6:0] to, from;
  logic [31:0] data_d;

  // A write takes address and data together.
  assign write            = s_axil_awvalid_i && s_axil_wvalid_i && !s_axil_bvalid_o;
  assign s_axil_awready_o = write;
  assign s_axil_wready_o  = write;
  assign s_axil_bresp_o   = 2'b00;
  assign to               = s_axil_awaddr_i[8:2];
  `FF(s_axil_bvalid_o, write || (s_axil_bvalid_o && !s_axil_bready_i), 1'b0)
  `FF(start_o, write && to == '0 && s_axil_wstrb_i[0] && s_axil_wdata_i[0] && idle_i && !start_o, 1'b0)
  for (genvar r = 0; r < Stored; r++) begin : gen_stored
    for (genvar b = 0; b < 4; b++) begin : gen_byte
      `FFL(stored_q[r][8*b+:8], s_axil_wdata_i[8*b+:8],
           write && to == 7'(r + 4) && s_axil_wstrb_i[b] && idle_i && !start_o, '0)
    end
  end

  assign read             = s_axil_arvalid_i && s_axil_arready_o;
  assign s_axil_arready_o = !s_axil_rvalid_o;
  assign s_axil_rresp_o   = 2'b00;
  assign from             = s_axil_araddr_i[8:2];
  assign status_read      = read && from == '0;
  assign done_d           = done_i || (done_q && !status_read);
  `FF(done_q, done_d, 1'b0)
  always_comb begin
    data_d = '0;
    if (from == '0) data_d = {28'd0, done_q, idle_i && !start_o, done_q, 1'b0};
    for (int unsigned r = 0; r < Stored; r++) if (from == 7'(r + 4)) data_d = stored_q[r];
    unique case (from)
      7'h28: data_d = 32'(fault_i);
      7'h29: data_d = index_i;
      7'h2a: data_d = computed_i;
      7'h2b: data_d = replayed_i;
      7'h2c: data_d = delivered_i;
      7'h2d: data_d = skipped_i;
      default: ;
    endcase
    for (int unsigned p = 0; p < Phases; p++) if (from == 7'(64 + p)) data_d = cycles_i[p];
  end
  `FF(s_axil_rvalid_o, read || (s_axil_rvalid_o && !s_axil_rready_i), 1'b0)
  `FFLNR(s_axil_rdata_o, data_d, read)

  // 0x10: layers, rows, position, width, ffn, heads, kv_heads, head_dim, frame_tokens, context, resource_scheduling
  addr_t array[Arrays];
  for (genvar a = 0; a < Arrays; a++) begin : gen_array
    assign array[a] = {stored_q[Fields+1+2*a+1][7:0], stored_q[Fields+1+2*a]};
  end
  assign shape_o = shape_t'{
          layers: stored_q[0][7:0],
          rows: stored_q[1][5:0],
          position: stored_q[2][12:0],
          width: stored_q[3][14:0],
          ffn: stored_q[4][14:0],
          heads: stored_q[5][7:0],
          kv_heads: stored_q[6][7:0],
          head_dim: stored_q[7][8:0],
          frame_tokens: stored_q[8][12:0],
          tokens: stored_q[9][12:0],
          scheduling: stored_q[10][0],
          weights: array[0],
          scales: array[1],
          registers: array[2],
          gains: array[3],
          turns: array[4],
          keys: array[5],
          values: array[6],
          ring: array[7],
          chains: array[8],
          x: array[9],
          y: array[10]
      };

  logic unused_bits;
  assign unused_bits = ^{s_axil_awaddr_i[1:0], s_axil_araddr_i[1:0], stored_q};

  `ASSERT_STABLE(AnswerStable, s_axil_rvalid_o, s_axil_rready_i, s_axil_rdata_o)
endmodule

`default_nettype wire
