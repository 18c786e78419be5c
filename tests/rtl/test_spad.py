"""spad: arbitration and data against a model."""

from __future__ import annotations

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, RTL, packages


def test_spad() -> None:
    bench = ROOT / "tests" / "rtl" / "bench_spad.sv"
    files = [*packages(), RTL / "mem" / "ram_1r1w.sv", RTL / "mem" / "spad.sv", bench]
    run("bench_spad", files, "tests.rtl.cocotb_spad", {"SpadWords": 256})
