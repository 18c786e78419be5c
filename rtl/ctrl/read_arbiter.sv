// Shares the AXI4 read channels: fetch has identifier 0 and goes first, LOAD has identifier 1. One address register, so
// that an offer to the bus is never changed or withdrawn. No path leads from the bus through here to the bus: fetch has
// room for whatever it asked for, and LOAD's ready is that of its spill register, a function of registers alone. A beat
// of fetch thus waits while LOAD's register is full, which LOAD empties whatever fetch does.

`include "assertions.svh"
`include "registers.svh"

module read_arbiter #(
    parameter int unsigned Depth = 16  // bytes of a beat
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               fetch_ar_valid_i,
    output logic               fetch_ar_ready_o,
    input  logic [       31:0] fetch_ar_addr_i,
    input  logic [        7:0] fetch_ar_len_i,
    output logic               fetch_r_valid_o,   // taken in this cycle
    input  logic               load_ar_valid_i,
    output logic               load_ar_ready_o,
    input  logic [       31:0] load_ar_addr_i,
    input  logic [        7:0] load_ar_len_i,
    output logic               load_r_valid_o,
    input  logic               load_r_ready_i,    // from registers alone
    output logic [8*Depth-1:0] r_data_o,
    output logic               r_error_o,
    // AXI4
    output logic               ar_valid_o,
    input  logic               ar_ready_i,
    output logic               ar_id_o,
    output logic [       31:0] ar_addr_o,
    output logic [        7:0] ar_len_o,
    input  logic               r_valid_i,
    output logic               r_ready_o,
    input  logic               r_id_i,
    input  logic [8*Depth-1:0] r_data_i,
    input  logic [        1:0] r_resp_i
);
  logic free, take;

  assign free             = !ar_valid_o || ar_ready_i;
  assign fetch_ar_ready_o = free;
  assign load_ar_ready_o  = free && !fetch_ar_valid_i;
  assign take             = free && (fetch_ar_valid_i || load_ar_valid_i);

  `FF(ar_valid_o, take || (ar_valid_o && !ar_ready_i), 1'b0)
  `FFLNR(ar_id_o, !fetch_ar_valid_i, take)
  `FFLNR(ar_addr_o, fetch_ar_valid_i ? fetch_ar_addr_i : load_ar_addr_i, take)
  `FFLNR(ar_len_o, fetch_ar_valid_i ? fetch_ar_len_i : load_ar_len_i, take)

  assign r_ready_o       = load_r_ready_i;
  assign fetch_r_valid_o = r_valid_i && r_ready_o && !r_id_i;
  assign load_r_valid_o  = r_valid_i && r_id_i;
  assign r_data_o        = r_data_i;
  assign r_error_o       = r_resp_i[1];

  logic unused_ok;
  assign unused_ok = r_resp_i[0];  // EXOKAY is no error

  `ASSERT_STABLE(AddressStable, ar_valid_o, ar_ready_i, {ar_id_o, ar_addr_o, ar_len_o})
endmodule
