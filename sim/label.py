"""Where a published number comes from."""

from __future__ import annotations

from enum import Enum


class Label(Enum):
    """As docs/report.md explains them."""

    RTL_SIMULATED = "rtl-simulated"
    YOSYS_MAPPED = "yosys-mapped"
    PLACED = "placed"
    STA = "sta"
    ESTIMATED = "estimated"
    CITED = "cited"
    GPU_MEASURED = "gpu-measured"
    CPU_MEASURED = "cpu-measured"
