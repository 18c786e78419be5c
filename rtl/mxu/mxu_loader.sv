// SPDX-License-Identifier: Apache-2.0
// Stationary loader: requests the words of every tile in the order of use, a tile ahead of the stream, and hands each
// word to the tile registers in the cycle after its grant. Only columns and rows that exist are read.

`default_nettype none
`include "registers.svh"
`include "assertions.svh"

module mxu_loader
  import mxu_pkg::*;
#(
    parameter int unsigned Depth = 16,  // bytes of a word
    parameter int unsigned Cols = 8,  // columns
    parameter int unsigned SpadWords = 16384,  // words of the scratchpad
    localparam int unsigned AddrW = $clog2(SpadWords)
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             stop_i,
    input  logic             job_valid_i,
    input  load_job_t        job_i,        // stands until done_o
    output logic             done_o,       // the last word of the job's last tile was granted in this cycle
    output logic             fault_o,      // the next word lies beyond the scratchpad
    input  logic             swap_i,       // the stream takes the tile
    output logic             ready_o,      // a whole tile stands, or stands when the granted word has arrived
    output logic             rreq_o,
    output logic [AddrW-1:0] raddr_o,
    input  logic             rgnt_i,
    // in the cycle in which the word arrives
    output logic             write_o,
    output logic             transpose_o,
    output logic             upper_o,      // transpose: the columns lie in the upper part of the word
    output logic             int8_o,
    output logic             keep_high_o,  // the high nibbles count (depthwise: the second tile's channel)
    output logic [      6:0] index_o,      // column; transpose: k
    output logic [      6:0] columns_o     // columns that exist
);
  localparam int unsigned Shift = $clog2(Depth);
  typedef logic [ByteW-1:0] byte_addr_t;

  typedef struct packed {
    logic transpose;
    logic upper;
    logic int8;
    logic keep_high;
    logic [6:0] index;
    logic [6:0] columns;
  } write_t;

  logic run_d, run_q;
  byte_addr_t word_d, word_q;
  byte_addr_t tile_d, tile_q, column_d, column_q;  // first word of the tile, of the column tile
  logic [6:0] index_d, index_q, columns, rows, count;
  logic [19:0] tile_count_d, tile_count_q;
  logic [11:0] chunk_d, chunk_q;
  logic [12:0] n_left_d, n_left_q, n_step;
  logic [31:0] pixels_left_d, pixels_left_q;
  logic word_last, tile_last, column_last, job_last;
  logic load, advance, valid_d, valid_q, last_q, job_last_q, range_q, go, ready_d, ready_q;
  write_t write_d, write_q, arrive_q;
  logic [AddrW-1:0] addr_q;
  logic arrive_valid_q;

  assign n_step = job_i.depthwise ? 13'(Depth) : 13'(Cols);
  assign columns = (n_left_q < 13'(Cols)) ? n_left_q[6:0] : 7'(Cols);
  assign rows = (chunk_q == job_i.chunks - 12'd1) ? job_i.last_elems : 7'(Depth);
  assign count = job_i.transpose ? rows : columns;

  assign word_last = index_q == count - 7'd1;
  assign tile_last = word_last && tile_count_q == job_i.tiles - 20'd1;
  assign column_last = tile_last && (job_i.depthwise || n_left_q <= 13'(Cols));
  assign job_last = column_last && pixels_left_q <= 32'(job_i.block);

  always_comb begin
    run_d = run_q;
    word_d = word_q;
    tile_d = tile_q;
    column_d = column_q;
    index_d = index_q;
    tile_count_d = tile_count_q;
    chunk_d = chunk_q;
    n_left_d = n_left_q;
    pixels_left_d = pixels_left_q;

    if (load) begin
      run_d = 1'b1;
      word_d = ByteW'(job_i.wgt);
      tile_d = ByteW'(job_i.wgt);
      column_d = ByteW'(job_i.wgt);
      index_d = '0;
      tile_count_d = '0;
      chunk_d = '0;
      n_left_d = job_i.n;
      pixels_left_d = job_i.pixels;
    end else if (run_q && advance) begin
      index_d = index_q + 7'd1;
      word_d  = word_q + ByteW'(job_i.wgt_c);
      if (word_last) begin
        index_d = '0;
        tile_count_d = tile_count_q + 20'd1;
        chunk_d = (chunk_q == job_i.chunks - 12'd1) ? '0 : chunk_q + 12'd1;
        tile_d = tile_q + ByteW'(job_i.wgt_t);
        if (job_i.depthwise) n_left_d = n_left_q - n_step;
        if (tile_last) begin
          tile_count_d = '0;
          chunk_d = '0;
          n_left_d = n_left_q - n_step;
          column_d = column_q + ByteW'(job_i.wgt_n);
          if (column_last) begin
            n_left_d = job_i.n;
            column_d = ByteW'(job_i.wgt);
            pixels_left_d = pixels_left_q - 32'(job_i.block);
          end
          tile_d = column_d;
        end
        word_d = tile_d;
        if (job_last) run_d = 1'b0;
      end
    end
    if (stop_i) run_d = 1'b0;
  end

  logic step, started_d, started_q;
  assign load = job_valid_i && !started_q && !stop_i;
  assign started_d = job_valid_i && !done_o && !stop_i;
  assign step = load || (run_q && advance);
  `FF(run_q, run_d, 1'b0)
  `FF(started_q, started_d, 1'b0)
  `FFLNR(word_q, word_d, step)
  `FFLNR(tile_q, tile_d, step)
  `FFLNR(column_q, column_d, step)
  `FFLNR(index_q, index_d, step)
  `FFLNR(tile_count_q, tile_count_d, step)
  `FFLNR(chunk_q, chunk_d, step)
  `FFLNR(n_left_q, n_left_d, step)
  `FFLNR(pixels_left_q, pixels_left_d, step)

  // The request. The first word of the next tile waits until the stream has taken this one.
  assign write_d.transpose = job_i.transpose;
  assign write_d.upper = job_i.transpose && Depth > Cols && word_q[Shift-1];
  assign write_d.int8 = job_i.int8;
  assign write_d.keep_high = !job_i.depthwise || 13'(Cols) + 13'(index_q) < n_left_q;
  assign write_d.index = index_q;
  assign write_d.columns = columns;

  assign advance = !valid_q || go;
  assign valid_d = !stop_i && (run_q || !advance);
  `FF(valid_q, valid_d, 1'b0)
  `FFLNR(addr_q, word_q[Shift+:AddrW], advance && run_q)
  `FFLNR(range_q, (word_q >> Shift) >= ByteW'(SpadWords), advance && run_q)
  `FFLNR(last_q, word_last, advance && run_q)
  `FFLNR(job_last_q, job_last, advance && run_q)
  `FFLNR(write_q, write_d, advance && run_q)

  assign rreq_o = valid_q && !range_q && !ready_q;
  assign raddr_o = addr_q;
  assign go = rreq_o && rgnt_i;
  assign done_o = go && job_last_q;
  assign fault_o = valid_q && range_q;

  assign ready_d = !stop_i && ((go && last_q) || (ready_q && !swap_i));
  `FF(ready_q, ready_d, 1'b0)
  assign ready_o = ready_q;

  `FF(arrive_valid_q, go && !stop_i, 1'b0)
  `FFLNR(arrive_q, write_q, go)
  assign write_o = arrive_valid_q;
  assign transpose_o = arrive_q.transpose;
  assign upper_o = arrive_q.upper;
  assign int8_o = arrive_q.int8;
  assign keep_high_o = arrive_q.keep_high;
  assign index_o = arrive_q.index;
  assign columns_o = arrive_q.columns;

  `ASSERT_ALWAYS(SwapNeedsTile, !swap_i || ready_q)
  `ASSERT_STABLE(RequestStable, rreq_o, rgnt_i || stop_i, raddr_o)

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
