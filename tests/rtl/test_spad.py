"""spad: arbitration and data against a model."""

from __future__ import annotations

from triptych.sim.build.cocotb_run import run
from triptych.sim.rtl.sources import RTL, packages


def test_spad() -> None:
    files = [*packages(), RTL / "mem" / "ram_1r1w.sv", RTL / "mem" / "spad.sv"]
    run("spad", files, "tests.rtl.cocotb_spad", {"SpadWords": 256})
