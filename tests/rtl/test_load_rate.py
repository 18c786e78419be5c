"""LOAD brings what the memory gives, whatever its latency: to the cycle."""

from __future__ import annotations

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.bench.load_rate import LATENCIES, SHAPES, measure, most

RUN, INSTRUCTIONS, ROWS = SHAPES
EXACT = {
    "small": {RUN: 15380, INSTRUCTIONS: 16744, ROWS: 14420},
    "paper": {RUN: 12817, INSTRUCTIONS: 13953, ROWS: 12016},
}
LEAST = 18.5 / 19.2


@pytest.mark.parametrize("chip", ["small", pytest.param("paper", marks=pytest.mark.slow)])
@pytest.mark.parametrize("latency", LATENCIES)
def test_load_is_as_fast_as_the_memory(chip: str, latency: int) -> None:
    """The same cycles at every latency. One burst less under way is 600 cycles more at 200, of LOADs of one run."""
    config = chip_config(chip)
    for copies, cycles in EXACT[chip].items():
        rate = measure(config, copies, latency)
        assert rate.cycles == cycles, copies.name
        program = 64 / copies.row_bytes / copies.rows  # instructions come from the same memory
        assert rate.bytes_per_cycle * (1 + program) >= LEAST * most(config), copies.name
