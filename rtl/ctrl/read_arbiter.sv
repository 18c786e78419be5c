// SPDX-License-Identifier: Apache-2.0
// Shares the AXI4 read channels: fetch has identifier 0 and goes first, LOAD has identifier 1. One address register, so
// that an offer to the bus is never changed or withdrawn. No path leads from the bus through here to the bus: fetch has
// room for whatever it asked for, and LOAD's ready is that of its spill register, a function of registers alone. A beat
// of fetch thus waits while LOAD's register is full, which LOAD empties whatever fetch does.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module read_arbiter (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  port_pkg::ar_t      fetch_ar_i,
    output logic               fetch_ar_ready_o,
    output port_pkg::r_t       fetch_r_o,         // taken in this cycle
    input  port_pkg::ar_t      load_ar_i,
    output logic               load_ar_ready_o,
    output port_pkg::r_t       load_r_o,
    input  logic               load_r_ready_i,    // from registers alone
    // AXI4
    output port_pkg::ar_t      ar_o,
    input  logic               ar_ready_i,
    output logic               ar_id_o,
    input  logic               r_valid_i,
    output logic               r_ready_o,
    input  logic               r_id_i,
    input  logic [        1:0] r_resp_i
);
  logic free, take, valid_q, error;
  logic [31:0] addr_q;
  logic [7:0] len_q;

  assign free             = !valid_q || ar_ready_i;
  assign fetch_ar_ready_o = free;
  assign load_ar_ready_o  = free && !fetch_ar_i.valid;
  assign take             = free && (fetch_ar_i.valid || load_ar_i.valid);

  `FF(valid_q, take || (valid_q && !ar_ready_i), 1'b0)
  `FFLNR(ar_id_o, !fetch_ar_i.valid, take)
  `FFLNR(addr_q, fetch_ar_i.valid ? fetch_ar_i.addr : load_ar_i.addr, take)
  `FFLNR(len_q, fetch_ar_i.valid ? fetch_ar_i.len : load_ar_i.len, take)
  assign ar_o = '{valid: valid_q, addr: addr_q, len: len_q};

  assign error     = r_resp_i[1];
  assign r_ready_o = load_r_ready_i;
  assign fetch_r_o = '{valid: r_valid_i && r_ready_o && !r_id_i, error: error};
  assign load_r_o  = '{valid: r_valid_i && r_id_i, error: error};

  logic unused_ok;
  assign unused_ok = r_resp_i[0];  // EXOKAY is no error

  `ASSERT_STABLE(AddressStable, ar_o.valid, ar_ready_i, {ar_id_o, ar_o})
endmodule

`default_nettype wire
