// SPDX-License-Identifier: Apache-2.0
// Address generator of the stream: walks block, column tile, step, phase and pixel (depthwise: block, group, pixel,
// window column, window row) and offers one beat a cycle, with no gap between passes, tiles or blocks.
// Every address is a sum of two registers; a beat whose word lies beyond the scratchpad is marked, not requested.

`default_nettype none
`include "registers.svh"
`include "assertions.svh"

module mxu_stream
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
    input  logic             job_valid_i,   // a job that was not taken yet
    input  stream_job_t      job_i,
    output logic             job_taken_o,
    output logic             beat_valid_o,
    output beat_t            beat_o,
    output logic [AddrW-1:0] beat_addr_o,
    output logic             beat_range_o,  // beyond the scratchpad
    input  logic             beat_ready_i
);
  localparam int unsigned CoordW = 21;  // signed input coordinates of any output pixel
  typedef logic [WordW-1:0] word_t;
  typedef logic signed [CoordW-1:0] coord_t;

  // An output pixel: its column, input coordinates and word of its first tap, word of its row's first.
  typedef struct packed {
    logic [15:0] ox;
    coord_t ix;
    coord_t iy;
    word_t word;
    word_t row_word;
  } place_t;

  stream_job_t job_q;
  logic run_d, run_q;
  place_t place_d, place_q, origin_d, origin_q, next_place;
  logic [7:0] pixel_d, pixel_q, block_d, block_q;
  logic [3:0] ky_d, ky_q, kx_d, kx_q;
  logic [11:0] chunk_d, chunk_q;  // depthwise: group
  word_t offset_d, offset_q;  // of the beat within the pixel
  word_t tap_d, tap_q;  // of the tap; depthwise: of the window column
  word_t base_d, base_q;  // of the row of taps; depthwise: of the group
  logic low_d, low_q;  // CellByte: second phase
  logic odd_d, odd_q;  // CellNibble: odd step
  logic [12:0] n_left_d, n_left_q;
  logic [31:0] pixels_left_d, pixels_left_q;
  logic [2:0] group_d, group_q;

  logic advance, load, halves;
  logic pixel_end, pass_end, step_end, steps_end, group_end, block_end, job_end;
  logic chunk_last, kx_last, ky_last, row_end;
  logic [12:0] n_step;
  logic [3:0] first_column;

  assign halves = job_q.depthwise && job_q.act_format != isa_pkg::ActFormatInt8;  // of words: D codes
  assign n_step = job_q.depthwise ? 13'(Depth) : 13'(Cols);

  assign row_end = place_q.ox == job_q.out_w - 16'd1;
  assign chunk_last = chunk_q == job_q.chunks - 12'd1;
  assign kx_last = kx_q == job_q.kernel_w - 4'd1;
  assign ky_last = ky_q == job_q.kernel_h - 4'd1;
  assign pixel_end = !job_q.depthwise || (kx_last && ky_last);
  assign pass_end = pixel_end && pixel_q == block_q - 8'd1;
  assign step_end = pass_end && (job_q.mode != CellByte || low_q);
  assign steps_end = job_q.depthwise ||
      (chunk_last && kx_last && ky_last && (job_q.mode != CellByte || low_q));
  assign group_end = pass_end && steps_end;
  assign block_end = group_end && n_left_q <= n_step;
  assign job_end = block_end && pixels_left_q <= 32'(job_q.block);

  always_comb begin
    next_place = place_q;
    if (row_end) begin
      next_place.ox = '0;
      next_place.ix = -coord_t'({1'b0, job_q.pad_left});
      next_place.iy = place_q.iy + coord_t'({1'b0, job_q.stride_y});
      next_place.row_word = place_q.row_word + job_q.step_y;
      next_place.word = place_q.row_word + job_q.step_y;
    end else begin
      next_place.ox = place_q.ox + 16'd1;
      next_place.ix = place_q.ix + coord_t'({1'b0, job_q.stride_x});
      next_place.word = place_q.word + job_q.step_x;
    end
  end

  // Depthwise: window columns that the next pixel of the block can keep.
  assign first_column = (row_end || pass_end || job_q.stride_x >= 3'd3) ? 4'd0 : 4'd3 - 4'(job_q.stride_x);

  always_comb begin
    run_d = run_q;
    place_d = place_q;
    origin_d = origin_q;
    pixel_d = pixel_q;
    block_d = block_q;
    ky_d = ky_q;
    kx_d = kx_q;
    chunk_d = chunk_q;
    offset_d = offset_q;
    tap_d = tap_q;
    base_d = base_q;
    low_d = low_q;
    odd_d = odd_q;
    n_left_d = n_left_q;
    pixels_left_d = pixels_left_q;
    group_d = group_q;

    if (load) begin
      run_d = 1'b1;
      place_d.ox = '0;
      place_d.ix = -coord_t'({1'b0, job_i.pad_left});
      place_d.iy = -coord_t'({1'b0, job_i.pad_top});
      place_d.word = job_i.origin;
      place_d.row_word = job_i.origin;
      origin_d = place_d;
      pixel_d = '0;
      block_d = (job_i.pixels < 32'(job_i.block)) ? job_i.pixels[7:0] : job_i.block;
      ky_d = '0;
      kx_d = '0;
      chunk_d = '0;
      offset_d = '0;
      tap_d = '0;
      base_d = '0;
      low_d = 1'b0;
      odd_d = 1'b0;
      n_left_d = job_i.n;
      pixels_left_d = job_i.pixels;
    end else if (advance && run_q) begin
      if (pixel_end) begin
        place_d = pass_end ? origin_q : next_place;
        pixel_d = pass_end ? '0 : pixel_q + 8'd1;
      end

      if (group_end) begin
        group_d = group_q + 3'd1;
        n_left_d = n_left_q - n_step;
      end
      if (block_end) begin
        n_left_d = job_q.n;
        place_d = next_place;
        origin_d = next_place;
        pixels_left_d = pixels_left_q - 32'(job_q.block);
        block_d = (pixels_left_d < 32'(job_q.block)) ? pixels_left_d[7:0] : job_q.block;
      end
      if (job_end) run_d = 1'b0;

      if (job_q.depthwise) begin
        if (group_end) begin
          chunk_d = block_end ? '0 : chunk_q + 12'd1;
          base_d  = block_end ? '0 : base_q + WordW'(!halves || chunk_q[0]);
        end
        if (!ky_last) begin
          ky_d = ky_q + 4'd1;
          offset_d = offset_q + job_q.act_row;
        end else begin
          ky_d = '0;
          if (!kx_last) begin
            kx_d  = kx_q + 4'd1;
            tap_d = tap_q + job_q.act_pix;
          end else begin
            kx_d = first_column;
            unique case (first_column)
              4'd0: tap_d = base_d;
              4'd1: tap_d = base_d + job_q.act_pix;
              default: tap_d = base_d + (job_q.act_pix << 1);
            endcase
          end
          offset_d = tap_d;
        end
      end else if (pass_end) begin
        low_d = job_q.mode == CellByte && !low_q;
        if (step_end) begin
          odd_d = !odd_q && !group_end && !job_q.low4;
          if (!chunk_last) begin
            chunk_d  = chunk_q + 12'd1;
            offset_d = offset_q + 1'b1;
          end else begin
            chunk_d = '0;
            if (!kx_last) begin
              kx_d  = kx_q + 4'd1;
              tap_d = tap_q + job_q.act_pix;
            end else begin
              kx_d = '0;
              ky_d = ky_last ? '0 : ky_q + 4'd1;
              base_d = ky_last ? '0 : base_q + job_q.act_row;
              tap_d = base_d;
            end
            offset_d = tap_d;
          end
        end
      end
    end

    if (stop_i) begin
      run_d = 1'b0;
      group_d = '0;
    end
  end

  assign load = job_valid_i && !run_q && advance && !stop_i;
  assign job_taken_o = load;
  `FF(run_q, run_d, 1'b0)
  `FF(group_q, group_d, '0)
  `FFLNR(job_q, job_i, load)

  logic unused_job;  // read from the port when the job is taken
  assign unused_job = ^{job_q.pad_top, job_q.pixels, job_q.origin};

  logic step;
  assign step = load || (advance && run_q);
  `FFLNR(place_q, place_d, step)
  `FFLNR(origin_q, origin_d, step)
  `FFLNR(pixel_q, pixel_d, step)
  `FFLNR(block_q, block_d, step)
  `FFLNR(ky_q, ky_d, step)
  `FFLNR(kx_q, kx_d, step)
  `FFLNR(chunk_q, chunk_d, step)
  `FFLNR(offset_q, offset_d, step)
  `FFLNR(tap_q, tap_d, step)
  `FFLNR(base_q, base_d, step)
  `FFLNR(low_q, low_d, step)
  `FFLNR(odd_q, odd_d, step)
  `FFLNR(n_left_q, n_left_d, step)
  `FFLNR(pixels_left_q, pixels_left_d, step)

  // The beat of the current state.
  beat_t beat_d, beat_q;
  word_t word;
  coord_t ix, iy;
  logic present;
  logic valid_d, valid_q, range_q;
  logic [AddrW-1:0] addr_q;

  assign word = place_q.word + offset_q;
  assign ix = place_q.ix + coord_t'({1'b0, kx_q});
  assign iy = place_q.iy + coord_t'({1'b0, ky_q});
  assign present = ix >= 0 && ix < coord_t'({1'b0, job_q.in_w}) &&
      iy >= 0 && iy < coord_t'({1'b0, job_q.in_h});

  always_comb begin
    beat_d = '0;
    if (run_q) begin
      beat_d.feed.act_format = job_q.act_format;
      beat_d.feed.code_table = job_q.code_table;
      beat_d.feed.pad_value = job_q.pad_value;
      beat_d.feed.pad = !present;
      beat_d.feed.half = halves && chunk_q[0];
      beat_d.feed.lanes = (chunk_last && !job_q.depthwise) ? job_q.last_elems : 7'(Depth);
      beat_d.feed.depthwise = job_q.depthwise;
      beat_d.step.depthwise = job_q.depthwise;
      beat_d.feed.tap_row = ky_q[1:0];
      beat_d.last = pixel_end;
      beat_d.step.mode = job_q.mode;
      unique case (job_q.mode)
        CellNibble: begin
          beat_d.step.phase = odd_q;
          beat_d.swap  = pixel_end && pixel_q == '0 && !odd_q;
        end
        CellByte: begin
          beat_d.step.phase = !low_q;
          beat_d.swap  = pixel_q == '0 && !low_q;
        end
        default: beat_d.swap = pixel_q == '0;
      endcase
      beat_d.step.target.first = job_q.depthwise || (chunk_q == '0 && kx_q == '0 && ky_q == '0 && !low_q);
      beat_d.step.target.complete = steps_end;
      beat_d.step.more = job_q.depthwise && Depth > Cols && n_left_q > 13'(Cols);
      beat_d.step.target.row = pixel_q;
      beat_d.step.block = block_q;
      beat_d.step.target.group = group_q;
      beat_d.step.target.group_last = group_end;
      beat_d.step.target.job_last = job_end;
    end
  end

  assign advance = !valid_q || beat_ready_i;
  assign valid_d = !stop_i && (run_q || !advance);
  `FF(valid_q, valid_d, 1'b0)
  `FFLNR(beat_q, beat_d, advance && run_q)
  `FFLNR(addr_q, word[AddrW-1:0], advance && run_q)
  `FFLNR(range_q, present && word >= WordW'(SpadWords), advance && run_q)

  assign beat_valid_o = valid_q;
  assign beat_o = beat_q;
  assign beat_addr_o = addr_q;
  assign beat_range_o = range_q;

  `ASSERT_STABLE(BeatStable, valid_q, beat_ready_i || stop_i, {beat_q, addr_q, range_q})

  `CHECK_PARAMETER(ColsInRange, chip_pkg::legal_cols(Cols, Depth))
  `CHECK_PARAMETER(SpadInRange, chip_pkg::legal_spad(SpadWords, Depth))
endmodule

`default_nettype wire
