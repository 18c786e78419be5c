"""step_registers: what a host sees of a step."""

from __future__ import annotations

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL


def test_step_registers() -> None:
    files = [RTL / "fastcar" / f"{name}.sv" for name in ("fastcar_pkg", "step_pkg", "step_registers")]
    run("step_registers", files, "tests.rtl.fastcar.cocotb_step_registers")
