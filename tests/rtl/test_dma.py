"""dma_load, dma_store, read_arbiter: copies, bursts, faults, stops under random stalls."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, RTL, SV, packages

MODULES = ("dma_setup", "dma_bursts", "dma_walk", "dma_front", "dma_load", "dma_store", "ram_1r1w", "spad")


def files() -> list[Path]:
    """LOAD, STORE, arbiter and scratchpad in their bench."""
    modules = (*(RTL / "mem" / f"{m}.sv" for m in MODULES), RTL / "ctrl" / "read_arbiter.sv")
    bench = [SV / "axi_checker.sv", ROOT / "tests" / "rtl" / "bench_dma.sv"]
    return [*packages(), RTL / "common" / "fifo.sv", *modules, *bench]


WIDE = ("ranges", "stopped_stores_write_nothing_wrong")  # what wide words do that narrow ones do not


@pytest.mark.parametrize(
    ("depth", "burst", "testcase"),
    [(16, 256, None), (64, 64, WIDE), pytest.param(32, 128, None, marks=pytest.mark.slow)],
    ids=["d16", "ends of wide words", "d32"],
)
def test_dma(depth: int, burst: int, testcase: tuple[str, ...] | None) -> None:
    sizes = {"Depth": depth, "SpadWords": 1024, "LoadBurst": burst, "LoadBeats": 2 * burst, "StoreBurst": burst}
    run("bench_dma", files(), "tests.rtl.cocotb_dma", sizes, power_on=False, testcase=testcase)
