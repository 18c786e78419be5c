"""The matrix engine against the golden machine: random MATMULs under random stalls, traps, rate, every cell product."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from golden.quartdepth.config import CONFIGS, ChipConfig
from golden.quartdepth.isa import ActFormat, Trap, WeightFormat
from sim.rtl import packages, sources
from sim.verilate import Build
from tests.rtl import mxu_jobs
from tests.rtl.mxu_jobs import ACC, ACTIVE, FILL, SPAD, WEIGHTS, Fields, Job, Outcome

HERE = Path(__file__).parent
FLAGS = ("-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1")
TINY = CONFIGS["tiny"]
SQUARE = ChipConfig("square", depth=16, cols=16, rows=8, spad_words=1000)
WIDE = ChipConfig("wide", depth=32, cols=32, rows=64, spad_words=4096)
SIZES = {config.name: config for config in (TINY, SQUARE, WIDE)}


def execute(jobs: list[Job], config: ChipConfig, folder: Path) -> tuple[list[Outcome], list[Outcome]]:
    """What the golden machine and the RTL make of the jobs."""
    sizes = {"Depth": config.depth, "Cols": config.cols, "Rows": config.rows, "SpadWords": config.spad_words}
    macros = {"DEPTH": config.depth, "COLS": config.cols, "SPAD_WORDS": config.spad_words, "TABLES": config.tables}
    build = Build(
        top="mxu",
        sources=tuple(sources("mxu")),
        cpp=(HERE / "mxu_bench.cpp",),
        parameters={**sizes, "Tables": config.tables},
        flags=FLAGS,
        cxxflags=("-std=c++20", *(f"-D{k}={v}" for k, v in macros.items())),
    )
    expected = [mxu_jobs.golden(job, config) for job in jobs]
    before, after = folder / "jobs.bin", folder / "seen.bin"
    before.write_bytes(mxu_jobs.pack(jobs, expected))
    run = subprocess.run([build.executable(), before, after], capture_output=True, text=True, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]
    return expected, mxu_jobs.unpack(after, len(jobs), config)


def check(jobs: list[Job], config: ChipConfig, folder: Path) -> list[Outcome]:
    """Runs the jobs on both and compares everything."""
    expected, seen = execute(jobs, config, folder)
    for number, (job, want, got) in enumerate(zip(jobs, expected, seen, strict=True)):
        wrong = mxu_jobs.difference(want, got, config)
        assert not wrong, f"job {number}: {wrong}\n{job.instructions}\nstall {job.stall} seed {job.seed}"
    return seen


@pytest.mark.parametrize(("name", "count"), [("tiny", 300), ("square", 100), ("wide", 60)])
def test_random_matmuls(name: str, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    config = SIZES[name]
    jobs = [mxu_jobs.random_job(rng, config) for _ in range(count)]
    for job, seen in zip(jobs, check(jobs, config, tmp_path), strict=True):
        assert seen.classes[ACTIVE] == sum(mxu_jobs.steps(f, config) for f in job.instructions)
