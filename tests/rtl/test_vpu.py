"""The vector engine against the golden machine: random programs under random stalls, functions and requantisation
exhaustively, traps, rate. Runs in batches on C++ benches."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from tests.rtl import vpu_jobs
from tests.rtl.vpu_jobs import FULL, Job, Seen, Word
from tests.rtl.vpu_kit import ACC, ACTIVE, FILES, HERE, PARAM, SPAD, TINY, check, layer_job
from triptych.golden.quartdepth.arithmetic import functions
from triptych.golden.quartdepth.chip.config import CONFIGS, ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Format,
    Function,
    Kind,
    Multiply,
    Reduce,
    Side,
    SourceA,
    Trap,
)
from triptych.sim.build import cocotb_run
from triptych.sim.build.sources import sources
from triptych.sim.build.verilate import POWER_ON, Build

HALF = replace(CONFIGS["paper"], name="half", lanes=16)
WHOLE = ChipConfig("whole", depth=16, cols=16, rows=8, spad_words=1024, prog_words=32, tables=7, lanes=16)
"""As many lanes as bytes in a word: INT16 results of a group take two words. A table that words name is missing, which
is illegal where it is used alone."""
SPLIT = ChipConfig("split", depth=16, cols=16, rows=8, spad_words=1024, prog_words=32, lanes=16, full_lanes=8)
"""Half of the lanes are full ones."""


@pytest.mark.parametrize(
    ("config", "count"),
    [(TINY, 200), (HALF, 25), (WHOLE, 60), (SPLIT, 120), (CONFIGS["paper"], 25)],
    ids=["tiny", "half", "whole", "split", "paper"],
)
def test_random_programs(config: ChipConfig, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    check([vpu_jobs.random_job(rng, config) for _ in range(count)], config, tmp_path)


OTHER_SHAPES = [
    ChipConfig("wide", depth=64, cols=32, rows=16, spad_words=2048, prog_words=32, lanes=8),
    ChipConfig("square", depth=16, cols=16, rows=16, spad_words=2048, prog_words=32, lanes=8),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", [*CONFIGS.values(), *OTHER_SHAPES], ids=lambda config: config.name)
def test_many_random_programs(config: ChipConfig, tmp_path: Path) -> None:
    for seed in range(100, 110):
        rng = np.random.default_rng(seed)
        check([vpu_jobs.random_job(rng, config) for _ in range(3000 // config.rows)], config, tmp_path)


# -- Values that stream in as accumulator rows -------------------------------------------------------------------


def row_jobs(values: NDArray[np.int64], word: Word, rng: Generator, parameters: NDArray[np.uint8] | None = None,
             tables: NDArray[np.uint8] | None = None) -> list[Job]:  # fmt: skip
    """Jobs that send int32 `values`, C a row, through one microword; every row of a job is a pixel of n = C channels.

    parameters: one group's, used by every pixel.
    """
    lanes = TINY.cols
    capacity = TINY.spad_bytes // 2 // (2 * lanes)
    rows = np.pad(values, (0, -len(values) % lanes)).astype(np.int32).reshape(-1, lanes)
    jobs = []
    for first in range(0, len(rows), capacity):
        part = rows[first : first + capacity]
        job = vpu_jobs.fresh(rng, TINY)
        if parameters is not None:
            job.spad[TINY.spad_bytes // 2 :][: 8 * lanes] = parameters
        if tables is not None:
            job.tables = tables
        job.words = [{"src_a": SourceA.ACC, **FULL, "dst": Destination.INT16, **word}]
        job.instructions = [
            {"prog": 0, "prog_len": 1, "h": 1, "w": len(part), "n": lanes, "block": TINY.rows,
             "d_pix": 2 * lanes, "param": TINY.spad_bytes // 2}
        ]  # fmt: skip
        job.rows = part
        jobs.append(job)
    return jobs


def results(seen: list[Seen], jobs: list[Job]) -> NDArray[np.int16]:
    """What the jobs of `row_jobs` wrote."""
    lanes = TINY.cols
    return np.concatenate([s.spad[: 2 * lanes * len(j.rows)].view("<i2") for s, j in zip(seen, jobs, strict=True)])


@pytest.mark.parametrize("fn", [Function.EXP2N, Function.GELU])
def test_lane_functions_of_every_int16(fn: Function, tmp_path: Path) -> None:
    every = np.arange(-(1 << 15), 1 << 15)
    jobs = row_jobs(every, {"fn": fn, "side": Side.SCALE_F, "b_m": 1}, np.random.default_rng(1))
    seen = check(jobs, TINY, tmp_path)
    assert (results(seen, jobs) == functions.lookup(fn.name, every)).all()


def test_row_functions_of_every_16_bits_and_random_32(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    near = (1 << np.arange(31)[:, None]) + np.arange(-2, 3)
    values = np.concatenate([
        np.arange(-4, 1 << 16), near.reshape(-1), [-(1 << 31), (1 << 31) - 1],
        rng.integers(-(1 << 31), 1 << 31, 1000), rng.integers(0, 1 << 31, 300_000) >> rng.integers(0, 31, 300_000),
    ])  # fmt: skip
    build = Build(
        top="vpu_row_function",
        sources=tuple(p for p in sources("vpu") if p.stem.endswith("_pkg") or p.stem == "vpu_row_function"),
        cpp=(HERE / "vpu_row_function_bench.cpp",),
        flags=POWER_ON,
    )
    before, after = tmp_path / "in.bin", tmp_path / "out.bin"
    before.write_bytes(values.astype("<i4").tobytes())
    subprocess.run([build.executable(), before, after], check=True)
    got = np.fromfile(after, dtype="<u4").reshape(2, -1)
    assert (got[0] == functions.recip(values)).all()
    assert (got[1] == functions.rsqrt(values)).all()


def around_ties(rng: Generator, mult: int, shift: int) -> NDArray[np.int64]:
    """int32 values whose product with `mult` lies on, just below and just above a tie of `rs(., shift)`, of both signs,
    small and large, and the extremes."""
    half = 1 << max(0, min(shift, 47) - 1)
    odd = 2 * np.concatenate([np.arange(-3, 3), rng.integers(-33000, 33000, 12)]) + 1
    exact = odd * half // (mult or 1)
    values = (exact[:, None] + np.arange(-1, 2)).reshape(-1)
    values = np.concatenate([values, [0, 1, -1, (1 << 31) - 1, -(1 << 31)]])
    return values[(values >= -(1 << 31)) & (values < 1 << 31)]


def test_requantisation_at_every_shift_sign_and_tie(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    jobs: list[Job] = []
    for shift in (*range(48), 48, 63, 64, 127, 128, 255):
        for mult in (1, -1, 3, 1 << 14, -(1 << 14), -(1 << 15), (1 << 15) - 1):
            values = around_ties(rng, mult, shift)
            parameters = np.zeros(TINY.cols, dtype=[("bias", "<i4"), ("mult", "<i2"), ("shift", "u1"), ("zero", "i1")])
            parameters["mult"], parameters["shift"] = mult, shift
            jobs += row_jobs(values, {"mul": Multiply.PARAM}, rng, parameters.view(np.uint8))
            if shift < 64:
                jobs += row_jobs(values, {"mul": Multiply.IMM, "imm_m": mult, "imm_s": shift}, rng)
                second = {"side": Side.SCALE_F, "b_m": mult, "b_s": shift}
                jobs += row_jobs(values[np.abs(values) < 1 << 16], second, rng)
    jobs += row_jobs(around_ties(rng, 1, 0), {"mul": Multiply.IMM, "imm_m": 1, "imm_s": -1}, rng)
    for shift in range(32):
        squares = np.concatenate([np.arange(-300, 300), [32767, 32768, -32768, -32769, 1 << 30]])
        jobs += row_jobs(squares, {"mul": Multiply.SQUARE, "imm_s": shift}, rng)
    check(jobs, TINY, tmp_path)


def test_encode_of_every_int16(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    every = np.arange(-(1 << 15), 1 << 15)
    jobs = []
    for round_ in range(3):
        tables = vpu_jobs.random_tables(rng, TINY)
        jobs += row_jobs(every, {"encode": 1, "table_e": (3 * round_ + 1) % 8}, rng, tables=tables)
    check(jobs, TINY, tmp_path)


# -- Rate, traps -------------------------------------------------------------------------------------------------


def stream_job(rng: Generator, pixels: int, n: int, block: int) -> Job:
    """Accumulators + bias, requantised, residual B, to the scratchpad: what stands behind most layers."""
    word: Word = {
        "src_a": SourceA.ACC, "addend": Addend.BIAS, "mul": Multiply.PARAM, "side": Side.ADD_B, "b_m": 77, "b_s": 6,
        "zp_param": 1, "lo": -128, "hi": 127, "dst": Destination.INT8,
    }  # fmt: skip
    groups = -(-n // TINY.cols)
    job = layer_job(rng, [word], n, pixels, block, np.zeros((pixels, n), np.int8))
    job.instructions[0] |= {"b": 0, "b_pix": groups * TINY.cols}
    job.rows = rng.integers(-40000, 40000, (pixels * groups, TINY.cols)).astype(np.int32)
    job.stall = (0, 0, 0, 0, 0)
    return job


def test_handshakes_in_cocotb() -> None:
    """Random programs with random stalls on every handshake, stop at any moment, faults that stand until stop."""
    parameters = {"Depth": TINY.depth, "Cols": TINY.cols, "Rows": TINY.rows, "SpadWords": TINY.spad_words,
                  "ProgWords": TINY.prog_words, "Tables": TINY.tables}  # fmt: skip
    assert cocotb_run.run("bench_vpu", FILES, "tests.rtl.cocotb_vpu", parameters) == 3


def test_one_group_a_cycle(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    shapes = [(300, 8, 16), (96, 24, 16), (48, 56, 16)]
    seen = check([stream_job(rng, *shape) for shape in shapes], TINY, tmp_path)
    for (pixels, n, _), got in zip(shapes, seen, strict=True):
        groups = pixels * -(-n // TINY.cols)
        assert got.classes[ACTIVE] == groups
        assert got.cycles - groups <= 24, got.classes
        assert got.classes[SPAD] == got.classes[ACC] == 0


SIMPLE: dict[str, int] = {"src_a": SourceA.SPAD, "lo": -128, "hi": 127, "dst": Destination.INT8}
HALVES = {
    "plain": ({}, 1),
    "multiplied": ({"mul": Multiply.IMM, "imm_m": 77, "imm_s": 6}, 1),
    "squared": ({"mul": Multiply.SQUARE, "imm_s": 5}, 1),
    "multiplied by a row scalar": ({"mul": Multiply.ROW, "rs_m": 1, "imm_s": -20}, 1),
    "biased": ({"addend": Addend.BIAS}, 2),
    "requantised": ({"mul": Multiply.PARAM}, 2),
    "zero points": ({"zp_param": 1}, 2),
    "second operand": ({"side": Side.ADD_B, "b_m": 3, "b_s": 1}, 2),
    "the larger one": ({"side": Side.MAX_B, "b_m": 3, "b_s": 1}, 2),
    "times B": ({"mul": Multiply.B, "imm_s": 4}, 2),
    "function": ({"side": Side.SCALE_F, "fn": Function.GELU, "b_m": 99, "b_s": 9}, 2),
    "encoded": ({"encode": 1, "table_e": 2, "dst": Destination.NIBBLE}, 2),
}


@pytest.mark.parametrize("word", HALVES)
def test_halves_only_of_words_that_need_full_lanes(word: str, tmp_path: Path) -> None:
    """A group takes two cycles where a microword needs what half of the lanes lack, and one otherwise; its operands are
    read once."""
    fields, cycles = HALVES[word]
    pixels, n = 24, 40
    pitch = -(-n // SPLIT.cols) * SPLIT.cols
    job = vpu_jobs.fresh(np.random.default_rng(11), SPLIT)
    job.words = [{**SIMPLE, **fields}]
    streams = {"a": 0, "b": 2048, "d": 4096, "a_pix": pitch, "b_pix": pitch, "d_pix": pitch, "param": 8192}
    job.instructions = [{"prog": 0, "prog_len": 1, "h": 1, "w": pixels, "n": n, "block": SPLIT.rows, **streams}]
    job.stall = (0, 0, 0, 0, 0)
    (got,) = check([job], SPLIT, tmp_path)
    assert got.classes[ACTIVE] == cycles * pixels * -(-n // SPLIT.cols)


@pytest.mark.parametrize("config", [TINY, SPLIT], ids=lambda c: c.name)
def test_parameters_are_those_that_the_microword_before_has_written(config: ChipConfig, tmp_path: Path) -> None:
    """A block's sums of biased elements go over the parameters, byte by byte, and the next block is biased by them. In
    most jobs a microword goes over those that are fetched ahead for itself, too, whatever they are to it."""
    rng = np.random.default_rng(12)
    summed = {**SIMPLE, "addend": Addend.BIAS, "dst": Destination.NONE, "reduce": Reduce.SUM, "rs_d": 1}
    written = {**SIMPLE, "addend": Addend.ROW, "rs_a": 1, "z_s": 9}
    constant = {**SIMPLE, "addend": Addend.BIAS, "lo": 5, "hi": 5}
    jobs = []
    for groups, pixels in ((1, 12), (2, 12), (2, 1), (2, 1), (2, 1), (3, 2), (5, 12)):
        for place in range(0, 8 * config.cols * groups, config.cols):
            job = vpu_jobs.fresh(rng, config)
            job.words = [summed, written] if pixels == 12 and place // config.cols % 2 else [constant, summed, written]
            shape = {"h": 1, "w": pixels, "n": config.cols * groups - 3, "block": 5}
            streams = {"a": 4096, "a_pix": config.cols * groups, "param": 2048, "d": 2048 + place, "d_pix": config.cols}
            job.instructions = [{"prog": 0, "prog_len": len(job.words), **shape, **streams}]
            job.stall = (0, 0, 200, 0, 0) if pixels == 1 else vpu_jobs.random_stall(rng)  # a fetch is slow
            jobs.append(job)
    check(jobs, config, tmp_path)


@pytest.mark.parametrize("config", [TINY, SPLIT, CONFIGS["paper"]], ids=lambda c: c.name)
def test_row_sums_of_the_largest(config: ChipConfig, tmp_path: Path) -> None:
    """All lanes at one end of int16, or at both in turns: random lanes never add up to as many bits."""
    groups, pixels = 3, 4
    job = vpu_jobs.fresh(np.random.default_rng(13), config)
    summed = {"src_a": SourceA.ACC, "lo": -32768, "hi": 32767, "reduce": Reduce.SUM, "rs_d": 1}
    told = {**SIMPLE, "addend": Addend.ROW, "rs_a": 1, "z_s": 8, "lo": -32768, "hi": 32767, "dst": Destination.INT16}
    job.words = [summed, told]
    streams = {"a": 0, "d": 2048, "d_pix": 2 * config.cols * groups, "param": 4096}
    job.instructions = [
        {"prog": 0, "prog_len": 2, "h": 1, "w": pixels, "n": config.cols * groups - 1, "block": pixels, **streams}
    ]  # fmt: skip
    rows = np.zeros((pixels, groups, config.cols), np.int32)
    rows[0], rows[1], rows[2, 0], rows[3, ::2] = 40_000, -40_000, 40_000, -40_000
    job.rows = rows.reshape(-1, config.cols)
    check([job], config, tmp_path)


def test_classes_name_the_port_that_stalls(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    for port, stalled in ((1, SPAD), (2, PARAM), (3, SPAD), (4, ACC)):
        job = stream_job(rng, 64, 56, 8)
        stall = [0] * 5
        stall[port] = 250
        job.stall = (stall[0], stall[1], stall[2], stall[3], stall[4])
        (got,) = check([job], TINY, tmp_path)
        assert np.argmax(got.classes) == stalled, got.classes


def trap_jobs(rng: Generator) -> list[tuple[Trap, Job]]:
    """One thing wrong at a time."""
    size, lanes = TINY.spad_bytes, TINY.cols

    def job(word: Word, **fields: int) -> Job:
        out = stream_job(rng, 24, 20, 8)
        out.words[0] = {**out.words[0], **word}
        out.instructions[0] |= fields
        out.stall = vpu_jobs.random_stall(rng)
        return out

    spad: Word = {"src_a": SourceA.SPAD}
    scalar: Word = {"kind": Kind.SCALAR, "addend": Addend.NONE, "mul": Multiply.NONE, "side": Side.NONE}
    illegal: list[Word] = [
        {"mul": 6}, {"mul": 7}, {"mul": Multiply.B, "fn": Function.GELU}, {"fn": 5}, {"fn": 7},
        {"mul": Multiply.B, "side": Side.NONE, "fmt_b": Format.INT16},
        {"side": Side.MAX_B, "fmt_b": Format.INT16}, {"reduce": 3}, {"fn": Function.RECIP},
        {"fn": Function.RSQRT}, {**spad, "fmt_a": Format.INT16}, {"fmt_b": Format.INT16},
        {**scalar, "addend": Addend.BIAS}, {**scalar, "addend": Addend.ROW}, {**scalar, "mul": Multiply.PARAM},
        {**scalar, "mul": Multiply.ROW}, {**scalar, "mul": Multiply.SQUARE}, {**scalar, "fn": Function.EXP2N},
        {**scalar, "fn": Function.GELU}, {**scalar, "mul": Multiply.B},
    ]  # fmt: skip
    legal: list[Word] = [
        {"fmt_a": Format.INT16}, {"fmt_b": Format.INT16, "side": Side.NONE},
        {**scalar, "fmt_a": Format.INT16, "src_a": SourceA.SPAD, "dst": Destination.INT16},
        {**scalar, "addend": Addend.IMM, "mul": Multiply.IMM, "fn": Function.RSQRT},
    ]  # fmt: skip
    last = size - lanes * 3
    return [
        *((Trap.ILLEGAL_FIELD, job(word)) for word in illegal),
        *((Trap.NONE, job(word)) for word in legal),
        (Trap.ALIGNMENT, job({}, b=lanes // 2)),
        (Trap.ALIGNMENT, job({}, b_pix=lanes // 2)),
        (Trap.ALIGNMENT, job(spad, a=lanes // 2)),
        (Trap.ALIGNMENT, job({}, d=lanes // 2)),
        (Trap.ALIGNMENT, job({"dst": Destination.INT16}, d=lanes)),
        (Trap.NONE, job({"dst": Destination.NIBBLE}, d=lanes // 2)),
        (Trap.NONE, job({"fmt_b": Format.TABLE4}, b=lanes // 2)),
        (Trap.NONE, job({}, a=lanes // 2)),
        (Trap.NONE, job({}, b=last, b_pix=0)),
        (Trap.RANGE, job({}, b=last + lanes, b_pix=0)),
        (Trap.RANGE, job(spad, a=size - 24 * 24 + 8)),
        (Trap.NONE, job(spad, a=size - 24 * 24)),
        (Trap.RANGE, job({}, d=size - 24 * 24 + 8)),
        (Trap.NONE, job({}, d=size - 24 * 24)),
        (Trap.NONE, job({}, param=size - 64 * 3)),
        (Trap.RANGE, job({}, param=size - 64 * 3 + 16)),
        (Trap.RANGE, job({}, param=(1 << 24) - 16)),
        (Trap.RANGE, job({}, d=(1 << 24) - 8)),
        (Trap.RANGE, job({}, h=24, w=1, d_row=(1 << 24) - 16)),
        (Trap.RANGE, job({}, d_pix=(1 << 20) - 16)),
    ]


def test_traps(tmp_path: Path) -> None:
    wanted = trap_jobs(np.random.default_rng(10))
    for (trap, job), seen in zip(wanted, check([j for _, j in wanted], TINY, tmp_path), strict=True):
        assert seen.trap is trap, (job.words, job.instructions)
