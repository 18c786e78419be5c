"""The vector engine against the golden machine: random programs under random stalls, in batches on a C++ bench."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from golden.quartdepth.config import CONFIGS, ChipConfig
from sim.rtl import sources
from sim.verilate import Build

from tests.rtl import vpu_jobs
from tests.rtl.vpu_jobs import Job

HERE = Path(__file__).parent
FLAGS = ("-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1")


def bench(config: ChipConfig) -> Path:
    """The bench's executable."""
    sizes = {"DEPTH": config.depth, "COLS": config.cols, "SPAD_WORDS": config.spad_words,
             "PROG_WORDS": config.prog_words, "TABLES": config.tables}  # fmt: skip
    parameters = {"Depth": config.depth, "Cols": config.cols, "Rows": config.rows, "SpadWords": config.spad_words,
                  "ProgWords": config.prog_words, "Tables": config.tables}  # fmt: skip
    build = Build(
        top="vpu",
        sources=tuple(sources("vpu")),
        cpp=(HERE / "vpu_bench.cpp",),
        parameters=parameters,
        flags=FLAGS,
        cxxflags=("-std=c++20", "-O2", *(f"-D{k}={v}" for k, v in sizes.items())),
    )
    return build.executable()


def execute(jobs: list[Job], config: ChipConfig, folder: Path) -> list[vpu_jobs.Seen]:
    """Runs the jobs on the RTL."""
    before, after = folder / "jobs.bin", folder / "seen.bin"
    before.write_bytes(vpu_jobs.pack(jobs, config))
    run = subprocess.run([bench(config), before, after], capture_output=True, text=True, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]
    return vpu_jobs.unpack(after, jobs, config)


def check(jobs: list[Job], config: ChipConfig, folder: Path) -> list[vpu_jobs.Seen]:
    """Runs the jobs on both and compares everything."""
    seen = execute(jobs, config, folder)
    for number, (job, got) in enumerate(zip(jobs, seen, strict=True)):
        wrong = vpu_jobs.difference(vpu_jobs.golden(job, config), got)
        assert not wrong, f"job {number}: {wrong}\n{job.instructions}\n{job.words[4:]}\nstall {job.stall}"
    return seen


@pytest.mark.parametrize(("name", "count"), [("tiny", 400), ("paper", 30)])
def test_random_programs(name: str, count: int, tmp_path: Path) -> None:
    config = CONFIGS[name]
    rng = np.random.default_rng(7)
    check([vpu_jobs.random_job(rng, config) for _ in range(count)], config, tmp_path)
