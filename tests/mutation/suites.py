"""Which tests judge which module: its own first, then those of the whole chip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from triptych.sim.build.sources import ROOT, RTL, fastcar_sources, packages, sources

CHIP = (
    "tests/rtl/test_chip.py", "tests/rtl/test_cycles.py::test_layers_take_the_committed_cycles",
    "tests/uvm/test_uvm.py",
)  # fmt: skip
OWN = {
    "mxu": ("tests/rtl/test_mxu.py",),
    "vpu": ("tests/rtl/test_vpu.py", "tests/rtl/test_vpu_layers.py"),
    "dma": ("tests/rtl/test_dma.py", "tests/rtl/test_write_order.py"),
    "spad": ("tests/rtl/test_spad.py",),
    "ctrl": ("tests/rtl/test_control.py", "tests/rtl/test_queues.py", "tests/rtl/test_counters.py"),
    "decode": ("tests/rtl/test_decode.py",),
    "fifo": ("tests/rtl/test_fifo.py",),
    "code_tables": ("tests/rtl/test_code_tables.py",),
    "clock_gate": ("tests/rtl/test_tapeout.py",),
    "reset_sync": ("tests/rtl/test_tapeout.py",),
}
"""Tests by what a module's name begins with, else by its folder."""

CORE = ("tests/rtl/fastcar/test_twins.py", "tests/rtl/fastcar/test_core.py")
STEP = tuple(
    f"tests/rtl/fastcar/test_{n}.py" for n in ("units", "walks", "step", "step_turns", "step_limits", "step_registers")
)
STEP_ALONE = (
    "attention", "cache", "chain", "fastcar_step", "head", "region", "row", "score_walk", "silu", "step", "store",
    "swiglu",
)  # fmt: skip
"""What modules begin with that `fastcar_step` has and `fastcar_core` has not."""


@dataclass(frozen=True)
class Suite:
    """A module and what judges it.

    stages: tests that are tried one after the other until one notices. top: what shows all of it, itself unless named;
    bench: a file that this takes beside the RTL.
    """

    module: str
    path: Path
    stages: tuple[tuple[str, ...], ...]
    top: str = ""
    bench: Path | None = None

    def files(self) -> list[Path]:
        """What slang reads to elaborate the module."""
        if self.path.parent.name == "fastcar":
            return fastcar_sources()
        return [*packages(), self.bench] if self.bench else sources()


def suite_of(path: Path) -> Suite:
    """Of a file of `rtl/`, be it a module's or a package's."""
    name, folder = path.stem, path.parent.name
    if name == ARITHMETIC.module:
        return ARITHMETIC
    own = next((OWN[key] for key in OWN if name == key or name.startswith(f"{key}_")), None) or OWN.get(folder, ())
    if folder == "fastcar":
        return Suite(name, path, (STEP,) if name.startswith(STEP_ALONE) else (CORE, STEP), name)
    return Suite(name, path, ((own, CHIP) if own else (CHIP,)), name)


ARITHMETIC = Suite(
    "arith_pkg", RTL / "pkg" / "arith_pkg.sv", (("tests/rtl/test_arith.py",), CHIP),
    "bench_arith", ROOT / "tests" / "rtl" / "bench_arith.sv",
)  # fmt: skip

SUITES = {
    path.stem: suite_of(path)
    for folder in ("common", "ctrl", "mem", "mxu", "vpu", "top", "fastcar")
    for path in sorted((RTL / folder).glob("*.sv"))
    if not path.stem.endswith("_pkg")
} | {"arith_pkg": ARITHMETIC}
"""Every module of the chip and of FastCar's twins that is written by hand, and the arithmetic that they share."""

ENGINES = {
    f"{folder}/": tuple(suite for suite in SUITES.values() if suite.path.parent.name == folder)
    for folder in ("ctrl", "mem", "mxu", "vpu", "fastcar")
}
"""By folder: its modules, for a draw from all of them together."""
