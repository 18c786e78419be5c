// SPDX-License-Identifier: Apache-2.0
// Writes words to memory: a command names the first address and how many, the words follow. AXI4 bursts of at most
// MaxBurst beats that never cross 4 KiB. A burst's words are offered from the cycle behind its address's first, be that
// taken or not: AXI4 lets a memory wait for either. `idle_o`: nothing is under way, all is answered. A response other
// than OKAY is kept as the fault; what was promised to the bus is still written, and nothing more is begun.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module step_writer
  import fastcar_pkg::*;
  import step_pkg::*;
#(
    parameter int unsigned MaxBurst = 64  // beats, 1 to 64
) (
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic              valid_i,         // a command
    output logic              ready_o,
    input  addr_t             addr_i,
    input  logic [      15:0] words_i,
    input  logic              word_valid_i,
    output logic              word_ready_o,
    input  word_t             word_i,
    input  logic [ Bytes-1:0] strobe_i,
    output logic              awvalid_o,
    input  logic              awready_i,
    output logic [      39:0] awaddr_o,
    output logic [       7:0] awlen_o,
    output logic              wvalid_o,
    input  logic              wready_i,
    output word_t             wdata_o,
    output logic [ Bytes-1:0] wstrb_o,
    output logic              wlast_o,
    input  logic              bvalid_i,
    output logic              bready_o,
    input  logic [       1:0] bresp_i,
    output logic              idle_o,
    output fault_e            fault_o
);
  logic active_d, active_q, data_d, data_q, sound, accept, begins, beat, last, aw, sent, all;
  logic sent_q, all_q;  // the burst's address is taken, all of its words are
  addr_t addr_d, addr_q;
  logic [15:0] left_d, left_q;
  logic [6:0] burst, page_left, beats_d, beats_q;
  logic [9:0] open_d, open_q;
  fault_e fault_d;

  assign sound   = fault_o == FaultNone;
  assign ready_o = !active_q && sound;
  assign accept  = valid_i && ready_o;

  always_comb begin
    page_left = 7'd64 - 7'(addr_q[11:6]);
    burst = (page_left < 7'(MaxBurst)) ? page_left : 7'(MaxBurst);
    if (left_q < 16'(burst)) burst = left_q[6:0];
  end
  assign awvalid_o    = active_q && !sent_q && open_q != '1;
  assign awaddr_o     = addr_q;
  assign awlen_o      = 8'(burst - 7'd1);
  assign aw           = awvalid_o && awready_i;
  assign wvalid_o     = data_q && word_valid_i;
  assign word_ready_o = data_q && wready_i;
  assign wdata_o      = word_i;
  assign wstrb_o      = strobe_i;
  assign wlast_o      = beats_q == 7'd1;
  assign beat         = wvalid_o && wready_i;
  assign begins       = awvalid_o && !data_q && !all_q;
  assign last         = beat && wlast_o;
  assign sent         = sent_q || aw;
  assign all          = all_q || last;
  assign bready_o     = 1'b1;

  always_comb begin
    open_d  = open_q + 10'(aw) - 10'(bvalid_i);
    fault_d = fault_o;
    if (bvalid_i && bresp_i[1] && sound) fault_d = bresp_i[0] ? FaultDecode : FaultSlave;
    active_d = active_q;
    data_d   = (data_q || begins) && !last;
    addr_d   = addr_q;
    left_d   = left_q;
    beats_d  = beats_q - 7'(beat);
    if (accept) begin
      active_d = 1'b1;
      addr_d   = addr_i;
      left_d   = words_i;
    end
    if (begins) beats_d = burst;
    if (aw) begin
      addr_d = addr_q + {27'd0, burst, 6'd0};
      left_d = left_q - 16'(burst);
    end
    if (sent && all) active_d = left_d != '0 && fault_d == FaultNone;
  end

  `FF(active_q, active_d, 1'b0)
  `FF(data_q, data_d, 1'b0)
  `FF(sent_q, sent && !all, 1'b0)
  `FF(all_q, all && !sent, 1'b0)
  `FFLNR(addr_q, addr_d, accept || aw)
  `FFLNR(left_q, left_d, accept || aw)
  `FFLNR(beats_q, beats_d, begins || beat)
  `FF(open_q, open_d, '0)
  `FF(fault_o, fault_d, FaultNone)
  assign idle_o = !active_q && open_q == '0;

  `ASSERT_STABLE(AddressStable, awvalid_o, awready_i, {awaddr_o, awlen_o})
  `ASSERT_ALWAYS(WithinPage, !awvalid_o || 32'(awaddr_o[11:0]) + 32'(burst) * Bytes <= 32'd4096)
  `ASSERT_ALWAYS(SomeWords, !valid_i || words_i != '0)
  `CHECK_PARAMETER(BurstInRange, MaxBurst >= 1 && MaxBurst <= 64)
endmodule

`default_nettype wire
