"""dma_store: no order of AW and W that AXI4 allows stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import ROOT, RTL, SV, packages

MODULES = ("dma_setup", "dma_bursts", "dma_walk", "dma_front", "dma_store")


def files() -> list[Path]:
    """What dma_store is made of."""
    modules = (RTL / "mem" / f"{m}.sv" for m in MODULES)
    bench = [SV / "axi_checker.sv", ROOT / "tests" / "rtl" / "bench_store.sv"]
    return [*packages(), RTL / "common" / "fifo.sv", *modules, *bench]


@pytest.mark.parametrize("burst", [4, 256])
def test_every_order_of_address_and_data(burst: int) -> None:
    assert run("bench_store", files(), "tests.rtl.cocotb_store", {"Depth": 16, "MaxBurst": burst}, power_on=False) == 4
