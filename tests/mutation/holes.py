"""Holes that an audit of the tests found: each was once planted without a test that noticed. Now one must."""

from __future__ import annotations

from tests.mutation.planted import Bug

DMA = ("tests/rtl/test_dma.py::test_dma[d16]",)
CONTROL = ("tests/rtl/test_control.py::test_control[control]",)
QUEUES = ("tests/rtl/test_queues.py::test_queues[1]",)
LOOPS = "tests/rtl/test_mxu.py::test_loops_of_every_magnitude"
CYCLES = ("tests/rtl/test_cycles.py::test_layers_take_the_committed_cycles",)
COUNTERS = CYCLES

CLASSES = """      .load_class_i (class_i[EngineLoad][DmaClasses-1:0]),
      .mxu_class_i  (class_i[EngineMxu][MxuClasses-1:0]),
      .vpu_class_i  (class_i[EngineVpu][VpuClasses-1:0]),
      .store_class_i(class_i[EngineStore][DmaClasses-1:0]),"""
EXCHANGED = (
    CLASSES.replace("EngineLoad", "Engine?").replace("EngineStore", "EngineLoad").replace("Engine?", "EngineStore")
)
ARBITER = """  assign fetch_ar_ready_o = free;
  assign load_ar_ready_o  = free && !fetch_ar_i.valid;
  assign take             = free && (fetch_ar_i.valid || load_ar_i.valid);

  `FF(valid_q, take || (valid_q && !ar_ready_i), 1'b0)
  `FFLNR(ar_id_o, !fetch_ar_i.valid, take)
  `FFLNR(addr_q, fetch_ar_i.valid ? fetch_ar_i.addr : load_ar_i.addr, take)
  `FFLNR(len_q, fetch_ar_i.valid ? fetch_ar_i.len : load_ar_i.len, take)"""
LOAD_FIRST = """  assign fetch_ar_ready_o = free && !load_ar_i.valid;
  assign load_ar_ready_o  = free;
  assign take             = free && (fetch_ar_i.valid || load_ar_i.valid);

  `FF(valid_q, take || (valid_q && !ar_ready_i), 1'b0)
  `FFLNR(ar_id_o, load_ar_i.valid, take)
  `FFLNR(addr_q, load_ar_i.valid ? load_ar_i.addr : fetch_ar_i.addr, take)
  `FFLNR(len_q, load_ar_i.valid ? load_ar_i.len : fetch_ar_i.len, take)"""
STREAMER = """empty && idle && !waits, '0)
  `FFL(no_decision_o, no_decision_o + 1'b1, empty && idle && waits, '0)"""
NO_DECISION = """empty && idle, '0)
  `FFL(no_decision_o, no_decision_o + 1'b1, 1'b0, '0)"""

