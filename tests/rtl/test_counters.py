"""counters: what the register block reads."""

from __future__ import annotations

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL, packages


def test_counters() -> None:
    run("counters", [*packages(), RTL / "ctrl" / "counters.sv"], "tests.rtl.cocotb_counters")
