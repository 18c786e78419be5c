// SPDX-License-Identifier: Apache-2.0
// Assertions that every handshake carries; synthesis does not see them. Clock and reset are `clk_i`, `rst_ni`.

`ifndef TRIPTYCH_ASSERTIONS_SVH
`define TRIPTYCH_ASSERTIONS_SVH

// A parameter outside the range that its module states stops elaboration, in every tool.
`define CHECK_PARAMETER(name, condition) \
  if (!(condition)) begin : name \
    $fatal(1, `"a parameter is out of its range: name`"); \
  end

`ifdef SYNTHESIS
`define ASSERT_ALWAYS(name, condition)
`define ASSERT_CLOCKED(name, condition)
`define ASSERT_STABLE(name, valid, ready, data)
`define ASSERT_STEADY(name, request, grant, data)
`else

// `condition` holds at every clock edge outside reset.
`define ASSERT_ALWAYS(name, condition) \
  name : assert property (@(posedge clk_i) disable iff (!rst_ni) (condition));

// The same in modules without a reset; before the first edge flops hold anything.
`define ASSERT_CLOCKED(name, condition) \
  name : assert property (@(posedge clk_i) 1'b1 |=> (condition));

// An offer that was not taken stays, unchanged.
`define ASSERT_STABLE(name, valid, ready, data) \
  name : assert property (@(posedge clk_i) disable iff (!rst_ni) \
                          ((valid) && !(ready)) |=> ((valid) && $stable(data)));

// A request that was not granted may be withdrawn (an engine is stopped), but not changed.
`define ASSERT_STEADY(name, request, grant, data) \
  name : assert property (@(posedge clk_i) disable iff (!rst_ni) \
                          ((request) && !(grant)) |=> (!(request) || $stable(data)));

`endif

`endif
