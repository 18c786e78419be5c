"""Jobs for the matrix engine's bench: a scratchpad, code tables, MATMULs; and what the golden machine makes of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tests.rtl.parts import blocks, in_parts
from triptych.golden.quartdepth.arithmetic.numerics import signature
from triptych.golden.quartdepth.chip import machine_mxu
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ActFormat, Opcode, Trap, WeightFormat
from triptych.golden.quartdepth.chip.program import TrapError, decode, named
from triptych.golden.quartdepth.chip.state import ChipState

Fields = dict[str, int]
CLASSES = 7
ACTIVE, EMPTY, TOKEN, WEIGHTS, ACC, SPAD, FILL = range(CLASSES)


@dataclass
class Job:
    """What one job starts from. stall: chances in 1/256 that the stream and the weights are not granted, that nobody
    takes a row, that no instruction is offered."""

    spad: NDArray[np.uint8]
    tables: NDArray[np.uint8]
    instructions: list[Fields]
    stall: tuple[int, int, int, int] = (0, 0, 0, 0)
    seed: int = 1


@dataclass
class Outcome:
    """What must come out, or came out: parts (n, lanes) of rows in the order of handing over, the signatures of what
    retired, the trap (NONE: all retired). cycles and classes are zero and empty in the golden machine's."""

    trap: Trap
    rows: NDArray[np.int32]
    signatures: list[int] = field(default_factory=list)
    cycles: int = 0
    classes: list[int] = field(default_factory=list)


