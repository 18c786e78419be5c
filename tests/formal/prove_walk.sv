// SPDX-License-Identifier: Apache-2.0
// dma_walk, any box and any stalls: word for word what two loops in 64 bits give, each once; the first and the last word
// are named, and the next box is taken with the last word or when there is none.

`default_nettype none

module prove_walk
  import dma_pkg::*;
#(
    parameter int unsigned Reach = 0  // 1: a second row, 2: a box taken with the last word of another
) (
    input logic clk_i,
    input logic stop_i,
    input logic valid_i,
    input box_t box_i,
    input logic step_i
);
  logic running = 1'b0;
  logic ready, valid, first, last, take, step;
  logic [1:0] space;
  word_t word;

  always_ff @(posedge clk_i) running <= 1'b1;

  dma_walk u_walk (
      .clk_i,
      .rst_ni (running),
      .stop_i,
      .valid_i(valid_i && running),
      .ready_o(ready),
      .box_i,
      .valid_o(valid),
      .step_i (step),
      .space_o(space),
      .word_o (word),
      .first_o(first),
      .last_o (last)
  );

  // The watcher: row and word of the row, from zero, and the addresses that follow.
  box_t box;
  logic open;
  logic [63:0] row, place, row_at;
  logic ends;
  assign ends = row == 64'(box.rows) - 1 && place == 64'(box.words) - 1;
  assign step = step_i && valid && running;
  assign take = valid_i && running && !stop_i && (!open || (step && ends));

  always_ff @(posedge clk_i) begin
    if (step) begin
      if (place == 64'(box.words) - 1) begin
        place  <= '0;
        row    <= row + 1;
        row_at <= row_at + 64'(box.spad_row);
        if (ends) open <= 1'b0;
      end else begin
        place <= place + 1;
      end
    end
    if (take) begin
      box    <= box_i;
      open   <= 1'b1;
      row    <= '0;
      place  <= '0;
      row_at <= 64'(box_i.spad);
    end
    if (stop_i || !running) open <= 1'b0;
  end

  always_comb begin
    assume (box_i.rows != '0 && box_i.words != '0);
    if (running) begin
      assert (valid == open);
      assert (ready == (!open || (step && last)));
      if (open) begin
        assert (word == word_t'(row_at + place));
        assert (space == box.space);
        assert (first == (row == 0 && place == 0));
        assert (last == ends);
        // What ties the machine to the watcher.
        assert (row < 64'(box.rows) && place < 64'(box.words));
        assert (64'(u_walk.rows_q) == 64'(box.rows) - row && 64'(u_walk.left_q) == 64'(box.words) - place);
        assert (u_walk.row_q == word_t'(row_at) && u_walk.words_q == box.words);
        assert (u_walk.spad_row_q == box.spad_row);
      end
      if (Reach == 1) assert (!(open && row == 1));
      if (Reach == 2) assert (!(open && take));
    end
  end
endmodule

`default_nettype wire
