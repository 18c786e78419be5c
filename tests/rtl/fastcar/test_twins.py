"""The twins beside the HLS kernels, in one process: the same index registers, scores, weights into both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from triptych.sim.build.sources import ROOT, fastcar_sources
from triptych.sim.build.verilate import Build
from triptych.sim.fastcar.csim import HLS, include_flags

HERE = Path(__file__).parent


@pytest.mark.parametrize("lanes", [5, pytest.param(16, marks=pytest.mark.slow)])
def test_rtl_equals_hls(lanes: int) -> None:
    build = Build(
        top="twins",
        sources=(*fastcar_sources(), HERE / "twins.sv"),
        cpp=(HERE / "twins_main.cpp",),
        headers=(
            *sorted(p for folder in ("shim", "include", "kernels") for p in (HLS / folder).glob("*.h*")),
            ROOT / "sim" / "rtl" / "cpp" / "coverage.h",
        ),
        parameters={"Lanes": lanes},
        flags=("-O3", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1"),
        cxxflags=("-std=c++20", f"-DFASTCAR_LANES={lanes}", "-Wno-unknown-pragmas", *include_flags()),
    )
    run = subprocess.run([build.executable()], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "equal\n"), run.stdout + run.stderr[-2000:]
