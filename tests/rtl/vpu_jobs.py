"""Jobs for the vector engine's benches: a scratchpad, tables, a program, instructions, accumulator rows; and what the
golden machine makes of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tests.rtl.parts import blocks, in_parts
from triptych.golden.quartdepth.chip import machine_vpu
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Format,
    Function,
    Kind,
    Multiply,
    Opcode,
    Reduce,
    Side,
    SourceA,
    Trap,
)
from triptych.golden.quartdepth.chip.program import TrapError, named
from triptych.golden.quartdepth.chip.state import ChipState, Rows

Word = dict[str, int]
FULL = {"lo": -32768, "hi": 32767}
VECTOR_FUNCTIONS = (Function.IDENT, Function.EXP2N, Function.GELU)
SCALAR_FUNCTIONS = (Function.IDENT, Function.RECIP, Function.RSQRT)
ONE_CLASS = 7  # classes of a cycle


@dataclass
class Job:
    """What one job starts from. stall: chances in 1/256 that a, b, p, w are not granted, that no row is offered."""

    spad: NDArray[np.uint8]
    tables: NDArray[np.uint8]
    words: list[Word]
    instructions: list[Word]
    rows: NDArray[np.int32]
    stall: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    seed: int = 1


@dataclass
class Outcome:
    """What must come out: the first trap (NONE: all retired), signatures, the scratchpad."""

    trap: Trap
    spad: NDArray[np.uint8]
    signatures: list[int] = field(default_factory=list)
    parts_taken: int = 0


def golden(job: Job, config: ChipConfig) -> Outcome:
    """The golden machine's outcome."""
    state = ChipState(config)
    state.spad[:] = job.spad
    state.tables[:] = job.tables
    image = b"".join(Microword(word).encode() for word in job.words)
    state.prog[: len(image)] = np.frombuffer(image, dtype=np.uint8)
    if len(job.rows):
        state.rows.put(Rows(job.rows.reshape(len(job.rows), 1, config.cols), block=len(job.rows)))
    signatures = []
    trap = Trap.NONE
    for fields in job.instructions:
        try:
            writes = machine_vpu.vector(state, named(Instruction(Opcode.VECTOR, fields)))
        except TrapError as error:
            trap = error.cause
            break
        signatures.append(sum(w.signature() for w in writes) & 0xFFFFFFFF)
    return Outcome(trap, state.spad, signatures, state.rows.taken * config.cols // config.lanes)


def program_image(job: Job, config: ChipConfig) -> bytes:
    """The program store's bytes."""
    image = b"".join(Microword(word).encode() for word in job.words)
    return image.ljust(32 * config.prog_words, b"\0")


def parts(job: Job, config: ChipConfig) -> NDArray[np.int32]:
    """The job's accumulator rows as the engine takes them."""
    counts = [
        count
        for i in job.instructions
        for count in blocks(i["h"] * i["w"], i["block"])
        for word in job.words[i["prog"] : i["prog"] + i["prog_len"]]
        if word.get("kind", Kind.VECTOR) == Kind.VECTOR and word.get("src_a", SourceA.ACC) == SourceA.ACC
        for _ in range(-(-i["n"] // config.cols))
    ]
    return in_parts(job.rows, counts if sum(counts) <= len(job.rows) else [], config.lanes)


def pack(jobs: list[Job], config: ChipConfig) -> bytes:
    """The file that vpu_bench.cpp reads."""
    out = [struct.pack("<I", len(jobs))]
    for job in jobs:
        rows = parts(job, config)
        out.append(struct.pack("<8I", job.seed, *job.stall, len(job.instructions), len(rows)))
        out.append(program_image(job, config))
        out.append(job.tables.tobytes())
        out.append(job.spad.tobytes())
        out += [Instruction(Opcode.VECTOR, fields).encode() for fields in job.instructions]
        out.append(rows.astype("<i4").tobytes())
    return b"".join(out)


@dataclass
class Seen:
    """What the bench saw of one job."""

    status: int  # 0 all retired, 1 fault, 2 out of time
    trap: Trap
    parts_taken: int
    cycles: int
    classes: list[int]
    signatures: list[int]
    spad: NDArray[np.uint8]


def unpack(path: Path, jobs: list[Job], config: ChipConfig) -> list[Seen]:
    """Reads the file that vpu_bench.cpp wrote."""
    data = path.read_bytes()
    at = 0
    seen = []
    for _ in jobs:
        status, trap, retired, rows, cycles, *classes = struct.unpack_from(f"<{5 + ONE_CLASS}I", data, at)
        at += 4 * (5 + ONE_CLASS)
        signatures = list(struct.unpack_from(f"<{retired}I", data, at))
        at += 4 * retired
        spad = np.frombuffer(data, dtype=np.uint8, count=config.spad_bytes, offset=at)
        at += config.spad_bytes
        seen.append(Seen(status, Trap(trap), rows, cycles, classes, signatures, spad))
    assert at == len(data)
    return seen


def difference(want: Outcome, got: Seen) -> str:
    """In words, how the two differ; empty when they do not."""
    if got.status == 2:
        return f"never ended: {got}"
    if want.trap is not got.trap:
        return f"trap {got.trap.name}, golden {want.trap.name}"
    if sum(got.classes) != got.cycles:
        return f"classes {got.classes} do not sum to {got.cycles} cycles"
    if want.trap is not Trap.NONE:
        return ""
    wrong = np.flatnonzero(want.spad != got.spad)
    if len(wrong):
        at = int(wrong[0])
        return f"{len(wrong)} bytes differ, first {at:#x}: {got.spad[at]:#x}, golden {want.spad[at]:#x}"
    if want.signatures != got.signatures:
        return f"signatures {got.signatures}, golden {want.signatures}"
    if want.parts_taken != got.parts_taken:
        return f"{got.parts_taken} parts of rows taken, golden {want.parts_taken}"
    return ""


# -- Random jobs ---------------------------------------------------------------------------------------------------


def random_tables(rng: Generator, config: ChipConfig) -> NDArray[np.uint8]:
    """Random entries, rising random thresholds (some close together, some equal)."""
    out = np.zeros((config.tables, 64), dtype=np.uint8)
    for table in out:
        spread = int(rng.choice([4, 200, 32767]))
        table[:16] = rng.integers(0, 256, 16)
        table[16:46] = np.sort(rng.integers(-spread - 1, spread + 1, 15)).astype("<i2").view(np.uint8)
    return out.reshape(-1)


def random_parameters(rng: Generator, count: int) -> NDArray[np.uint8]:
    """`count` parameters of all sizes, shifts beyond 47 among them."""
    out = np.zeros(count, dtype=[("bias", "<i4"), ("mult", "<i2"), ("shift", "u1"), ("zero", "i1")])
    out["bias"] = rng.integers(-(1 << 31), 1 << 31, count) >> rng.integers(0, 32, count)
    out["mult"] = rng.integers(-(1 << 15), 1 << 15, count)
    out["shift"] = np.where(rng.random(count) < 0.9, rng.integers(0, 40, count), rng.integers(0, 256, count))
    out["zero"] = rng.integers(-128, 128, count)
    return out.view(np.uint8)


def random_clamp(rng: Generator) -> Word:
    """Mostly wide, sometimes narrow, now and then upside down."""
    if rng.random() < 0.5:
        return dict(FULL)
    lo, hi = (int(v) for v in rng.integers(-32768, 32768, 2))
    return {"lo": min(lo, hi), "hi": max(lo, hi)} if rng.random() < 0.9 else {"lo": lo, "hi": hi}


def pick(rng: Generator, members: Any) -> int:
    """One of an enumeration's members."""
    return int(rng.choice([int(m) for m in members]))


def random_shift(rng: Generator) -> int:
    """Signed seven bits, mostly such that something is left."""
    return int(rng.integers(0, 32)) if rng.random() < 0.85 else int(rng.integers(-64, 64))


def random_word(rng: Generator, sources: tuple[SourceA, ...]) -> Word:
    """A legal VECTOR microword that does not reduce into a row scalar that it reads."""
    rs_a, rs_m = (int(v) for v in rng.integers(0, 4, 2))
    mul = pick(rng, Multiply)
    return {
        "kind": Kind.VECTOR,
        "src_a": pick(rng, sources),
        "fmt_a": pick(rng, (Format.INT8, Format.UINT4, Format.TABLE4)),
        "table_a": int(rng.integers(0, 8)),
        "a_shl": int(rng.integers(0, 16)),
        "addend": pick(rng, Addend),
        "rs_a": rs_a,
        "imm_add": int(rng.integers(-(1 << 31), 1 << 31)) >> int(rng.integers(0, 32)),
        "mul": mul,
        "rs_m": rs_m,
        "imm_m": int(rng.integers(-(1 << 15), 1 << 15)),
        "imm_s": random_shift(rng),
        "fn": int(Function.IDENT) if mul == Multiply.B else pick(rng, VECTOR_FUNCTIONS),
        "side": pick(rng, Side),
        "fmt_b": pick(rng, (Format.INT8, Format.UINT4, Format.TABLE4)),
        "table_b": int(rng.integers(0, 8)),
        "b_add": int(rng.integers(-(1 << 15), 1 << 15)) >> int(rng.integers(0, 16)),
        "b_m": int(rng.integers(-(1 << 15), 1 << 15)),
        "b_s": int(rng.integers(0, 24)) if rng.random() < 0.85 else int(rng.integers(0, 64)),
        "z_s": int(rng.integers(0, 16)) >> int(rng.integers(0, 5)),
        "zp_param": int(rng.integers(0, 2)),
        "out_add": int(rng.integers(-(1 << 15), 1 << 15)) >> int(rng.integers(0, 16)),
        **random_clamp(rng),
        "encode": int(rng.integers(0, 2)),
        "table_e": int(rng.integers(0, 8)),
        "dst": pick(rng, Destination),
        "reduce": pick(rng, Reduce),
        "rs_d": pick(rng, sorted({0, 1, 2, 3} - {rs_a, rs_m})),
    }


def random_scalar(rng: Generator) -> Word:
    """A legal SCALAR microword; fields that it does not use are random."""
    return random_word(rng, tuple(SourceA)) | {
        "kind": Kind.SCALAR,
        "addend": pick(rng, (Addend.NONE, Addend.IMM)),
        "mul": pick(rng, (Multiply.NONE, Multiply.IMM)),
        "fn": pick(rng, SCALAR_FUNCTIONS),
        "rs_d": int(rng.integers(0, 4)),
    }


def first_words(rng: Generator) -> list[Word]:
    """Four microwords that give every row scalar a value."""
    return [
        {"kind": Kind.VECTOR, "src_a": SourceA.SPAD, "a_shl": int(rng.integers(0, 8)), **FULL,
         "addend": Addend.IMM, "imm_add": int(rng.integers(-9, 9)), "reduce": Reduce.SUM, "rs_d": scalar}
        for scalar in range(4)
    ]  # fmt: skip


def place(rng: Generator, name: str, base: int, size: int, h: int, w: int, length: int, unit: int) -> Word:
    """Strides of one stream in `size` bytes at `base`: rows of pixels, or columns of them, with gaps."""
    room = max(0, size // (h * w) - length) // unit
    gap = unit * int(rng.integers(0, min(room, 4) + 1))
    step = -(-length // unit) * unit + gap
    pix, row = (step, step * w) if rng.random() < 0.6 else (step * h, step)
    slack = (size - (h * w - 1) * step - length) // unit
    assert slack >= 0
    return {name: base + unit * int(rng.integers(0, slack + 1)), f"{name}_pix": pix, f"{name}_row": row}


def random_instruction(rng: Generator, config: ChipConfig, words: list[Word], prog: int) -> Word:
    """A VECTOR for `words`: A, B, D and the parameters each in a quarter of the scratchpad, now and then in place."""
    c = config.cols
    quarter = config.spad_bytes // 4
    n = int(rng.choice([1, 2, 3, 5, 7, c - 1, c, c + 1, 2 * c, 13, 29, 3 * c + 1, int(rng.integers(1, 8 * c))]))
    groups = -(-n // c)
    most = min(quarter // (2 * c * groups), 3 * config.rows)
    h = int(rng.integers(1, min(12, most) + 1))
    w = int(rng.integers(1, max(1, min(12, most // h)) + 1))
    block = int(rng.choice([1, 2, 3, config.rows, int(rng.integers(1, config.rows + 1))]))
    wide = {f for word in words for f in (word.get("fmt_a", 0), word.get("fmt_b", 0))}
    unit = c if Format.INT8 in wide else c // 2
    unit_d = {Destination.INT16: 2 * c, Destination.INT8: c, Destination.NIBBLE: c // 2, Destination.NONE: c}
    d_unit = max(unit_d[Destination(word.get("dst", 0))] for word in words)
    fields = {"prog": prog, "prog_len": len(words), "h": h, "w": w, "n": n, "block": block}
    fields |= place(rng, "a", 0, quarter, h, w, c * groups, unit)
    fields |= place(rng, "b", quarter, quarter, h, w, c * groups, unit)
    fields |= place(rng, "d", 2 * quarter, quarter, h, w, 2 * c * groups, d_unit)
    word = words[0]
    coded = word.get("fmt_a") in (Format.UINT4, Format.TABLE4)
    in_place = word.get("dst") == Destination.NIBBLE or (word.get("dst") == Destination.INT8 and not coded)
    if len(words) == 1 and in_place and rng.random() < 0.5:
        fields |= {"d": fields["a"], "d_pix": fields["a_pix"], "d_row": fields["a_row"]}
    elif rng.random() < 0.15:
        fields |= {"b_pix": 0, "b_row": 0}  # one row of B for every pixel
    room = quarter - 8 * c * groups
    fields["param"] = 3 * quarter + config.depth * int(rng.integers(0, room // config.depth + 1))
    return fields


def random_stall(rng: Generator) -> tuple[int, int, int, int, int]:
    """None, some or many stalls, by port."""
    level = [0, 0, 64, 160, 230]
    a, b, p, w, rows = (int(rng.choice(level)) for _ in range(5))
    return a, b, p, w, rows


def rows_for(words: list[Word], fields: Word, cols: int) -> int:
    """Accumulator rows that a VECTOR of these microwords takes."""
    turns = sum(word["kind"] == Kind.VECTOR and word["src_a"] == SourceA.ACC for word in words)
    return turns * fields["h"] * fields["w"] * -(-fields["n"] // cols)


def fresh(rng: Generator, config: ChipConfig) -> Job:
    """A job without work: random memories and, in its first four microwords and first instruction, row scalars."""
    quarter = config.spad_bytes // 4
    spad = rng.integers(0, 256, config.spad_bytes).astype(np.uint8)
    spad[3 * quarter :] = random_parameters(rng, quarter // 8)
    first = {"prog": 0, "prog_len": 4, "h": 1, "w": config.rows, "n": config.cols, "block": config.rows,
             "a_pix": config.cols}  # fmt: skip
    return Job(spad, random_tables(rng, config), first_words(rng), [first], np.zeros((0, config.cols), np.int32),
               random_stall(rng), int(rng.integers(1, 1 << 31)))  # fmt: skip


def random_job(rng: Generator, config: ChipConfig, count: int = 4) -> Job:
    """`count` random instructions of one to four microwords behind one that sets the row scalars."""
    job = fresh(rng, config)
    rows = 0
    for _ in range(count):
        size = int(rng.choice([1, 1, 2, 3, 4]))
        words = [random_scalar(rng) if rng.random() < 0.2 else random_word(rng, tuple(SourceA)) for _ in range(size)]
        fields = random_instruction(rng, config, words, len(job.words))
        if len(job.words) + size > config.prog_words:
            break
        job.words += words
        job.instructions.append(fields)
        rows += rows_for(words, fields, config.cols)
    job.rows = (rng.integers(-(1 << 31), 1 << 31, (rows, config.cols)) >> rng.integers(0, 24)).astype(np.int32)
    return job
