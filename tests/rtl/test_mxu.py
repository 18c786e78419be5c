"""The matrix engine against the golden machine: random MATMULs under random stalls, traps, rate, every cell product."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.rtl import mxu_jobs
from tests.rtl.mxu_jobs import ACC, ACTIVE, FILL, SPAD, WEIGHTS, Fields, Job, Outcome
from triptych.golden.quartdepth.chip.config import CONFIGS, ChipConfig
from triptych.golden.quartdepth.chip.isa import ActFormat, Trap, WeightFormat
from triptych.sim.build import cocotb_run
from triptych.sim.build.sources import ROOT, RTL, packages, sources
from triptych.sim.build.verilate import POWER_ON, Build

HERE = Path(__file__).parent
FILES = (*sources("mxu"), RTL / "common" / "clock_gate.sv", RTL / "mem" / "ram_1r1w.sv", HERE / "bench_mxu.sv")
TINY = CONFIGS["tiny"]
SQUARE = ChipConfig("square", depth=16, cols=16, rows=8, spad_words=1000, lanes=16)
WIDE = ChipConfig("wide", depth=32, cols=32, rows=64, spad_words=4096, lanes=32)
PARTS = ChipConfig("parts", depth=64, cols=32, rows=64, spad_words=2048, lanes=16)
SIZES = {config.name: config for config in (TINY, SQUARE, WIDE, PARTS)}


def execute(jobs: list[Job], config: ChipConfig, folder: Path) -> tuple[list[Outcome], list[Outcome]]:
    """What the golden machine and the RTL make of the jobs."""
    sizes = {"Depth": config.depth, "Cols": config.cols, "Lanes": config.lanes, "Rows": config.rows,
             "SpadWords": config.spad_words}  # fmt: skip
    macros = {"DEPTH": config.depth, "LANES": config.lanes, "SPAD_WORDS": config.spad_words, "TABLES": config.tables}
    build = Build(
        top="bench_mxu",
        sources=FILES,
        cpp=(HERE / "mxu_bench.cpp",),
        headers=(ROOT / "sim" / "rtl" / "cpp" / "coverage.h",),
        parameters={**sizes, "Tables": config.tables},
        flags=POWER_ON,
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


@pytest.mark.parametrize(("name", "count"), [("tiny", 300), ("square", 100), ("wide", 40), ("parts", 40)])
def test_random_matmuls(name: str, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    config = SIZES[name]
    jobs = [mxu_jobs.random_job(rng, config) for _ in range(count)]
    for job, seen in zip(jobs, check(jobs, config, tmp_path), strict=True):
        assert seen.classes[ACTIVE] == sum(mxu_jobs.steps(f, config) for f in job.instructions)


def test_handshakes_in_cocotb() -> None:
    """Random MATMULs with random stalls on every handshake, stop at any moment, faults that stand until stop, when the
    VPU is said to be behind."""
    parameters = {"Depth": TINY.depth, "Cols": TINY.cols, "Rows": TINY.rows, "SpadWords": TINY.spad_words}
    assert cocotb_run.run("bench_mxu", FILES, "tests.rtl.cocotb_mxu", parameters) == 5


def test_every_cell_product() -> None:
    build = Build(
        top="mxu_cell_bench",
        sources=(*packages(), HERE / "mxu_cell_bench.sv"),
        cpp=(HERE / "mxu_cell_bench.cpp",),
        flags=("-O3",),
    )
    run = subprocess.run([build.executable()], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert run.stdout == f"{1024 * 256 + 4 * 65536} products\n"


def dense(config: ChipConfig, **fields: int) -> Fields:
    """128 pixels of 16 x 8, pointwise, one step."""
    word = config.depth
    base = {
        "act_format": ActFormat.INT8, "act_row": 8 * word, "act_pix": word, "in_h": 16, "in_w": 8,
        "kernel_h": 1, "kernel_w": 1, "stride_y": 1, "stride_x": 1, "chunks": 1, "last_elems": word,
        "out_h": 16, "out_w": 8, "block": config.rows, "n": config.cols, "wgt_c": word,
    }  # fmt: skip
    return base | fields


def job(config: ChipConfig, *instructions: Fields, stall: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Job:
    """A job on random bytes."""
    rng = np.random.default_rng(5)
    spad = rng.integers(0, 256, config.spad_bytes, dtype=np.uint8)
    tables = rng.integers(0, 256, config.tables * 64, dtype=np.uint8)
    return Job(spad, tables, list(instructions), stall)


WAVES = {
    "one step a row": {},
    "eight column tiles": {"n_tiles": 8},
    "eight chunks, INT4": {"chunks": 8, "n_tiles": 4},
    "eight chunks, UINT4": {"chunks": 8, "n_tiles": 4, "act_format": ActFormat.UINT4},
    "table codes": {"chunks": 8, "act_format": ActFormat.TABLE4},
    "3x3, INT8 weights": {
        "kernel_h": 3,
        "kernel_w": 3,
        "pad_top": 1,
        "pad_left": 1,
        "weight_format": WeightFormat.INT8,
    },
    "activation by activation": {"chunks": 4, "n_tiles": 2, "weight_format": WeightFormat.INT8, "transpose": 1},
    "activation by four bits": {"chunks": 4, "n_tiles": 2, "weight_format": WeightFormat.LOW4, "transpose": 1},
}


@pytest.mark.parametrize("name", ["tiny", "wide"])
def test_a_step_in_every_cycle(name: str, tmp_path: Path) -> None:
    """Without stalls nothing but the first tile, the start and the end costs cycles, over four instructions."""
    config = SIZES[name]
    jobs = []
    for fields in WAVES.values():
        tiles = fields.get("n_tiles", 1)
        fields = {k: v for k, v in fields.items() if k != "n_tiles"}
        jobs.append(job(config, *[dense(config, n=tiles * config.cols, **fields)] * 4))
    for wave, work, seen in zip(WAVES, jobs, check(jobs, config, tmp_path), strict=True):
        assert seen.classes[ACTIVE] == 4 * mxu_jobs.steps(work.instructions[0], config), wave
        assert seen.classes[ACC] == seen.classes[SPAD] == 0, wave
        # four-bit keys and values take one pass of a tile: D words of it may come in more cycles than it has rows
        fields = work.instructions[0]
        late = max(0, config.depth + 1 - fields["block"]) if fields.get("weight_format") == WeightFormat.LOW4 else 0
        tiles = 4 * mxu_jobs.steps(fields, config) // fields["block"]
        assert seen.classes[WEIGHTS] <= 2 * config.depth + tiles * late, f"{wave}: {seen.classes}"
        assert seen.classes[FILL] <= 14, f"{wave}: {seen.classes}"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_rows_leave_in_parts(steps: int, tmp_path: Path) -> None:
    """With half as many lanes as columns a row leaves in two cycles; from two steps on the array does not wait."""
    fields = dense(PARTS, chunks=steps, act_format=ActFormat.UINT4, n=4 * PARTS.cols, out_h=8, in_h=8)
    seen = check([job(PARTS, *[fields] * 4)], PARTS, tmp_path)[0]
    rows = 4 * 4 * 64  # of four instructions, in four column tiles
    assert seen.classes[ACTIVE] == steps * rows
    assert seen.classes[ACC] <= (rows if steps == 1 else 0)
    assert seen.cycles <= max(steps, 2) * rows + 2 * 64 + PARTS.cols + 40, seen.classes


@pytest.mark.parametrize("name", ["tiny", "square", "wide", "parts"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_rate(name: str, stride: int, tmp_path: Path) -> None:
    """Three words a pixel at stride 1, six at stride 2; nine where an output row or a block begins."""
    config = SIZES[name]
    width, block = 16, config.rows * config.cols // config.depth
    fields = dense(
        config, depthwise=1, kernel_h=3, kernel_w=3, pad_top=1, pad_left=1, stride_x=stride, stride_y=stride,
        in_h=4, in_w=width, out_h=4 // stride, out_w=width // stride, n=2 * config.depth, chunks=2, block=block,
    )  # fmt: skip
    work = job(config, fields)
    seen = check([work], config, tmp_path)[0]
    pixels = np.arange(fields["out_h"] * fields["out_w"])
    starts = (pixels % fields["out_w"] == 0) | (pixels % block == 0)
    words = 2 * int(np.where(starts, 9, 3 * stride).sum())
    assert seen.classes[ACTIVE] == mxu_jobs.steps(fields, config)
    # One word a cycle; second column tiles overlap with words, except for the very last one.
    issued = seen.classes[ACTIVE] + seen.classes[FILL] + seen.classes[WEIGHTS]
    assert words <= issued <= words + config.depth + 14


def test_short_blocks_are_bound_by_tiles(tmp_path: Path) -> None:
    """Blocks shorter than a tile is wide: a tile every C + 1 cycles, nothing more."""
    for block in (1, 2, 3):
        work = job(TINY, dense(TINY, chunks=4, block=block, n=2 * TINY.cols))
        seen = check([work], TINY, tmp_path)[0]
        tiles = -(-128 // block) * 2 * 2
        assert seen.cycles <= tiles * (TINY.cols + 1) + 30, (block, seen.classes)


def test_stalls_are_told_apart(tmp_path: Path) -> None:
    """Each cause alone shows in its own class."""
    fields = dense(TINY, chunks=4, n=2 * TINY.cols)
    for stall, cause in (((128, 0, 0, 0), SPAD), ((0, 240, 0, 0), WEIGHTS), ((0, 0, 250, 0), ACC)):
        seen = check([job(TINY, fields, stall=stall)], TINY, tmp_path)[0]
        lost = {c: seen.classes[c] for c in (WEIGHTS, ACC, SPAD)}
        assert lost[cause] > 200, (cause, seen.classes)
        assert all(v <= TINY.depth for c, v in lost.items() if c != cause), (cause, seen.classes)


def test_range(tmp_path: Path) -> None:
    """The first word beyond the scratchpad traps, in either operand, in full width; what is not read does not."""
    word, end = TINY.depth, TINY.spad_bytes
    good = dense(TINY)
    last = end - 128 * word
    trapping = [
        dense(TINY, act=last + word),  # the last pixel
        dense(TINY, act=last, act_pix=2 * word),
        dense(TINY, act=last, chunks=2),
        dense(TINY, act=word, act_row=(1 << 24) - word, out_h=2),  # the second row wraps to word 0 in 24 bits
        dense(TINY, wgt=end - 7 * word),  # column 7
        dense(TINY, wgt=end),
        dense(TINY, wgt=word, wgt_c=(1 << 24) - word, n=2),
        dense(TINY, n=TINY.cols + 1, wgt_n=end),  # the second column tile
        dense(TINY, chunks=4, wgt_t=end),  # the second tile
        dense(TINY, depthwise=1, kernel_h=3, kernel_w=3, block=8, act=last, in_w=10),
        dense(TINY, weight_format=1, transpose=1, wgt=end - 15 * word),
    ]
    passing = [
        dense(TINY, act=last),
        dense(TINY, act=end, in_h=1, in_w=1, pad_top=15, out_h=1, out_w=1),  # padding only
        dense(TINY, wgt=end - 8 * word),
        dense(TINY, wgt=end - 3 * word, n=3),  # only three columns
        dense(TINY, weight_format=1, transpose=1, wgt=end - 5 * word, last_elems=5),
        dense(TINY, depthwise=1, kernel_h=3, kernel_w=3, block=8, n=2, wgt=end - 2 * word),
    ]
    jobs = []
    for fields in trapping:  # alone, behind another that is still at work, and before one that traps too
        jobs += [job(TINY, fields), job(TINY, good, fields, good), job(TINY, good, good, fields, fields)]
    for seen in check(jobs, TINY, tmp_path):
        assert seen.trap is Trap.RANGE
    for seen in check([job(TINY, fields, good) for fields in passing], TINY, tmp_path):
        assert seen.trap is Trap.NONE


LOOPS: dict[str, Fields] = {
    "67,500 tiles": {"kernel_h": 15, "kernel_w": 15, "chunks": 300, "weight_format": WeightFormat.INT8},
    "65,600 pixels": {"out_h": 64, "out_w": 1025},
    "a wide row, far beyond the picture": {"out_h": 1, "out_w": 18800, "stride_x": 7, "in_h": 1, "in_w": 40},
    "a row of all columns": {"out_h": 1, "out_w": 65535, "in_w": 65535},
    "a column of all rows": {"out_h": 65535, "out_w": 1, "in_h": 65535},
    "a tall picture, far beyond it": {"out_h": 18800, "out_w": 1, "stride_y": 7, "in_h": 50, "pad_top": 15},
    "4,095 chunks": {"chunks": 4095, "out_h": 1, "out_w": 1, "act_format": ActFormat.UINT4},
    "8,191 channels": {"n": 8191, "out_h": 1, "out_w": 3},
    "8,191 channels, depthwise": {
        "n": 8191, "depthwise": 1, "kernel_h": 3, "kernel_w": 3, "chunks": 512, "out_h": 1, "out_w": 1, "block": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_loops_of_every_magnitude(name: str, tmp_path: Path) -> None:
    """As many tiles, pixels, columns, rows, chunks, channels as the fields can name, over one spot of memory."""
    still = dict.fromkeys(("act_row", "act_pix", "wgt_n", "wgt_t", "wgt_c"), 0)
    size = {"in_h": 300, "in_w": 300, "out_h": 1, "out_w": 1, "n": 1}
    config = WIDE if LOOPS[name].get("chunks") == 4095 else TINY  # the one whose scratchpad holds them
    fields = dense(config, **{**still, **size, **LOOPS[name]})
    seen = check([job(config, fields)], config, tmp_path)[0]
    assert seen.classes[ACTIVE] == mxu_jobs.steps(fields, config)


def test_addresses_of_every_magnitude(tmp_path: Path) -> None:
    """A second row, pixel, column tile, tile or column at every power of two beyond the scratchpad traps."""
    one = {"out_h": 1, "out_w": 1, "n": 1, "in_h": 9, "in_w": 9}
    moves: dict[str, tuple[int, Fields]] = {
        "act_row": (24, {"out_h": 2}), "act_pix": (20, {"out_w": 2}), "wgt_n": (24, {"n": TINY.cols + 1}),
        "wgt_t": (24, {"chunks": 2, "act_format": ActFormat.UINT4}), "wgt_c": (24, {"n": 2}),
        "act": (24, {}), "wgt": (24, {}),
    }  # fmt: skip
    jobs = []
    for name, (bits, fields) in moves.items():
        for k in range(TINY.spad_bytes.bit_length() - 1, bits):
            jobs.append(job(TINY, dense(TINY, **{**one, **fields, name: 1 << k})))
        for stride in range(2, 8):
            if name in ("act_row", "act_pix"):
                step = {"stride_y": stride, "stride_x": stride, name: (1 << bits) // stride // TINY.depth * TINY.depth}
                jobs.append(job(TINY, dense(TINY, **{**one, **fields, **step})))
    for seen in check(jobs, TINY, tmp_path):
        assert seen.trap is Trap.RANGE


def test_traps_amid_stalls(tmp_path: Path) -> None:
    """Instructions that go astray somewhere, among good ones: the retired ones and the trap agree; then it goes on."""
    rng = np.random.default_rng(3)
    jobs = []
    for _ in range(150):
        work = mxu_jobs.random_job(rng, TINY)
        victim = work.instructions[int(rng.integers(len(work.instructions)))]
        name = str(rng.choice(["act", "wgt"]))
        reach = mxu_jobs.extent(victim, TINY)[name == "wgt"]
        unit = TINY.cols if victim["transpose"] else TINY.depth
        victim[name] = max(0, TINY.spad_bytes - int(rng.integers(0, reach + 1))) // TINY.depth * TINY.depth
        assert victim[name] % unit == 0
        jobs.append(work)
    traps = [seen.trap for seen in check(jobs, TINY, tmp_path)]
    assert 30 < traps.count(Trap.RANGE) < 140


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("tiny", 4000), ("square", 2000), ("wide", 400)])
def test_many_random_matmuls(name: str, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    for _ in range(count // 100):
        check([mxu_jobs.random_job(rng, SIZES[name]) for _ in range(100)], SIZES[name], tmp_path)
