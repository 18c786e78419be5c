"""engine_queues and tokens: property test with random programs."""

from __future__ import annotations

import pytest

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, RTL, packages


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_queues(seed: int) -> None:
    files = [
        *packages(),
        RTL / "common" / "fifo.sv",
        RTL / "mem" / "ram_1r1w.sv",
        RTL / "ctrl" / "tokens.sv",
        RTL / "ctrl" / "engine_queues.sv",
    ]
    files.append(ROOT / "tests" / "rtl" / "bench_queues.sv")
    run("bench_queues", files, "tests.rtl.cocotb_queues", {"InFlight": 2}, seed=seed, power_on=False)
