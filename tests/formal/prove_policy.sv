// SPDX-License-Identifier: Apache-2.0
// drs_policy: the decision of any row is what the policy says of the scores of its group, the comparison strict.
// Scores and threshold are free, the batch has `rows` rows; one chosen row and its partner are watched.

`default_nettype none

module prove_policy
  import fastcar_pkg::*;
(
    input logic               clk_i,
    input policy_e            policy_i,
    input logic signed [31:0] threshold_i,
    input count_t             rows_i,
    input row_t               row_i,        // any row
    input logic               valid_i,
    input logic signed [31:0] tas_i,
    input logic               may_i,
    input logic               ready_i
);
  localparam logic signed [39:0] Unit = 40'sd1 <<< 32;  // what a score may differ from the threshold

  logic running = 1'b0;
  policy_e policy;
  logic signed [31:0] threshold;
  count_t rows, at;
  row_t watched;
  logic ready, done, all_over, all_may, over, may, partner_may, partnered;
  logic signed [39:0] mean_sum, pair_sum, reach;
  logic [MaxRows-1:0] index;

  always_ff @(posedge clk_i) begin
    running <= 1'b1;
    if (!running) begin
      policy <= policy_i;
      threshold <= threshold_i;
      rows <= (rows_i == '0 || rows_i > count_t'(MaxRows)) ? count_t'(MaxRows) : rows_i;
      watched <= row_i;
    end
  end

  drs_policy u_policy (
      .clk_i,
      .rst_ni      (running),
      .policy_i    (policy),
      .threshold_i (threshold),
      .rows_i      (rows),
      .valid_i     (valid_i && running),
      .ready_o     (ready),
      .tas_i,
      .may_replay_i(may_i),
      .valid_o     (done),
      .ready_i,
      .index_o     (index)
  );

  logic take, mine, partner;
  logic signed [39:0] excess;
  assign take    = valid_i && running && ready;
  assign mine    = take && at == count_t'(watched);
  assign partner = take && at == count_t'(watched ^ 5'd1);
  assign excess  = 40'(tas_i) - 40'(threshold);

  always_ff @(posedge clk_i) begin
    if (!running) begin
      at <= '0;
    end else if (take) begin
      at <= (at == rows - 1'b1) ? '0 : at + 1'b1;
      mean_sum <= (at == '0 ? '0 : mean_sum) + excess;
      all_over <= (at == '0 || all_over) && tas_i > threshold;
      all_may  <= (at == '0 || all_may) && may_i;
      if (mine) over <= tas_i > threshold;
      if (mine) may <= may_i;
      if (partner) partner_may <= may_i;
      if (mine || partner) pair_sum <= (at[0] ? pair_sum : '0) + excess;
    end
  end

  assign reach = $signed({34'd0, at}) <<< 32;
  assign partnered = count_t'(watched ^ 5'd1) < rows;

  always_comb begin
    if (running) begin
      // What ties the machine to the watcher, so that one step of induction suffices.
      assert (u_policy.row_q == at);
      assert (at < rows);
      assert (rows != '0 && rows <= count_t'(MaxRows));
      if (at != '0 && !done) begin  // rows still open count as replayed
        if (policy == PolicyAll || policy == PolicyMean) assert (index == '0);
        if (policy == PolicyPerSample && count_t'(watched) >= at) assert (!index[watched]);
        if (policy == PolicyPair && watched[4:1] >= at[4:1])
          assert (!index[watched] && !index[watched^5'd1]);
      end
      if (done) assert (at == '0);
      // The last row's bit comes with the end, and goes with the next first row.
      if (at != '0) assert (!index[MaxRows-1]);
      if (at != '0 || done) begin
        if (policy == PolicyAll || policy == PolicyMean) begin
          assert (u_policy.all_q == all_over && u_policy.may_q == all_may);
          assert (40'(u_policy.sum_q) == mean_sum);
          if (at != '0) assert (mean_sum <= reach && mean_sum >= -reach);
        end
        if (policy == PolicyPair && at == count_t'({watched[4:1], 1'b1})) begin
          assert (40'(u_policy.sum_q) == pair_sum && u_policy.may_q == (watched[0] ? partner_may : may));
          assert (pair_sum <= Unit && pair_sum >= -Unit);
        end
      end
      if (count_t'(watched) < at || (done && count_t'(watched) < rows)) begin
        if (policy == PolicyPerSample) assert (index[watched] == !(over && may));
        if (policy == PolicyPair && (!partnered || count_t'(watched | 5'd1) < at || done))
          assert (index[watched] == !(may && (partner_may || !partnered) && pair_sum > 0));
      end
      if (policy == PolicyPair && partnered &&
          (count_t'(watched | 5'd1) < at || (done && count_t'(watched) < rows)))
        assert (index[watched] == index[watched^5'd1]);
      if (done && count_t'(watched) < rows) begin
        if (policy == PolicyAll) assert (index[watched] == !(all_over && all_may));
        if (policy == PolicyMean) assert (index[watched] == !(mean_sum > 0 && all_may));
      end
      if (done && count_t'(watched) >= rows) assert (!index[watched]);
    end
  end
endmodule

`default_nettype wire
