"""What an instruction reads and writes, to the word: from this follow the tokens and the freedom to reorder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    MICROWORD_BYTES,
    PARAM_BYTES,
    TABLE_BYTES,
    ActFormat,
    Addend,
    Destination,
    Format,
    Kind,
    Multiply,
    Opcode,
    Reduce,
    SourceA,
    Space,
    WeightFormat,
    reads_b,
)
from triptych.golden.quartdepth.compiler.microcode import Program

Spans = NDArray[np.int64]  # [n, 2]: first words, and those behind the last ones; in order, apart from each other


class Memory(Enum):
    """Where a word lies; the value is its index in `Effects`."""

    SPAD = 0  # words of D bytes
    DRAM = 1  # words of D bytes
    PROG = 2  # microwords
    TABLE = 3  # code tables
    ROWS = 4  # registers of row scalars


@dataclass
class Effects:
    """Spans of words by memory."""

    reads: dict[Memory, Spans] = field(default_factory=dict)
    writes: dict[Memory, Spans] = field(default_factory=dict)

    @cached_property
    def bounds(self) -> tuple[dict[Memory, tuple[int, int]], ...]:
        """First word of what is read, and of what is written, and the one behind the last."""
        return tuple(
            {m: (int(s[0, 0]), int(s[-1, 1])) for m, s in spans.items()} for spans in (self.reads, self.writes)
        )

    def conflicts(self, later: Effects, rows: bool = True) -> bool:
        """True when `later` must not move ahead of this. rows: row scalars count."""
        (reads, writes), (their_reads, their_writes) = self.bounds, later.bounds
        pairs = (
            (writes, their_reads, self.writes, later.reads),
            (reads, their_writes, self.reads, later.writes),
            (writes, their_writes, self.writes, later.writes),
        )
        for mine, theirs, spans, their_spans in pairs:
            for memory, (first, last) in mine.items():
                if memory is Memory.ROWS and not rows:
                    continue
                other = theirs.get(memory)
                if other is not None and first < other[1] and other[0] < last:  # noqa: SIM102 - most end here
                    if _meet(spans[memory], their_spans[memory]):
                        return True
        return False


def _meet(a: Spans, b: Spans) -> bool:
    """Of two whose outermost words overlap."""
    if len(a) == len(b) == 1:
        return True
    few, many = (a, b) if len(a) < len(b) else (b, a)
    place = np.searchsorted(many[:, 1], few[:, 0], side="right")  # the first span that ends behind
    found = place < len(many)
    return bool((many[place[found], 0] < few[found, 1]).any())


def words_of(spans: Spans) -> NDArray[np.int64]:
    """All words, one by one."""
    lengths = spans[:, 1] - spans[:, 0]
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(spans[:, 0] - before, lengths)


def effects_of(instruction: Instruction, program: Program, config: ChipConfig) -> Effects:
    """Effects of an instruction; `program`: the microwords that a VECTOR will find."""
    match instruction.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return _copy(instruction, config)
        case Opcode.MATMUL:
            return _matmul(instruction, config)
        case Opcode.VECTOR:
            return _vector(instruction, _decoded(program), config)
    return Effects()


@cache
def _decoded(program: Program) -> tuple[Microword, ...]:
    return tuple(Microword.decode(word) for word in program)


def _union(*parts: Spans) -> Spans:
    """In order, what overlaps or touches as one."""
    if len(parts) > 1:
        ordered = sorted(parts, key=lambda p: int(p[0, 0]))
        spans = np.concatenate(ordered)
        if all(a[-1, 1] < b[0, 0] for a, b in pairwise(ordered)):
            return spans
    else:
        (spans,) = parts
    if len(spans) <= 1:
        return spans
    first = spans[:, 0]
    if (first[1:] < first[:-1]).any():
        spans = spans[np.argsort(first, kind="stable")]
    end = np.maximum.accumulate(spans[:, 1])
    apart = np.flatnonzero(spans[1:, 0] > end[:-1])
    starts, ends = np.append(0, apart + 1), np.append(apart, len(spans) - 1)
    return np.stack([spans[starts, 0], end[ends]], axis=1)


def _span(first: NDArray[np.int64], length: int, unit: int) -> Spans:
    """Words of `unit` bytes that `length` bytes from every address touch."""
    first = np.asarray(first, dtype=np.int64).reshape(-1)
    return _union(np.stack([first // unit, (first + length - 1) // unit + 1], axis=1))


@lru_cache(maxsize=1 << 12)
def _pattern(rest: int, rows: int, row: int, pixels: int, pixel: int, length: int, unit: int) -> Spans:
    """Words that `length` bytes of a grid of pixels touch which begins at byte `rest` of word 0: most instructions of a
    layer differ in where they begin alone."""
    return _span(rest + np.arange(rows)[:, None] * row + np.arange(pixels) * pixel, length, unit)


def _lines(at: int, count: int, pitch: int, length: int, unit: int) -> Spans:
    """Words that `length` bytes touch, `count` times, `pitch` bytes apart."""
    if count == 1 or 0 <= pitch <= length:
        return np.array([[at // unit, (at + (count - 1) * pitch + length - 1) // unit + 1]])
    return _pattern(at % unit, count, pitch, 1, 0, length, unit) + at // unit


Places = range | NDArray[np.int64]


def grid_words(at: int, y: Places, row: int, x: Places, pixel: int, length: int, unit: int) -> Spans:
    """Words that `length` bytes of pixels (y, x) touch, `row` and `pixel` bytes apart."""
    if isinstance(y, range) and isinstance(x, range) and (pixel <= length or len(x) == 1):  # rows without gaps
        line = (len(x) - 1) * pixel + length
        return _lines(at + y.start * row + x.start * pixel, len(y), row, line, unit)
    if isinstance(y, range) and isinstance(x, range):
        first = at + y.start * row + x.start * pixel
        return _pattern(first % unit, len(y), row, len(x), pixel, length, unit) + first // unit
    return _span(at + np.asarray(y)[:, None] * row + np.asarray(x) * pixel, length, unit)


def _each(numbers: Iterable[int]) -> Spans:
    """Words by their numbers."""
    return _span(np.array(sorted(numbers)), 1, 1)


def _copy(i: Instruction, config: ChipConfig) -> Effects:
    rows, length = i["rows"], i["row_bytes"]
    dram = _lines(i["dram"], rows, i["dram_row"], length, config.depth)
    if i.opcode is Opcode.STORE:
        return Effects({Memory.SPAD: _lines(i["spad"], rows, i["spad_row"], length, config.depth)}, {Memory.DRAM: dram})
    unit = {Space.SPAD: config.depth, Space.PROG: MICROWORD_BYTES, Space.TABLE: TABLE_BYTES}
    memory = {Space.SPAD: Memory.SPAD, Space.PROG: Memory.PROG, Space.TABLE: Memory.TABLE}
    space = Space(i["space"])
    return Effects({Memory.DRAM: dram}, {memory[space]: _lines(i["spad"], rows, i["spad_row"], length, unit[space])})


def _inside(out: int, kernel: int, stride: int, pad: int, size: int) -> Places:
    if stride <= kernel:  # no gaps
        return range(max(-pad, 0), min((out - 1) * stride + kernel - pad, size))
    place = np.unique((np.arange(out)[:, None] * stride + np.arange(kernel) - pad).reshape(-1))
    return place[(place >= 0) & (place < size)]


def _matmul(i: Instruction, config: ChipConfig) -> Effects:
    depth, cols = config.depth, config.cols
    fmt = ActFormat(i["act_format"])
    y = _inside(i["out_h"], i["kernel_h"], i["stride_y"], i["pad_top"], i["in_h"])
    x = _inside(i["out_w"], i["kernel_w"], i["stride_x"], i["pad_left"], i["in_w"])
    step = depth // 2 if i["depthwise"] and fmt is not ActFormat.INT8 else depth
    act = grid_words(i["act"], y, i["act_row"], x, i["act_pix"], i["chunks"] * step, depth)
    if i["depthwise"]:
        weights = _lines(i["wgt"], i["chunks"], i["wgt_t"], cols * depth, depth)
    else:
        steps = i["kernel_h"] * i["kernel_w"] * i["chunks"]
        paired = i["weight_format"] == WeightFormat.INT4 and fmt is ActFormat.INT8
        count = (steps + 1) // 2 if paired else steps
        tiles = np.arange(count)
        columns = np.arange(-(-i["n"] // cols))
        base = i["wgt"] + columns[:, None] * i["wgt_n"] + tiles * i["wgt_t"]
        if i["transpose"]:
            rows = np.arange(depth)
            cell = base[..., None] + rows * i["wgt_c"]
            last = (tiles == steps - 1)[:, None] & (rows >= i["last_elems"])
            weights = _span(cell[:, ~last], cols, depth)
        elif i["wgt_c"] == depth:  # a tile without gaps, and those of a column tile maybe too
            full, rest = divmod(i["n"], cols)
            parts = []
            for first, number, used in ((0, full, cols), (full, 1 if rest else 0, rest)):
                at, tile = i["wgt"] + first * i["wgt_n"], used * depth
                if number and i["wgt_t"] == tile:
                    parts.append(_lines(at, number, i["wgt_n"], count * tile, depth))
                elif number:
                    parts.append(_span(base[first : first + number], tile, depth))
            weights = _union(*parts)
        else:
            c = np.arange(cols)
            cell = base[..., None] + c * i["wgt_c"]
            exists = (columns[:, None, None] * cols + c < i["n"]) & (tiles[:, None] >= 0)
            weights = _span(cell[exists], depth, depth)
    out = Effects({Memory.SPAD: _union(act, weights)})
    if fmt is ActFormat.TABLE4:
        out.reads[Memory.TABLE] = _each([i["code_table"]])
    return out


_BITS = {Format.INT8: 8, Format.UINT4: 4, Format.TABLE4: 4, Format.INT16: 16}
_STORED = {Destination.INT8: 8, Destination.NIBBLE: 4, Destination.INT16: 16}


def _vector(i: Instruction, program: Sequence[Microword], config: ChipConfig) -> Effects:
    lanes = -(-i["n"] // config.cols) * config.cols
    tables: set[int] = set()
    reads: list[Spans] = []
    writes: list[Spans] = []

    y, x = range(i["h"]), range(i["w"])

    def stream(which: str, bits: int, elements: int) -> Spans:
        length = -(-elements * bits // 8)
        return grid_words(i[which], y, i[f"{which}_row"], x, i[f"{which}_pix"], length, config.depth)

    scalars_read: set[int] = set()  # not written by a microword before
    scalars_written: set[int] = set()
    for word in program:
        if word["kind"] == Kind.SCALAR:
            scalars_read |= {word["rs_a"]} - scalars_written
            scalars_written.add(word["rs_d"])
            continue
        if word["addend"] == Addend.ROW:
            scalars_read |= {word["rs_a"]} - scalars_written
        if word["mul"] == Multiply.ROW:
            scalars_read |= {word["rs_m"]} - scalars_written
        if word["reduce"] != Reduce.NONE:
            scalars_written.add(word["rs_d"])
        if word["src_a"] == SourceA.SPAD:
            reads.append(stream("a", _BITS[Format(word["fmt_a"])], lanes))
            if word["fmt_a"] == Format.TABLE4:
                tables.add(word["table_a"])
        if reads_b(word["kind"], word["side"], word["mul"]):
            reads.append(stream("b", _BITS[Format(word["fmt_b"])], lanes))
            if word["fmt_b"] == Format.TABLE4:
                tables.add(word["table_b"])
        if word["encode"]:
            tables.add(word["table_e"])
        if word["addend"] == Addend.BIAS or word["mul"] == Multiply.PARAM or word["zp_param"]:
            reads.append(_span(np.array([i["param"]]), lanes * PARAM_BYTES, config.depth))
        if word["dst"] != Destination.NONE:
            writes.append(stream("d", _STORED[Destination(word["dst"])], i["n"]))
    out = Effects({Memory.PROG: _span(np.array([i["prog"]]), i["prog_len"], 1)})
    if reads:
        out.reads[Memory.SPAD] = _union(*reads)
    if scalars_read:
        out.reads[Memory.ROWS] = _each(scalars_read)
    if scalars_written:
        out.writes[Memory.ROWS] = _each(scalars_written)
    if tables:
        out.reads[Memory.TABLE] = _each(tables)
    if writes:
        out.writes[Memory.SPAD] = _union(*writes)
    return out
