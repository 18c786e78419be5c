"""What tests of a step's units share: builds of their benches, scenarios as files, integers with their ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triptych.sim.build import children
from triptych.sim.build.sources import ROOT, checker, fastcar_sources
from triptych.sim.build.verilate import POWER_ON, Build

HERE = Path(__file__).parent
STALLS = (0, 60, 190)


def unit_build(top: str, sources: Sequence[Path] | None = None) -> Build:
    """Units with their bench: `top`.sv under `top`_main.cpp. sources: instead of those of rtl/fastcar."""
    memory = ROOT / "sim" / "rtl" / "cpp"
    return Build(
        top=top,
        sources=(*(sources or fastcar_sources()), checker()[0], HERE / f"{top}.sv"),
        cpp=(HERE / f"{top}_main.cpp",),
        flags=POWER_ON,
        headers=(memory / "memory_model.h", memory / "coverage.h", HERE / "unit_bench.h"),
        cxxflags=("-std=c++20", f"-I{memory}", f"-I{HERE}"),
    )


def execute(program: Path, folder: Path, mode: int, seed: int, parts: list[int | NDArray[np.generic]]) -> bytes:
    """What the unit makes of a scenario: numbers as they are, arrays behind their length in bytes."""
    text = [np.array([seed, STALLS[seed % 3], mode], "<i4").tobytes()]
    for part in parts:
        if isinstance(part, np.ndarray):
            text += [np.array([part.nbytes], "<i4").tobytes(), part.tobytes()]
        else:
            text.append(np.array([part & 0xFFFFFFFF], "<u4").tobytes())
    before, after = folder / "scenario.bin", folder / "seen.bin"
    before.write_bytes(b"".join(text))
    run = children.run([program, before, after])
    assert run.status == 0, run.text[-1000:]
    return after.read_bytes()


def int8s(rng: Generator, *shape: int) -> NDArray[np.int8]:
    """Uniform, with the ends well represented."""
    ends = rng.random(shape)
    values = rng.integers(-128, 128, shape)
    return np.where(ends < 0.1, -128, np.where(ends > 0.9, 127, values)).astype(np.int8)


Check = Callable[[Path, Path, int], None]
"""Program, folder, seed: compares a unit with golden. Raises AssertionError or ValueError where they differ."""


def noticed(checks: Mapping[str, Check], unit: str | None, program: Path, folder: Path, seeds: int) -> bool:
    """Whether one of so many scenarios of the unit, or of all when None, differs from golden."""
    for check in checks.values() if unit is None else (checks[unit],):
        for seed in range(seeds):
            try:
                check(program, folder, seed)
            except (AssertionError, ValueError):
                return True
    return False
