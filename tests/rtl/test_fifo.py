"""fifo: order, capacity, flush."""

from __future__ import annotations

import pytest

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL


@pytest.mark.parametrize(("width", "depth"), [(8, 2), (33, 8)])
def test_fifo(width: int, depth: int) -> None:
    run("fifo", [RTL / "common" / "fifo.sv"], "tests.rtl.cocotb_fifo", {"Width": width, "Depth": depth})
