"""arith_pkg: the arithmetic that modules share."""

from __future__ import annotations

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, packages


def test_arith() -> None:
    run("bench_arith", [*packages(), ROOT / "tests" / "rtl" / "bench_arith.sv"], "tests.rtl.cocotb_arith")