HOLES = (
    Bug("24 for 38 bits in dma_setup.extent", "large values", "rtl/mem/dma_setup.sv",
        "typedef logic [37:0] extent_t;", "typedef logic [23:0] extent_t;", DMA),
    Bug("17 for 21 bits in mxu_stream.ix", "large values", "rtl/mxu/mxu_stream.sv",
        "localparam int unsigned CoordW = 21;", "localparam int unsigned CoordW = 17;", (LOOPS,)),
    Bug("16 bits in mxu_setup.steps", "large values", "rtl/mxu/mxu_setup.sv",
        "assign steps = 20'(taps_q) * 20'(instr_q.chunks);",
        "assign steps = 20'(16'(20'(taps_q) * 20'(instr_q.chunks)));", (f"{LOOPS}[67,500 tiles]",)),
    Bug("16 bits in mxu_setup.pixels", "large values", "rtl/mxu/mxu_setup.sv",
        "32'(instr_q.out_h) * 32'(instr_q.out_w)", "32'(16'(32'(instr_q.out_h) * 32'(instr_q.out_w)))",
        (f"{LOOPS}[65,600 pixels]",)),
    Bug("6 bits in vpu_sequencer.group", "large values", "rtl/vpu/vpu_sequencer.sv",
        "group_d = last_group_o ? '0 : group_q + 14'd1;", "group_d = last_group_o ? '0 : 14'(6'(group_q + 14'd1));",
        ("tests/rtl/test_vpu_layers.py::test_loops_of_every_magnitude[560 channels]",)),
    Bug("PROG_BASE within 16 MB alone", "large values", "rtl/ctrl/fetch.sv",
        "assign ar_o.addr  = {base_q + 26'(next_q), 6'd0};",
        "assign ar_o.addr  = {8'd0, 18'(base_q + 26'(next_q)), 6'd0};",
        CONTROL),
    Bug("a burst's carry at 16 MB is lost", "large values", "rtl/mem/dma_bursts.sv",
        "addr_d   = addr_q + (32'(beats_o) << Shift);",
        "addr_d   = {addr_q[31:24], 24'(addr_q[23:0] + 24'(32'(beats_o) << Shift))};", DMA),
    Bug("wait_load compared in 12 bits", "large values", "rtl/ctrl/engine_queues.sv",
        "tokens_i[EngineLoad] >= wait_load", "12'(tokens_i[EngineLoad]) >= 12'(wait_load)", QUEUES),
    Bug("the oldest instruction found in 8 bits", "large values", "rtl/ctrl/control.sv",
        "oldest_pc_i[e] < oldest_pc", "8'(oldest_pc_i[e]) < 8'(oldest_pc)", CONTROL),
    Bug("a token count of 15 bits", "large values", "rtl/ctrl/tokens.sv",
        "next_o[e] = tokens_o[e] + 1'b1;", "next_o[e] = 16'(15'(tokens_o[e] + 1'b1));", QUEUES),
    Bug("classes of LOAD and STORE exchanged", "counters", "rtl/ctrl/csr.sv",
        CLASSES, EXCHANGED, COUNTERS),
    Bug("LOAD's wait for the scratchpad counts as the bus", "counters", "rtl/mem/dma_load.sv",
        "class_d[DmaClassSpad] = 1'b1;", "class_d[DmaClassBus] = 1'b1;", COUNTERS),
    Bug("STORE's wait for the scratchpad counts as the bus", "counters", "rtl/mem/dma_store.sv",
        "class_d[DmaClassSpad] = 1'b1;", "class_d[DmaClassBus] = 1'b1;", COUNTERS),
    Bug("the streamer's wait for a decision counts as that for a region", "counters", "rtl/fastcar/weight_streamer.sv",
        STREAMER, NO_DECISION, ("tests/rtl/fastcar/test_core.py",)),
    Bug("the trap interrupt is gated by the other enable", "interrupts", "rtl/ctrl/csr.sv",
        "status_i.trapped && csr_out.IRQ_ENABLE.trapped.value", "status_i.trapped && csr_out.IRQ_ENABLE.done.value",
        CONTROL),
    Bug("fixed_point truncates", "quantiser", "golden/quartdepth/network/qparams.py",
        "multiplier = round(math.ldexp(real, shift))", "multiplier = int(math.ldexp(real, shift))",
        ("tests/golden/test_quantize.py",)),
    Bug("the zero point is floored", "quantiser", "golden/quartdepth/network/qparams.py",
        "np.clip(round(first - low / scale), first, last)", "np.clip(math.floor(first - low / scale), first, last)",
        ("tests/golden/test_quantize.py",)),
    Bug("a reader of the last word is ignored", "scheduler", "golden/quartdepth/compiler/schedule.py",
        "last = table[:, spans[0, 0] : spans[0, 1]].max(1)",
        "last = table[:, spans[0, 0] : max(spans[0, 1] - 1, spans[0, 0] + 1)].max(1)",
        ("tests/golden/test_tokens.py",)),
    Bug("one LOAD burst under way", "cycles", "rtl/top/quartdepth.sv",
        "(LoadBursts * LoadBurst)", "(LoadBurst)", CYCLES),
    Bug("LOAD goes before fetch", "cycles", "rtl/ctrl/read_arbiter.sv",
        ARBITER, LOAD_FIRST, CYCLES),
    Bug("what is not decided counts as refuted", "the bench", "tests/formal/proof.py",
        'assert "model found" in log.replace("no model found", "")', 'assert log',
        ("tests/formal/test_arbitration.py::test_what_is_not_decided_is_not_refuted",)),
)  # fmt: skip
