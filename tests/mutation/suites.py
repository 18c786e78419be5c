"""Which tests judge which module: its own first, then those of the whole chip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from triptych.sim.build.sources import RTL, sources

CHIP = ("tests/rtl/test_chip.py", "tests/uvm/test_uvm.py")
OWN = {
    "mxu": ("tests/rtl/test_mxu.py",),
    "vpu": ("tests/rtl/test_vpu.py", "tests/rtl/test_vpu_layers.py"),
    "dma": ("tests/rtl/test_dma.py", "tests/rtl/test_write_order.py"),
    "spad": ("tests/rtl/test_spad.py",),
    "ctrl": ("tests/rtl/test_control.py", "tests/rtl/test_queues.py", "tests/rtl/test_counters.py"),
    "decode": ("tests/rtl/test_decode.py",),
    "fifo": ("tests/rtl/test_fifo.py",),
    "code_tables": ("tests/rtl/test_code_tables.py",),
}
"""Tests by what a module's name begins with, else by its folder."""


@dataclass(frozen=True)
class Suite:
    """A module and what judges it.

    stages: tests that are tried one after the other until one notices.
    """

    module: str
    path: Path
    stages: tuple[tuple[str, ...], ...]

    def files(self) -> list[Path]:
        """What slang reads to elaborate the module."""
        return sources()


def _suite(path: Path) -> Suite:
    name, folder = path.stem, path.parent.name
    own = next((OWN[key] for key in OWN if name == key or name.startswith(f"{key}_")), None) or OWN.get(folder, ())
    return Suite(name, path, ((own, CHIP) if own else (CHIP,)))


SUITES = {
    path.stem: _suite(path)
    for folder in ("common", "ctrl", "mem", "mxu", "vpu")
    for path in sorted((RTL / folder).glob("*.sv"))
    if not path.stem.endswith("_pkg")
}
"""Every module of the chip that is written by hand."""
