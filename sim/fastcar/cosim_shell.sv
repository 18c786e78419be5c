// SPDX-License-Identifier: Apache-2.0
// The HLS kernels, by DPI, behind ap_ctrl_hs and AXI-Streams: functional co-simulation, not RTL. A beat is taken or given
// up only in a cycle with valid and ready; after it the kernels run as far as their FIFOs let them.

`default_nettype none

module cosim_shell #(
    parameter int unsigned Inputs  = 3,
    parameter int unsigned Outputs = 3
) (
    input  logic          clk_i,
    input  logic          rst_ni,
    // ap_ctrl_hs
    input  logic          ap_start,
    output logic          ap_ready,
    output logic          ap_done,
    output logic          ap_idle,
    // a deadlock or an error of the kernels; stays until reset
    output logic          failed_o,
    // AXI-Streams, widest beat 128 bytes
    input  logic          s_tvalid[Inputs],
    output logic          s_tready[Inputs],
    input  logic [1023:0] s_tdata [Inputs],
    output logic          m_tvalid[Outputs],
    input  logic          m_tready[Outputs],
    output logic [1023:0] m_tdata [Outputs]
);
  import "DPI-C" function void cosim_start();
  import "DPI-C" function int cosim_tick();
  import "DPI-C" function int cosim_room(input int port);
  import "DPI-C" function void cosim_push(input int port, input bit [1023:0] data);
  import "DPI-C" function int cosim_front(input int port, output bit [1023:0] data);
  import "DPI-C" function void cosim_pop(input int port);

  bit [1023:0] front;
  int status;
  logic running;

  assign ap_idle  = !running;
  assign ap_ready = ap_done;

  // One block, so that beats move before the kernels run and the ports show what they left.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      running  <= 1'b0;
      ap_done  <= 1'b0;
      failed_o <= 1'b0;
      s_tready <= '{default: 1'b0};
      m_tvalid <= '{default: 1'b0};
      m_tdata  <= '{default: '0};
    end else begin
      for (int unsigned i = 0; i < Inputs; i++) begin
        if (s_tvalid[i] && s_tready[i]) cosim_push(i, s_tdata[i]);
      end
      for (int unsigned o = 0; o < Outputs; o++) begin
        if (m_tvalid[o] && m_tready[o]) cosim_pop(o);
      end
      ap_done <= 1'b0;
      if (running) begin
        status = cosim_tick();
        if (status != 0) begin
          running  <= 1'b0;
          ap_done  <= status == 1;
          failed_o <= status != 1;
        end
      end else if (ap_start && !ap_done && !failed_o) begin
        cosim_start();
        running <= 1'b1;
      end
      for (int unsigned i = 0; i < Inputs; i++) s_tready[i] <= running && cosim_room(i) != 0;
      for (int unsigned o = 0; o < Outputs; o++) begin
        m_tvalid[o] <= cosim_front(o, front) != 0;
        m_tdata[o]  <= front;
      end
    end
  end
endmodule

`default_nettype wire
