// SPDX-License-Identifier: Apache-2.0
// mxu_stream, any job: the beats are those of the loops in the manual's order, counted wide; the word of each is that of
// its output pixel and its tap, added up in 40 bits; what a beat says of itself follows from the loops.

`default_nettype none

module prove_words
  import mxu_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: a word beyond the scratchpad
) (
    input logic        clk_i,
    input logic        stop_i,
    input logic        valid_i,
    input stream_job_t job_i,
    input logic        ready_i
);
  localparam int unsigned Depth = 16;
  localparam int unsigned Cols = 8;
  localparam int unsigned SpadWords = 64;
  typedef logic [WordW-1:0] wide_t;

  logic running = 1'b0;
  logic taken, beat_valid, range, load, advance;
  beat_t beat, wanted, wanted_q;
  logic [5:0] addr, addr_q;

  always_ff @(posedge clk_i) running <= 1'b1;

  mxu_stream #(
      .Depth    (Depth),
      .Cols     (Cols),
      .SpadWords(SpadWords)
  ) u_stream (
      .clk_i,
      .rst_ni      (running),
      .stop_i,
      .job_valid_i (valid_i && running),
      .job_i,
      .job_taken_o (taken),
      .beat_valid_o(beat_valid),
      .beat_o      (beat),
      .beat_addr_o (addr),
      .beat_range_o(range),
      .beat_ready_i(ready_i)
  );

  typedef logic [33:0] count_t;  // of pixels
  typedef logic [16:0] small_t;  // of all other loops

  // Where the loops stand. Places: word of an output pixel's first tap and of its row's; input row; output column.
  typedef struct packed {
    wide_t row;
    wide_t word;
    logic [20:0] iy;
    small_t ox;
  } place_t;

  stream_job_t job;
  logic active, low, odd, valid;
  count_t done, size;
  small_t n_done, pixel, ky, kx, chunk, n_step;
  wide_t down, right;  // words that window rows and columns add up to
  logic [2:0] group;
  place_t here, first, next;
  assign load    = valid_i && running && !active && !stop_i && (!valid || ready_i);
  assign advance = active && (!valid || ready_i);

  logic row_end, last_tap, last_pixel, last_step, last_tile, last_block, halves, pass_end;
  assign size       = (count_t'(job.pixels) - done < count_t'(job.block)) ?
      count_t'(job.pixels) - done : count_t'(job.block);
  assign n_step     = job.depthwise ? small_t'(Depth) : small_t'(Cols);
  assign halves     = job.depthwise && job.act_format != isa_pkg::ActFormatInt8;
  assign row_end    = here.ox + 1 == small_t'(job.out_w);
  assign last_tap   = kx + 1 == small_t'(job.kernel_w) && ky + 1 == small_t'(job.kernel_h);
  assign last_pixel = count_t'(pixel) + 1 == size;
  assign pass_end   = last_pixel && (!job.depthwise || last_tap);
  assign last_step  = job.depthwise ||
      (last_tap && chunk + 1 == small_t'(job.chunks) && (low || job.mode != CellByte));
  assign last_tile  = n_done + n_step >= small_t'(job.n);
  assign last_block = done + count_t'(job.block) >= count_t'(job.pixels);

  always_comb begin
    next = here;
    if (row_end) begin
      next.row  = here.row + job.step_y;
      next.word = next.row;
      next.iy   = here.iy + 21'(job.stride_y);
      next.ox   = '0;
    end else begin
      next.word = here.word + job.step_x;
      next.ox   = here.ox + 1;
    end
  end

  always_ff @(posedge clk_i) begin
    valid <= running && !stop_i && (active || (valid && !ready_i));
    if (load) begin
      active  <= 1'b1;
      job     <= job_i;
      {done, n_done, pixel, ky, kx, chunk, down, right} <= '0;
      {low, odd} <= '0;
      here    <= '{row: job_i.origin, word: job_i.origin, iy: -21'(job_i.pad_top), ox: '0};
      first   <= '{row: job_i.origin, word: job_i.origin, iy: -21'(job_i.pad_top), ox: '0};
    end else if (advance) begin
      if (!job.depthwise || last_tap) begin
        here  <= last_pixel ? first : next;
        pixel <= last_pixel ? '0 : pixel + 1;
      end
      if (job.depthwise) begin
        ky   <= ky + 1;
        down <= down + job.act_row;
        if (ky == 2) begin
          ky    <= '0;
          down  <= '0;
          kx    <= kx + 1;
          right <= right + job.act_pix;
          if (kx == 2) begin
            // The next pixel of the block keeps the columns that both windows have.
            kx    <= '0;
            right <= '0;
            if (!row_end && !last_pixel && job.stride_x == 3'd1) begin
              kx    <= 2;
              right <= job.act_pix + job.act_pix;
            end
            if (!row_end && !last_pixel && job.stride_x == 3'd2) begin
              kx    <= 1;
              right <= job.act_pix;
            end
          end
        end
      end else if (last_pixel) begin
        low <= job.mode == CellByte && !low;
        if (low || job.mode != CellByte) begin
          odd   <= !odd && !job.low4;
          chunk <= chunk + 1;
          if (chunk + 1 == small_t'(job.chunks)) begin
            chunk <= '0;
            kx    <= kx + 1;
            right <= right + job.act_pix;
            if (kx + 1 == small_t'(job.kernel_w)) begin
              kx    <= '0;
              right <= '0;
              ky    <= ky + 1;
              down  <= down + job.act_row;
              if (ky + 1 == small_t'(job.kernel_h)) begin
                ky   <= '0;
                down <= '0;
              end
            end
          end
        end
      end
      if (pass_end && last_step) begin
        odd    <= 1'b0;
        group  <= group + 3'd1;
        n_done <= n_done + n_step;
        if (job.depthwise) chunk <= chunk + 1;
        if (last_tile) begin
          n_done <= '0;
          chunk  <= '0;
          done   <= done + count_t'(job.block);
          here   <= next;
          first  <= next;
          if (last_block) active <= 1'b0;
        end
      end
    end
    if (stop_i || !running) begin
      active <= 1'b0;
      group  <= '0;
    end
  end

  // The word of the beat, and what it says of itself.
  wide_t word, words, offset;
  logic signed [20:0] ix, iy;
  logic covered, range_q;
  assign words   = wide_t'(halves ? chunk >> 1 : chunk);
  assign offset  = job.depthwise ? words + right + down : down + right + words;
  assign word    = here.word + offset;
  assign ix      = u_stream.place_q.ix + 21'(kx[3:0]);  // prove_columns speaks of it
  assign iy      = here.iy + 21'(ky[3:0]);
  assign covered = !ix[20] && 21'(ix) < 21'(job.in_w) && !iy[20] && 21'(iy) < 21'(job.in_h);

  always_comb begin
    wanted                  = '0;
    wanted.feed.act_format  = job.act_format;
    wanted.feed.code_table  = job.code_table;
    wanted.feed.pad_value   = job.pad_value;
    wanted.feed.pad         = !covered;
    wanted.feed.half        = halves && chunk[0];
    wanted.feed.lanes       = 7'(Depth);
    if (!job.depthwise && chunk + 1 == small_t'(job.chunks)) wanted.feed.lanes = job.last_elems;
    wanted.feed.depthwise   = job.depthwise;
    wanted.feed.tap_row     = ky[1:0];
    wanted.last             = !job.depthwise || last_tap;
    wanted.step.depthwise   = job.depthwise;
    wanted.step.mode        = job.mode;
    wanted.step.phase       = (job.mode == CellNibble) ? odd : (job.mode == CellByte) && !low;
    wanted.swap             = pixel == '0;
    if (job.mode == CellNibble) wanted.swap = wanted.last && pixel == '0 && !odd;
    if (job.mode == CellByte) wanted.swap = pixel == '0 && !low;
    wanted.step.more        = job.depthwise && n_done + Cols < small_t'(job.n);
    wanted.step.block       = size[7:0];
    wanted.step.target.first      = job.depthwise || (chunk == '0 && kx == '0 && ky == '0 && !low);
    wanted.step.target.complete   = last_step;
    wanted.step.target.row        = pixel[7:0];
    wanted.step.target.group      = group;
    wanted.step.target.group_last = pass_end && last_step;
    wanted.step.target.job_last   = pass_end && last_step && last_tile && last_block;
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      wanted_q <= wanted;
      addr_q   <= word[5:0];
      range_q  <= covered && word >= wide_t'(SpadWords);
    end
  end

  always_comb begin
    assume (job_i.out_w != '0 && job_i.kernel_w != '0 && job_i.kernel_h != '0 && job_i.stride_x != '0);
    assume (job_i.chunks != '0 && job_i.pixels != '0 && job_i.block != '0 && job_i.n != '0);
    assume (job_i.mode == CellPair || job_i.mode == CellNibble || job_i.mode == CellByte);
    if (job_i.depthwise) assume (job_i.kernel_w == 4'd3 && job_i.kernel_h == 4'd3 && job_i.mode != CellByte);
    if (running) begin
      assert (beat_valid == valid && taken == load && u_stream.run_q == active);
      assert (u_stream.group_q == group);
      if (valid) assert (beat == wanted_q && addr == addr_q && range == range_q);
      if (active) begin
        // What ties the machine to the watcher.
        assert (u_stream.job_q == job);
        assert (job.out_w != '0 && job.kernel_w != '0 && job.kernel_h != '0 && job.stride_x != '0);
        assert (job.chunks != '0 && job.block != '0);
        assert (job.mode == CellPair || job.mode == CellNibble || job.mode == CellByte);
        assert (!job.depthwise || (job.kernel_w == 4'd3 && job.kernel_h == 4'd3 && job.mode != CellByte));
        assert (here.ox < small_t'(job.out_w) && first.ox < small_t'(job.out_w));
        assert (kx < small_t'(job.kernel_w) && ky < small_t'(job.kernel_h));
        assert (job.depthwise || chunk < small_t'(job.chunks));
        assert (!job.depthwise || (!low && !odd && chunk < 17'd512));
        assert (job.mode == CellByte || !low);
        assert (done < count_t'(job.pixels) && n_done < small_t'(job.n) && count_t'(pixel) < size);
        assert (17'(u_stream.place_q.ox) == here.ox && 17'(u_stream.origin_q.ox) == first.ox);
        assert (u_stream.place_q.iy == here.iy && u_stream.origin_q.iy == first.iy);
        assert (u_stream.place_q.row_word == here.row && u_stream.origin_q.row_word == first.row);
        assert (u_stream.place_q.word == here.word && u_stream.origin_q.word == first.word);
        assert (17'(u_stream.kx_q) == kx && 17'(u_stream.ky_q) == ky);
        assert (12'(chunk) == u_stream.chunk_q && u_stream.low_q == low && u_stream.odd_q == odd);
        assert (17'(u_stream.pixel_q) == pixel && 34'(u_stream.block_q) == size);
        assert (17'(u_stream.n_left_q) == small_t'(job.n) - n_done);
        assert (34'(u_stream.pixels_left_q) == count_t'(job.pixels) - done);
        if (job.depthwise) begin
          assert (n_done == chunk << 4);
          assert (u_stream.base_q == words);
          assert (u_stream.tap_q == u_stream.base_q + right);
          assert (kx != 0 || right == '0);
          assert (kx != 1 || right == job.act_pix);
          assert (kx != 2 || right == job.act_pix << 1);
        end else begin
          assert (u_stream.base_q == down);
          assert (u_stream.tap_q == u_stream.base_q + right);
        end
        assert (u_stream.offset_q == offset && u_stream.word == word);
      end
      if (Reach == 1) assert (!(valid && range));
    end
  end
endmodule

`default_nettype wire
