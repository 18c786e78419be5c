"""METER from a chip that wakes up with anything in its memories and flops without reset, behind contrary memories."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kit.power_on import reference
from triptych.golden.photo import Fit, fit_photo, shipped_photo
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.depth.run import Options, prepare
from triptych.sim.rtl.orders import ReadOrder, WriteOrder
from triptych.sim.rtl.run import MemoryTiming, run_program

ORDERS = (
    (WriteOrder.ADDRESS_FIRST, ReadOrder.IN_ORDER, 0.0),
    (WriteOrder.OFFERED, ReadOrder.INTERLEAVED, 0.1),
    (WriteOrder.DATA_FIRST, ReadOrder.BY_BURST, 0.1),
)


def check(chip: str, bits: Widths, size: tuple[int, int], seeds: int) -> None:
    """Every seed, each behind another memory, leaves what the golden machine leaves and what PyTorch's integers say."""
    config = CONFIGS[chip]
    compiled = prepare(Options(config, bits, size=size), lambda *_: None).compiled
    codes = image_codes(compiled.network, fit_photo(shipped_photo("coffee.png"), size, Fit.CROP).rgb)
    image, count = np.frombuffer(compiled.memory(codes), np.uint8), len(compiled.instructions)
    golden, expected = reference(config, image, compiled.prog_base, count), compiled.network.run_integer(codes)
    assert golden.trap is Trap.NONE
    for seed, (writes, reads, stall) in enumerate(ORDERS[:seeds]):
        timing = MemoryTiming(writes=writes, reads=reads, stall=stall, seed=seed)
        rtl = run_program(config, image, compiled.prog_base, count, timing=timing, power_on=seed)
        assert golden.differences(rtl) == [], f"seed {seed}"
        assert np.array_equal(compiled.read_output(rtl.memory), expected), f"seed {seed}"


@pytest.mark.slow
def test_meter_from_two_states() -> None:
    check("small", Widths.W4A8, (64, 64), seeds=2)


@pytest.mark.slow
@pytest.mark.parametrize("bits", list(Widths), ids=lambda b: b.value)
def test_meter_of_full_size_from_any_state(bits: Widths) -> None:
    check("small", bits, (192, 256), seeds=3)


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["tiny", "paper"])
def test_meter_on_other_chips_from_any_state(chip: str) -> None:
    check(chip, Widths.W4A4, (64, 128), seeds=2)
