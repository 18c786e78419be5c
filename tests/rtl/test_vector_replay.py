"""Golden vectors through the RTL's arithmetic: rounding, requantisation, functions, cell products."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from triptych.golden.quartdepth.vectors import files as vectors
from triptych.sim.build.sources import RTL, packages
from triptych.sim.build.verilate import Build

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors"
INPUTS = ("value", "count", "x", "mult", "lane", "exp2n", "row", "root", "cell", "mode", "phase")
OUTPUTS = ("rounded", "sat16", "sat32", "requantised", "lane", "packed", "product")
Ints = NDArray[np.int64]


@pytest.fixture(scope="module")
def bench() -> Path:
    """The bench's executable."""
    vpu = [RTL / "vpu" / "vpu_pkg.sv", RTL / "vpu" / "vpu_row_function.sv"]
    files = [*packages(), *vpu, HERE / "bench_vectors.sv"]
    return Build(top="bench_vectors", sources=tuple(files), cpp=(HERE / "vectors_bench.cpp",)).executable()


def outputs(bench: Path, folder: Path, **inputs: NDArray[np.generic] | int) -> dict[str, Ints]:
    """What the RTL makes of these inputs (others are zero)."""
    size = max(np.size(v) for v in inputs.values())
    rows = np.zeros((size, len(INPUTS)), np.int64)
    for name, values in inputs.items():
        rows[:, INPUTS.index(name)] = values
    rows.tofile(folder / "in")
    subprocess.run([bench, folder / "in", folder / "out"], check=True)
    seen = np.fromfile(folder / "out", np.int64).reshape(size, -1)
    return dict(zip(OUTPUTS, seen.T, strict=True))


def equal(name: str, seen: Ints, right: NDArray[np.generic]) -> None:
    """Raises AssertionError naming the first vector that differs."""
    wrong = np.flatnonzero(seen != right.astype(np.int64).reshape(-1))
    at = wrong[:1]
    text = f"{wrong.size} differ, {at} is {seen[at]}, should be {right.reshape(-1)[at]}"
    assert not wrong.size, f"{name}: {text}"


def test_rounding(bench: Path, tmp_path: Path) -> None:
    v = np.fromfile(VECTORS / "rounding.bin", vectors.SHIFTED)
    seen = outputs(bench, tmp_path, value=v["v"], count=v["s"])
    equal("rounding", seen["rounded"], v["y"])
    equal("sat16", seen["sat16"], v["y16"])
    equal("sat32", seen["sat32"], v["y32"])


def test_requantisation(bench: Path, tmp_path: Path) -> None:
    v = np.fromfile(VECTORS / "requantisation.bin", vectors.REQUANTISED)
    equal("requantisation", outputs(bench, tmp_path, x=v["x"], mult=v["m"], count=v["s"])["requantised"], v["y"])


@pytest.mark.parametrize("name", ["exp2n", "gelu"])
def test_lane_functions(bench: Path, tmp_path: Path, name: str) -> None:
    right = np.fromfile(VECTORS / f"{name}.bin", "<i2")
    y = np.arange(-(1 << 15), 1 << 15)
    equal(name, outputs(bench, tmp_path, lane=y, exp2n=int(name == "exp2n"))["lane"], right)


@pytest.mark.parametrize("name", ["recip", "rsqrt"])
def test_row_functions(bench: Path, tmp_path: Path, name: str) -> None:
    v = np.fromfile(VECTORS / "packed.bin", vectors.PACKED)
    equal(name, outputs(bench, tmp_path, row=v["y"], root=int(name == "rsqrt"))["packed"], v[name])


@pytest.mark.parametrize("name", ["first", "second", "low", "high", "byte"])
def test_cells(bench: Path, tmp_path: Path, name: str) -> None:
    right = np.fromfile(VECTORS / f"cell_{name}.bin", "<i2")
    a, w = np.divmod(np.arange(len(right)), 256)
    if name == "second":
        a = a << 5
    mode = {"first": 0, "second": 0, "low": 1, "high": 1, "byte": 2}[name]
    products = [outputs(bench, tmp_path, cell=a | w << 10, mode=mode, phase=phase)["product"] for phase in (0, 1)]
    seen = {"high": products[1], "byte": products[0] + products[1]}.get(name, products[0])
    equal(name, seen, right)
