"""code_tables: layout of the table image."""

from __future__ import annotations

import pytest

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL, packages


@pytest.mark.parametrize("depth", [16, pytest.param(32, marks=pytest.mark.slow)])
def test_code_tables(depth: int) -> None:
    files = [*packages(), RTL / "common" / "clock_gate.sv", RTL / "common" / "code_tables.sv"]
    run("code_tables", files, "tests.rtl.cocotb_code_tables", {"Depth": depth, "Tables": 8})
