"""The vector engine's C++ bench: its build, batches of jobs on it, what the golden machine says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tests.rtl import vpu_jobs
from tests.rtl.vpu_jobs import Job, Seen, Word
from triptych.golden.quartdepth.chip.config import CONFIGS, ChipConfig
from triptych.sim.build.sources import ROOT, RTL, sources
from triptych.sim.build.verilate import POWER_ON, Build

HERE = Path(__file__).parent
TINY = CONFIGS["tiny"]
FILES = (*sources("vpu"), RTL / "common" / "clock_gate.sv", RTL / "mem" / "ram_1r1w.sv", HERE / "bench_vpu.sv")
ACTIVE, EMPTY, TOKEN, ACC, SPAD, PARAM, FILL = range(7)


def bench(config: ChipConfig) -> Path:
    """The bench's executable."""
    sizes = {"DEPTH": config.depth, "LANES": config.lanes, "SPAD_WORDS": config.spad_words,
             "PROG_WORDS": config.prog_words, "TABLES": config.tables}  # fmt: skip
    parameters = {"Depth": config.depth, "Cols": config.cols, "Lanes": config.lanes, "FullLanes": config.full_lanes,
                  "Rows": config.rows, "SpadWords": config.spad_words,
                  "ProgWords": config.prog_words, "Tables": config.tables}  # fmt: skip
    build = Build(
        top="bench_vpu",
        sources=FILES,
        cpp=(HERE / "vpu_bench.cpp",),
        headers=(ROOT / "sim" / "rtl" / "cpp" / "coverage.h",),
        parameters=parameters,
        flags=POWER_ON,
        cxxflags=("-std=c++20", "-O2", *(f"-D{k}={v}" for k, v in sizes.items())),
    )
    return build.executable()


def execute(jobs: list[Job], config: ChipConfig, folder: Path) -> list[Seen]:
    """Runs the jobs on the RTL."""
    before, after = folder / "jobs.bin", folder / "seen.bin"
    before.write_bytes(vpu_jobs.pack(jobs, config))
    run = subprocess.run([bench(config), before, after], capture_output=True, text=True, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]
    return vpu_jobs.unpack(after, jobs, config)


def check(jobs: list[Job], config: ChipConfig, folder: Path) -> list[Seen]:
    """Runs the jobs on both and compares everything."""
    seen = execute(jobs, config, folder)
    for number, (job, got) in enumerate(zip(jobs, seen, strict=True)):
        wrong = vpu_jobs.difference(vpu_jobs.golden(job, config), got)
        assert not wrong, f"job {number}: {wrong}\n{job.instructions}\n{job.words[4:]}\nstall {job.stall}"
    return seen


def layer_job(rng: Generator, words: list[Word], n: int, pixels: int, block: int, data: NDArray[np.int8]) -> Job:
    """One instruction over (pixels, n) int8 at address 0, results from the scratchpad's middle on."""
    lanes = TINY.cols
    groups = -(-n // lanes)
    job = vpu_jobs.fresh(rng, TINY)
    picture = np.zeros((pixels, groups * lanes), np.int8)
    picture[:, :n] = data
    job.spad[: picture.size] = picture.reshape(-1).view(np.uint8)
    job.words = words
    job.instructions = [
        {"prog": 0, "prog_len": len(words), "h": 1, "w": pixels, "n": n, "block": block, "a_pix": groups * lanes,
         "d": TINY.spad_bytes // 2, "d_pix": groups * lanes, "param": 3 * TINY.spad_bytes // 4}
    ]  # fmt: skip
    return job
