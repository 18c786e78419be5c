// SPDX-License-Identifier: Apache-2.0
// Cycle counters: all cycles of a run, and for every engine the cycles of each of its classes, each added a cycle later,
// for classes are known late in a cycle and come from registers in the engines. Read through the external port of the register block: two 32-bit halves a
// counter, in the order of the map. A read of a low half keeps the high one of that moment, which every read of a high
// half returns until the next low one.

`default_nettype none
`include "assertions.svh"
`include "registers.svh"

module counters (
    input  logic                              clk_i,
    input  logic                              rst_ni,
    input  logic                              begin_i,      // a program starts: count from zero
    input  logic                              running_i,    // count this cycle
    input  logic [chip_pkg::DmaClasses-1:0]   load_class_i,  // of the cycle before
    input  logic [chip_pkg::MxuClasses-1:0]   mxu_class_i,
    input  logic [chip_pkg::VpuClasses-1:0]   vpu_class_i,
    input  logic [chip_pkg::DmaClasses-1:0]   store_class_i,
    input  logic                              req_i,        // register access, answered in the next cycle
    input  logic                              req_is_wr_i,
    input  logic [                       7:0] addr_i,
    output logic                              rd_ack_o,
    output logic [                      31:0] rd_data_o,
    output logic                              wr_ack_o
);
  import chip_pkg::*;

  // Eight slots an engine, as in the map; slot 0 of LOAD holds all cycles, its classes follow.
  logic [31:0] count;
  logic running_q;
  logic [CounterW-1:0] counts_q[32];
  logic [CounterW-1:0] selected;
  logic [CounterW-33:0] high_q;

  always_comb begin
    count                   = '0;
    count[0]                = 1'b1;
    count[1+:DmaClasses]    = load_class_i;
    count[8+:MxuClasses]    = mxu_class_i;
    count[16+:VpuClasses]   = vpu_class_i;
    count[24+:DmaClasses]   = store_class_i;
  end

  `FF(running_q, running_i, 1'b0)

  for (genvar c = 0; c < 32; c++) begin : gen_counter
    if (c inside {7, 15, 23, 30, 31}) begin : gen_hole
      assign counts_q[c] = '0;
    end else begin : gen_count
      `FFL(counts_q[c], begin_i ? '0 : counts_q[c] + 1'b1, begin_i || (running_q && count[c]), '0)
    end
  end

  assign selected = counts_q[addr_i[7:3]];

  `FF(rd_ack_o, req_i && !req_is_wr_i, 1'b0)
  `FF(wr_ack_o, req_i && req_is_wr_i, 1'b0)
  `FFL(high_q, selected[CounterW-1:32], req_i && !req_is_wr_i && !addr_i[2], '0)
  `FFLNR(rd_data_o, addr_i[2] ? 32'(high_q) : selected[31:0], req_i)

  logic unused_ok;
  assign unused_ok = ^{addr_i[1:0], count[7], count[15], count[23], count[31:30]};

  `ASSERT_ALWAYS(OneClassEach,
                 !running_q || ($onehot(load_class_i) && $onehot(mxu_class_i) &&
                                $onehot(vpu_class_i) && $onehot(store_class_i)))
endmodule

`default_nettype wire
