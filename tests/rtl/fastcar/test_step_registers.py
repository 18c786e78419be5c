"""step_registers: what a host sees of a step."""

from __future__ import annotations

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL, fastcar_sources


def test_step_registers() -> None:
    packages = [path for path in fastcar_sources() if path.stem.endswith("_pkg")]
    run("step_registers", [*packages, RTL / "fastcar" / "step_registers.sv"], "tests.rtl.fastcar.cocotb_step_registers")
