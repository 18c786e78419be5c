"""The chip with stub engines: fetch, decode, queues, traps, watchdog, counters, registers."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, RTL, checker, parameters, sources


def files() -> list[Path]:
    """The chip with stub engines."""
    stubs = sorted((ROOT / "tests" / "rtl" / "stubs").glob("*.sv"))
    return [*sources("common", "mem", "regs", "ctrl"), *stubs, RTL / "top" / "quartdepth.sv", *checker()]


@pytest.mark.parametrize("module", ["control", "start"])
def test_control(module: str) -> None:
    run("quartdepth", files(), f"tests.rtl.cocotb_{module}", parameters(chip_config("tiny")), power_on=False)
