// Assertions that every handshake carries; synthesis does not see them. Clock and reset are `clk_i`, `rst_ni`.

`ifndef TRIPTYCH_ASSERTIONS_SVH
`define TRIPTYCH_ASSERTIONS_SVH

`ifdef SYNTHESIS
`define ASSERT_ALWAYS(name, condition)
`define ASSERT_STABLE(name, valid, ready, data)
`else

// `condition` holds at every clock edge outside reset.
`define ASSERT_ALWAYS(name, condition) \
  name : assert property (@(posedge clk_i) disable iff (!rst_ni) (condition));

// An offer that was not taken stays, unchanged.
`define ASSERT_STABLE(name, valid, ready, data) \
  name : assert property (@(posedge clk_i) disable iff (!rst_ni) \
                          ((valid) && !(ready)) |=> ((valid) && $stable(data)));

`endif

`endif
