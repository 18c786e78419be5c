// SPDX-License-Identifier: Apache-2.0
// Names the instructions in the waves of traced builds.

bind quartdepth_board transactions u_transactions (
    .clk_i,
    .rst_ni,
    .issue_i   (trace_issue_o),
    .issue_pc_i(trace_issue_pc_o),
    .retire_i  (trace_retire_o)
);
