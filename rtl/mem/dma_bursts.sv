// SPDX-License-Identifier: Apache-2.0
// Cuts a stream of runs into AXI bursts, one a cycle: none longer than MaxBurst beats, none across a 4 KiB boundary.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module dma_bursts #(
    parameter int unsigned Depth    = 16,  // bytes of a beat
    parameter int unsigned MaxBurst = 256  // beats, 256 at most
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    stop_i,    // forget the stream
    input  logic                    valid_i,
    output logic                    ready_o,
    input  dma_pkg::stream_t        stream_i,
    output logic                    valid_o,
    input  logic                    ready_i,
    output logic             [31:0] addr_o,
    output logic             [ 8:0] beats_o,
    output logic                    last_o     // last burst of the stream
);
  import dma_pkg::*;

  localparam int unsigned Shift = $clog2(Depth);
  localparam int unsigned PageBeats = 4096 / Depth;

  logic active_d, active_q;
  logic [31:0] addr_d, addr_q, row_addr_d, row_addr_q, dram_row_q;
  logic [15:0] rows_d, rows_q;
  run_t left_d, left_q, run_q;
  logic [8:0] page_left;
  logic run_ends, load, step;

  assign ready_o = !active_q || (step && last_o);
  assign load    = valid_i && ready_o;
  assign step    = valid_o && ready_i;

  always_comb begin
    page_left = 9'(PageBeats) - 9'(addr_q[11:Shift]);
    beats_o   = (9'(MaxBurst) < page_left) ? 9'(MaxBurst) : page_left;
    if (left_q < run_t'(beats_o)) beats_o = left_q[8:0];
  end

  assign run_ends = left_q == run_t'(beats_o);
  assign valid_o  = active_q;
  assign addr_o   = addr_q;
  assign last_o   = run_ends && rows_q == 16'd1;

  always_comb begin
    active_d   = active_q;
    addr_d     = addr_q;
    row_addr_d = row_addr_q;
    rows_d     = rows_q;
    left_d     = left_q;
    if (step) begin
      active_d = !last_o;
      addr_d   = addr_q + (32'(beats_o) << Shift);
      left_d   = left_q - run_t'(beats_o);
      if (run_ends) begin
        row_addr_d = row_addr_q + dram_row_q;
        addr_d     = row_addr_d;
        rows_d     = rows_q - 1'b1;
        left_d     = run_q;
      end
    end
    if (load) begin
      active_d   = 1'b1;
      addr_d     = stream_i.dram;
      row_addr_d = stream_i.dram;
      rows_d     = stream_i.rows;
      left_d     = stream_i.run;
    end
    if (stop_i) active_d = 1'b0;
  end

  `FF(active_q, active_d, 1'b0)
  `FFLNR(addr_q, addr_d, step || load)
  `FFLNR(row_addr_q, row_addr_d, step || load)
  `FFLNR(rows_q, rows_d, step || load)
  `FFLNR(left_q, left_d, step || load)
  `FFLNR(dram_row_q, stream_i.dram_row, load)
  `FFLNR(run_q, stream_i.run, load)

  `ASSERT_ALWAYS(WithinPage,
                 !valid_o || 32'(addr_o[11:0]) + 32'(beats_o) * 32'(Depth) <= 32'd4096)
  `ASSERT_ALWAYS(NotEmpty, !valid_o || beats_o != '0)
  `CHECK_PARAMETER(BurstInRange, MaxBurst >= 1 && MaxBurst <= 256)

  `CHECK_PARAMETER(DepthInRange, chip_pkg::legal_depth(Depth))
endmodule

`default_nettype wire