def golden(job: Job, config: ChipConfig) -> Outcome:
    """The golden machine's outcome."""
    state = ChipState(config)
    state.spad[:] = job.spad
    state.tables[:] = job.tables
    rows, signatures = [np.zeros((0, config.lanes), np.int32)], []
    for fields in job.instructions:
        try:
            values = machine_mxu.matmul(state, named(Instruction(Opcode.MATMUL, fields))).in_order()
        except TrapError as error:
            return Outcome(error.cause, np.concatenate(rows), signatures)
        signatures.append(signature(values, np.arange(values.size).reshape(values.shape)))
        tiles = -(-fields["n"] // config.cols)
        counts = np.repeat(blocks(fields["out_h"] * fields["out_w"], fields["block"]), tiles)
        rows.append(in_parts(values, counts.tolist(), config.lanes))
    return Outcome(Trap.NONE, np.concatenate(rows), signatures)


def pack(jobs: list[Job], expected: list[Outcome]) -> bytes:
    """The file that mxu_bench.cpp reads."""
    out = [struct.pack("<I", len(jobs))]
    for job, outcome in zip(jobs, expected, strict=True):
        out.append(struct.pack("<7I", job.seed, *job.stall, len(job.instructions), len(outcome.rows)))
        out += [job.tables.tobytes(), job.spad.tobytes()]
        out += [Instruction(Opcode.MATMUL, fields).encode() for fields in job.instructions]
    return b"".join(out)


def unpack(path: Path, count: int, config: ChipConfig) -> list[Outcome]:
    """Reads the file that mxu_bench.cpp wrote."""
    words = np.fromfile(path, dtype="<u4")
    seen, at = [], 0
    for _ in range(count):
        cause, retired, rows, cycles, *classes = words[at : at + 4 + CLASSES].tolist()
        at += 4 + CLASSES
        signatures = words[at : at + retired].tolist()
        at += retired
        values = words[at : at + rows * config.lanes].view(np.int32).reshape(rows, config.lanes)
        at += rows * config.lanes
        seen.append(Outcome(Trap(cause), values, signatures, cycles, classes))
    return seen


def difference(expected: Outcome, seen: Outcome, config: ChipConfig) -> str:
    """The first difference in words, empty when there is none. Rows of a job that trapped need not all have left."""
    if seen.trap != expected.trap:
        return f"trap {seen.trap.name}, golden {expected.trap.name}"
    count = min(len(seen.rows), len(expected.rows))
    if expected.trap is Trap.NONE and len(seen.rows) != len(expected.rows):
        return f"{len(seen.rows)} rows, golden {len(expected.rows)}"
    wrong = np.argwhere(seen.rows[:count] != expected.rows[:count])
    if len(wrong):
        row, column = wrong[0]
        return (
            f"row {row} column {column}: {seen.rows[row, column]}, golden {expected.rows[row, column]}"
            f" ({len(wrong)} of {seen.rows.size} words differ)"
        )
    if seen.signatures != expected.signatures:
        return f"signatures {seen.signatures}, golden {expected.signatures}"
    return "" if sum(seen.classes) == seen.cycles else "classes do not sum to the cycles"


def extent(fields: Fields, config: ChipConfig) -> tuple[int, int]:
    """Bytes from `act` and from `wgt` on that a MATMUL may touch, at most."""
    f = fields
    act = (f["in_h"] - 1) * f["act_row"] + (f["in_w"] - 1) * f["act_pix"] + f["chunks"] * config.depth
    steps = f["kernel_h"] * f["kernel_w"] * f["chunks"]
    tiles = -(-f["n"] // config.cols)
    wgt = tiles * f["wgt_n"] + steps * f["wgt_t"] + (config.depth + 1) * f["wgt_c"] + config.depth
    return act, wgt


def random_matmul(rng: Generator, config: ChipConfig, **fixed: int) -> Fields:
    """A legal MATMUL inside the scratchpad; sizes favour 1, primes and tails. fixed: fields to set."""
    depth, cols, rows = config.depth, config.cols, config.rows

    def size(high: int) -> int:
        """1..high, small ones and the bounds more often."""
        return int(rng.choice([1, rng.integers(1, high + 1), rng.integers(1, min(high, 4) + 1), high]))

    while True:
        depthwise = fixed.get("depthwise", int(rng.random() < 0.3))
        weight = fixed.get("weight_format", WeightFormat.INT4 if depthwise else int(rng.integers(3)))
        acts = list(ActFormat) if depthwise or weight == WeightFormat.INT4 else [ActFormat.INT8]
        transpose = fixed.get("transpose", int(weight != WeightFormat.INT4 and rng.random() < 0.5))
        unit = cols if transpose else depth
        n = int(rng.choice([1, cols - 1, cols, cols + 1, 2 * cols, rng.integers(1, 4 * cols)]))
        kernel = [3, 3] if depthwise else [size(4), size(4)]
        f: Fields = {
            "act_format": int(rng.choice(acts)),
            "weight_format": weight,
            "depthwise": depthwise,
            "transpose": transpose,
            "code_table": int(rng.integers(config.tables)),
            "pad_value": int(rng.integers(256)),
            "in_h": size(9),
            "in_w": size(9),
            "pad_top": int(rng.integers(5)) if rng.random() < 0.7 else int(rng.integers(16)),
            "pad_left": int(rng.integers(5)) if rng.random() < 0.7 else int(rng.integers(16)),
            "kernel_h": kernel[0],
            "kernel_w": kernel[1],
            "stride_y": int(rng.choice([1, 1, 2, 3, rng.integers(1, 8)])),
            "stride_x": int(rng.choice([1, 1, 2, 3, rng.integers(1, 8)])),
            "chunks": size(4),
            "last_elems": size(depth),
            "out_h": size(8),
            "out_w": size(8),
            "block": size(rows * cols // depth if depthwise else rows),
            "n": n,
            "act_pix": depth * int(rng.integers(0, 6)),
            "act_row": depth * int(rng.integers(0, 40)),
            "wgt_n": unit * int(rng.integers(0, 30)),
            "wgt_t": unit * int(rng.integers(0, 20)),
            "wgt_c": depth * int(rng.integers(0, 4)),
        }
        f |= fixed
        if depthwise:
            f["chunks"] = -(-f["n"] // depth)
        act, wgt = extent(f, config)
        if act > config.spad_bytes or wgt > config.spad_bytes:
            continue
        f.setdefault("act", depth * int(rng.integers(0, (config.spad_bytes - act) // depth + 1)))
        f.setdefault("wgt", unit * int(rng.integers(0, (config.spad_bytes - wgt) // unit + 1)))
        decode(Instruction(Opcode.MATMUL, f).encode(), config)  # it must be legal
        return f


def steps(fields: Fields, config: ChipConfig) -> int:
    """MAC steps of a MATMUL: cycles in class `active`."""
    f = fields
    pixels, tiles = f["out_h"] * f["out_w"], -(-f["n"] // config.cols)
    if f.get("depthwise"):
        return pixels * tiles
    passes = 2 if f.get("weight_format") == WeightFormat.INT8 else 1
    return pixels * tiles * f["kernel_h"] * f["kernel_w"] * f["chunks"] * passes


def random_job(rng: Generator, config: ChipConfig, **fixed: int) -> Job:
    """A few instructions on random bytes under random stalls."""
    spad = rng.integers(0, 256, config.spad_bytes, dtype=np.uint8)
    tables = rng.integers(0, 256, config.tables * 64, dtype=np.uint8)
    instructions: list[Fields] = []
    for _ in range(int(rng.choice([1, 2, 5]))):
        f = random_matmul(rng, config, **fixed)
        while steps(f, config) > 6000:
            f = random_matmul(rng, config, **fixed)
        instructions.append(f)
    stall = tuple(int(rng.choice([0, 0, 64, 200])) for _ in range(4))
    return Job(spad, tables, instructions, stall, int(rng.integers(1, 1 << 31)))  # type: ignore[arg-type]
