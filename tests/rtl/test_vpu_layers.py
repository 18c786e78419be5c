"""Programs of real layers, and loops and addresses of every magnitude, on the vector engine and the golden machine."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.rtl import vpu_jobs
from tests.rtl.vpu_jobs import FULL, Seen, Word
from tests.rtl.vpu_kit import TINY, check, layer_job
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


def layer_result(seen: Seen, n: int, pixels: int) -> NDArray[np.int8]:
    groups = -(-n // TINY.cols)
    out = seen.spad[TINY.spad_bytes // 2 :][: pixels * groups * TINY.cols].view(np.int8)
    return out.reshape(pixels, -1)[:, :n]


def layer_norm(n: int) -> list[Word]:
    """Mean in Q6, sum of squares of the centred row, RSQRT, product: int8 in units of 1/32 standard deviation."""
    centre: Word = {"src_a": SourceA.SPAD, "a_shl": 6, "addend": Addend.ROW, "rs_a": 1, **FULL}
    mean: Word = {"kind": Kind.SCALAR, "mul": Multiply.IMM, "imm_m": round((1 << 14) / n), "imm_s": 8}
    return [
        {"src_a": SourceA.SPAD, "reduce": Reduce.SUM, "rs_d": 0, **FULL},
        {**mean, "rs_a": 0, "rs_d": 1},
        {**centre, "mul": Multiply.SQUARE, "imm_s": 12, "reduce": Reduce.SUM, "rs_d": 2},
        {**mean, "rs_a": 2, "fn": Function.RSQRT, "rs_d": 3},
        {**centre, "mul": Multiply.ROW, "rs_m": 3, "imm_s": -2, "dst": Destination.INT8, "lo": -128, "hi": 127},
    ]


SHAPES = {
    "8,191 channels": {"n": 8191}, "560 channels": {"n": 560, "w": 3, "block": 2}, "a row of 65,535": {"w": 65535},
    "65,535 rows": {"h": 65535}, "65,600 pixels": {"h": 1025, "w": 64},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_loops_of_every_magnitude(name: str, tmp_path: Path) -> None:
    """As many groups, pixels, rows as the fields can name: accumulators in, each with its own parameters, A and B."""
    rng = np.random.default_rng(12)
    word: Word = {"src_a": SourceA.ACC, "addend": Addend.BIAS, "mul": Multiply.PARAM, "side": Side.ADD_B, "b_m": 77,
                  "b_s": 6, "zp_param": 1, "lo": -128, "hi": 127, "dst": Destination.INT8}  # fmt: skip
    shape = {"h": 1, "w": 1, "n": 1, "block": TINY.rows} | SHAPES[name]
    job = vpu_jobs.fresh(rng, TINY)
    # The addresses stay on one spot where the loops are long.
    strides = {"b_pix": TINY.cols, "d_pix": TINY.cols} if shape["h"] * shape["w"] < 100 else {}
    if shape["n"] == 8191:  # parameters of so many groups do not fit
        word |= {"addend": Addend.NONE, "mul": Multiply.NONE, "zp_param": 0}
        strides["d"] = TINY.spad_bytes // 2  # B and D are half of it each
    job.words, job.stall = [word], (0, 0, 0, 0, 0)
    job.instructions = [
        {"prog": 0, "prog_len": 1, **shape, "b": 0, "d": TINY.spad_bytes // 4, "param": TINY.spad_bytes // 2, **strides}
    ]  # fmt: skip
    rows = shape["h"] * shape["w"] * -(-shape["n"] // TINY.cols)
    job.rows = rng.integers(-40000, 40000, (rows, TINY.cols)).astype(np.int32)
    check([job], TINY, tmp_path)


def test_addresses_of_every_magnitude(tmp_path: Path) -> None:
    """A second row or pixel, or parameters, at every power of two beyond the scratchpad trap."""
    rng = np.random.default_rng(13)
    word: Word = {"src_a": SourceA.SPAD, "addend": Addend.BIAS, "side": Side.ADD_B, "dst": Destination.INT8}
    jobs = []
    bits = {"row": 24, "pix": 20, "": 24}
    for stream, (way, most) in product("abd", bits.items()):
        for k in range(TINY.spad_bytes.bit_length() - 1, most):
            job = layer_job(rng, [word], 8, 1, 1, np.zeros((1, 8), np.int8))
            job.instructions[0] |= {"h": 1 + (way == "row"), "w": 1 + (way == "pix"), "b": 64}
            job.instructions[0][f"{stream}_{way}" if way else stream] = 1 << k
            jobs.append(job)
    for k in range(TINY.spad_bytes.bit_length() - 1, 24):
        job = layer_job(rng, [word], 8, 1, 1, np.zeros((1, 8), np.int8))
        jobs.append(job)
        job.instructions[0]["param"] = 1 << k
    for seen in check(jobs, TINY, tmp_path):
        assert seen.trap is Trap.RANGE


def test_layer_norm(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n, pixels = 45, 37
    data = rng.normal(rng.normal(0, 20, (pixels, 1)), 25, (pixels, n)).clip(-128, 127).astype(np.int8)
    jobs = [layer_job(rng, layer_norm(n), n, pixels, block, data) for block in (1, 5, TINY.rows)]
    for seen in check(jobs, TINY, tmp_path):
        x = data.astype(float)
        want = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * 32
        assert np.abs(layer_result(seen, n, pixels) - want.clip(-128, 127)).max() < 1.5


def test_two_maps(tmp_path: Path) -> None:
    """The larger of A and B and their product, B its own pixel's or the same for all, in every format."""
    rng = np.random.default_rng(7)
    n, pixels, half = 29, 11, TINY.spad_bytes // 4
    jobs = []
    for fmt, pix, add in product((Format.INT8, Format.UINT4, Format.TABLE4), (0, 32), (-5, 32700, -32700)):
        data = rng.integers(-128, 128, (pixels, n)).astype(np.int8)
        second: Word = {"src_a": SourceA.SPAD, "fmt_b": fmt, "table_b": 3, "b_add": add, "dst": Destination.INT8}
        second |= {"b_m": 61, "b_s": 5, "lo": -128, "hi": 127}
        for word in (
            {"side": Side.MAX_B},
            {"side": Side.ADD_B, "mul": Multiply.B, "imm_s": 6},
            {"mul": Multiply.B, "imm_s": 15},
        ):
            job = layer_job(rng, [second | word], n, pixels, 4, data)
            job.instructions[0] |= {"b": half, "b_pix": pix}
            jobs.append(job)
    for job, seen in zip(jobs, check(jobs, TINY, tmp_path), strict=True):
        word = job.words[0]
        if (word["fmt_b"], word["b_add"], word.get("side")) == (Format.INT8, -5, Side.MAX_B):
            pix = job.instructions[0]["b_pix"]
            b = np.stack([job.spad[half + p * pix :][:n].view(np.int8) for p in range(pixels)]).astype(int)
            a = np.stack([job.spad[p * 32 :][:n].view(np.int8) for p in range(pixels)]).astype(int)
            want = np.maximum(a, ((b - 5) * 61 + 16) >> 5)
            assert (layer_result(seen, n, pixels) == want.clip(-128, 127)).all()


