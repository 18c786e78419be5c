// SPDX-License-Identifier: Apache-2.0
// Reset synchroniser: asserts with `rst_ni`, deasserts two clock edges after it. In test the reset comes straight from the
// pin. In its own file so that synthesis can put hardened flops in its place.

`default_nettype none

module reset_sync (
    input  logic clk_i,
    input  logic rst_ni,     // asynchronous
    input  logic test_en_i,
    output logic rst_no
);
  logic [1:0] stages_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) stages_q <= '0;
    else stages_q <= {stages_q[0], 1'b1};
  end

  assign rst_no = test_en_i ? rst_ni : stages_q[1];
endmodule

`default_nettype wire
