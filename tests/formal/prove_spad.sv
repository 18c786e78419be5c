// SPDX-License-Identifier: Apache-2.0
// spad: no word is read and written in one cycle, each bank serves one port, and nobody is refused without a reason: a
// write of its word, or a granted read of its bank that is first when it is not, or is equally first and lower.

`default_nettype none

module prove_spad #(
    localparam int unsigned ReadPorts  = 6,
    localparam int unsigned WritePorts = 2
) (
    input logic                clk_i,
    input logic                rst_ni,
    input logic                first_i[ReadPorts],
    input port_pkg::spad_req_t read_i [ReadPorts],
    input port_pkg::spad_req_t write_i[WritePorts]
);
  logic rgnt[ReadPorts], wgnt[WritePorts];
  logic [127:0] rdata[ReadPorts];
  logic [15:0] wbe[WritePorts];
  logic [127:0] wdata[WritePorts];
  sram_pkg::status_t status;

  assign wbe   = '{default: '1};
  assign wdata = '{default: '0};

  spad #(
      .SpadWords(64)
  ) u_spad (
      .clk_i,
      .rst_ni,
      .sram_pins_i('0),
      .sram_status_o(status),
      .first_i,
      .read_i,
      .rgnt_o(rgnt),
      .rdata_o(rdata),
      .write_i,
      .wbe_i(wbe),
      .wdata_i(wdata),
      .wgnt_o(wgnt)
  );

  function automatic logic [1:0] bank(input port_pkg::spad_req_t request);
    return arith_pkg::spad_bank(request.addr[5:0]);
  endfunction

  always_comb begin
    automatic logic reason;
    for (int unsigned p = 0; p < ReadPorts; p++) assume (read_i[p].addr < 20'd64);
    for (int unsigned w = 0; w < WritePorts; w++) assume (write_i[w].addr < 20'd64);
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      reason = !read_i[p].valid;
      for (int unsigned w = 0; w < WritePorts; w++) begin
        assert (!(rgnt[p] && wgnt[w] && read_i[p].addr == write_i[w].addr));
        if (write_i[w].valid && read_i[p].addr == write_i[w].addr) reason = 1'b1;
      end
      for (int unsigned q = 0; q < ReadPorts; q++) begin
        if (rgnt[q] && q != p && bank(read_i[p]) == bank(read_i[q])) begin
          assert (!rgnt[p]);
          if (first_i[q] && !first_i[p]) reason = 1'b1;
          if (first_i[q] == first_i[p] && q < p) reason = 1'b1;
        end
      end
      assert (rgnt[p] != reason);
    end
    assert (wgnt[0] == write_i[0].valid);
    assert (wgnt[1] == (write_i[1].valid && !(wgnt[0] && bank(write_i[0]) == bank(write_i[1]))));
  end
endmodule

`default_nettype wire