def test_softmax(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    n, pixels = 29, 21
    data = rng.integers(-128, 128, (pixels, n)).astype(np.int8)
    logits: Word = {"src_a": SourceA.SPAD, "addend": Addend.ROW, "rs_a": 0, **FULL}
    exponent: Word = {**logits, "mul": Multiply.IMM, "imm_m": 92, "fn": Function.EXP2N, "side": Side.SCALE_F, "b_m": 1}
    words: list[Word] = [
        {"src_a": SourceA.SPAD, "reduce": Reduce.MAX, "rs_d": 0, **FULL},
        {**exponent, "b_s": 8, "reduce": Reduce.SUM, "rs_d": 1},
        {"kind": Kind.SCALAR, "rs_a": 1, "fn": Function.RECIP, "rs_d": 2},
        {**exponent, "b_s": 8, "dst": Destination.INT8},
    ]
    (seen,) = check([layer_job(rng, words, n, pixels, 8, data)], TINY, tmp_path)
    x = data.astype(float)
    want = np.exp2((x - x.max(1, keepdims=True)) * 92 / 1024) * 128
    assert np.abs(layer_result(seen, n, pixels).view(np.uint8) - want).max() <= 1


def test_a_block_sees_the_row_scalars_of_the_one_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    step: Word = {"kind": Kind.SCALAR, "rs_a": 2, "rs_d": 2, "mul": Multiply.IMM, "imm_m": 3 << 13, "imm_s": 14}
    show: Word = {"src_a": SourceA.SPAD, "addend": Addend.ROW, "rs_a": 2, "dst": Destination.INT16, **FULL}
    jobs = []
    for block in (1, 3, TINY.rows):
        job = vpu_jobs.fresh(rng, TINY)
        common = {"h": 1, "w": 5 * block, "n": 1, "block": block}
        job.instructions.append({"prog": 4, "prog_len": 1, **common})
        job.instructions.append({"prog": 5, "prog_len": 1, **common, "d": TINY.spad_bytes // 2, "d_pix": 2 * TINY.cols})
        job.words += [step, show]
        jobs.append(job)
    check(jobs, TINY, tmp_path)
