"""The chip with stub engines: fetch, decode, queues, traps, watchdog, counters, registers."""

from __future__ import annotations

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, RTL, checker, parameters, sources


@pytest.mark.parametrize("module", ["control", "start"])
def test_control(module: str) -> None:
    stubs = sorted((ROOT / "tests" / "rtl" / "stubs").glob("*.sv"))
    files = [*sources("common", "mem", "regs", "ctrl"), *stubs, RTL / "top" / "quartdepth.sv", *checker()]
    run("quartdepth", files, f"tests.rtl.cocotb_{module}", parameters(chip_config("tiny")))
