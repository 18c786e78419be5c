// SPDX-License-Identifier: Apache-2.0
// drs_filter behind map and plan, any stalls, any commands: the commands of computing rows leave, each once, in order
// and to all lanes that work for the row; those of replayed rows never do. The payload is the command's number.

`default_nettype none

module prove_filter
  import fastcar_pkg::*;
#(
    parameter int unsigned Lanes = 4,
    parameter int unsigned Words = 4
) (
    input logic               clk_i,
    input logic [MaxRows-1:0] index_i,
    input logic               valid_i,
    input row_t               row_i,
    input logic               ready_i
);
  localparam int unsigned Width = 8;

  logic running = 1'b0;
  logic [MaxRows-1:0] index;
  logic [Width-1:0] sent, received, data;
  logic ready, drop, valid, rst_n;
  row_t row_out;
  logic [Lanes-1:0] lanes;
  count_t pass, count, full, left, steps;
  row_t row[MaxRows], place[MaxRows];
  share_t share[Lanes];

  assign rst_n = running;
  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running) index <= index_i;  // stands still within a batch
  end

  drs_map u_map (
      .index_i(index),
      .count_o(count),
      .row_o  (row),
      .place_o(place)
  );

  drs_plan #(
      .Lanes(Lanes),
      .Words(Words)
  ) u_plan (
      .count_i(count),
      .full_o (full),
      .left_o (left),
      .steps_o(steps),
      .share_o(share)
  );

  drs_filter #(
      .Lanes(Lanes),
      .Width(Width)
  ) u_filter (
      .clk_i,
      .rst_ni (rst_n),
      .index_i(index),
      .place_i(place),
      .full_i (full),
      .share_i(share),
      .valid_i(valid_i && running),
      .ready_o(ready),
      .row_i,
      .data_i (sent),
      .drop_o (drop),
      .valid_o(valid),
      .ready_i,
      .row_o  (row_out),
      .lanes_o(lanes),
      .pass_o (pass),
      .data_o (data)
  );

  always_ff @(posedge clk_i) begin
    if (!running) begin
      sent <= '0;
      received <= '0;
    end else begin
      if (valid_i && ready && index[row_i]) sent <= sent + 1'b1;
      if (valid && ready_i) received <= received + 1'b1;
    end
  end

  always_comb begin
    if (running) begin
      assert (sent == received + Width'(valid));
      assert (ready == (!valid || ready_i));  // nobody waits without a reason
      assert (drop == (valid_i && ready && !index[row_i]));
      if (valid) begin
        assert (data == received);
        assert (index[row_out]);
        assert (lanes != '0);
        assert (32'(pass) * Lanes <= 32'(place[row_out]) && 32'(place[row_out]) < (32'(pass) + 1) * Lanes);
        for (int unsigned k = 0; k < Lanes; k++) begin
          // Who gets the row works for it, and all who do get it: in a full pass its own lane, in the last its shares.
          if (pass != full) assert (lanes[k] == (32'(place[row_out]) == 32'(pass) * Lanes + k));
          if (pass == full) begin
            assert (lanes[k] == (32'(place[row_out]) == 32'(pass) * Lanes + 32'(share[k].slot)));
          end
        end
      end
    end
  end
endmodule

`default_nettype wire
