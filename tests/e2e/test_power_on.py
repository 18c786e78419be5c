"""METER from a chip that wakes up with anything in its memories and flops without reset, behind contrary memories."""

from __future__ import annotations

import numpy as np
import pytest

from triptych.golden.photo import Fit, fit_photo
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.cli.depth import Options, compare, prepare, shipped_photo
from triptych.sim.rtl.run import MemoryTiming, ReadOrder, WriteOrder, run_program

SIZE = (64, 128)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [Widths.W4A8, Widths.W4A4], ids=lambda b: b.value)
def test_meter_from_any_state(bits: Widths) -> None:
    config = CONFIGS["small"]
    compiled = prepare(Options(config, bits, size=SIZE), lambda *_: None).compiled
    rgb = fit_photo(shipped_photo("coffee.png"), SIZE, Fit.CROP).rgb
    image = np.frombuffer(compiled.memory(image_codes(compiled.network, rgb)), np.uint8)
    count = len(compiled.instructions)
    memory = Memory(compiled.memory_size)
    memory.place(0, image)
    golden = Machine(config).run(StoredProgram(memory, compiled.prog_base, count), memory)
    orders = [(WriteOrder.OFFERED, ReadOrder.INTERLEAVED), (WriteOrder.DATA_FIRST, ReadOrder.BY_BURST)]
    for seed, (writes, reads) in enumerate(orders):
        timing = MemoryTiming(writes=writes, reads=reads, stall=0.1, seed=seed)
        rtl = run_program(config, image, compiled.prog_base, count, timing=timing, power_on=seed)
        assert rtl.trap is Trap.NONE
        assert compare(rtl, golden, memory.data) == (0, ""), f"seed {seed}"
