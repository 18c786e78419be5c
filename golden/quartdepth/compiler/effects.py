"""What an instruction reads and writes, to the word: from this follow the tokens and the freedom to reorder."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

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

Words = NDArray[np.int64]


class Memory(Enum):
    """Where a word lies; the value is its index in `Effects`."""

    SPAD = 0  # words of D bytes
    DRAM = 1  # words of D bytes
    PROG = 2  # microwords
    TABLE = 3  # code tables
    ROWS = 4  # registers of row scalars


@dataclass
class Effects:
    """Sorted unique words by memory."""

    reads: dict[Memory, Words] = field(default_factory=dict)
    writes: dict[Memory, Words] = field(default_factory=dict)

    @cached_property
    def spans(self) -> tuple[dict[Memory, tuple[int, int]], ...]:
        """First and last word of what is read, and of what is written."""
        return tuple({m: (int(w[0]), int(w[-1])) for m, w in words.items()} for words in (self.reads, self.writes))

    def conflicts(self, later: Effects) -> bool:
        """True when `later` must not move ahead of this."""
        (reads, writes), (their_reads, their_writes) = self.spans, later.spans
        pairs = (
            (writes, their_reads, self.writes, later.reads),
            (reads, their_writes, self.reads, later.writes),
            (writes, their_writes, self.writes, later.writes),
        )
        for mine, theirs, words, their_words in pairs:
            for memory, (first, last) in mine.items():
                other = theirs.get(memory)
                if other is not None and first <= other[1] and other[0] <= last:  # noqa: SIM102 - most end here
                    if _meet(words[memory], their_words[memory]):
                        return True
        return False


def _meet(a: Words, b: Words) -> bool:
    few, many = (a, b) if len(a) < len(b) else (b, a)
    place = np.searchsorted(many, few)
    return bool((many[np.minimum(place, len(many) - 1)] == few).any())


def effects_of(instruction: Instruction, program: Program, config: ChipConfig) -> Effects:
    """Effects of an instruction; `program`: the microwords that a VECTOR will find."""
    match instruction.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return _copy(instruction, config)
        case Opcode.MATMUL:
            return _matmul(instruction, config)
        case Opcode.VECTOR:
            return _vector(instruction, [Microword.decode(word) for word in program], config)
    return Effects()


def _words(*parts: NDArray[np.int64]) -> Words:
    """Sorted and unique; they mostly lie close together, and marking them is faster than sorting."""
    words = np.concatenate([np.asarray(p).reshape(-1) for p in parts])
    first = words.min()
    used = np.zeros(words.max() - first + 1, dtype=bool)
    used[words - first] = True
    return np.flatnonzero(used) + first


def _span(first: NDArray[np.int64], length: int, unit: int) -> NDArray[np.int64]:
    """Words of `unit` bytes that `length` bytes from every address touch."""
    count = (length + 2 * unit - 2) // unit
    words = first.reshape(-1, 1) // unit + np.arange(count)
    return words[words <= (first.reshape(-1, 1) + length - 1) // unit]


def _copy(i: Instruction, config: ChipConfig) -> Effects:
    rows = np.arange(i["rows"])
    dram = _words(_span(i["dram"] + rows * i["dram_row"], i["row_bytes"], config.depth))
    local = i["spad"] + rows * i["spad_row"]
    if i.opcode is Opcode.STORE:
        return Effects({Memory.SPAD: _words(_span(local, i["row_bytes"], config.depth))}, {Memory.DRAM: dram})
    unit = {Space.SPAD: config.depth, Space.PROG: MICROWORD_BYTES, Space.TABLE: TABLE_BYTES}
    memory = {Space.SPAD: Memory.SPAD, Space.PROG: Memory.PROG, Space.TABLE: Memory.TABLE}
    space = Space(i["space"])
    return Effects({Memory.DRAM: dram}, {memory[space]: _words(_span(local, i["row_bytes"], unit[space]))})


def _inside(out: int, kernel: int, stride: int, pad: int, size: int) -> NDArray[np.int64]:
    place = np.unique((np.arange(out)[:, None] * stride + np.arange(kernel) - pad).reshape(-1))
    return place[(place >= 0) & (place < size)]


def _matmul(i: Instruction, config: ChipConfig) -> Effects:
    depth, cols = config.depth, config.cols
    fmt = ActFormat(i["act_format"])
    y = _inside(i["out_h"], i["kernel_h"], i["stride_y"], i["pad_top"], i["in_h"])
    x = _inside(i["out_w"], i["kernel_w"], i["stride_x"], i["pad_left"], i["in_w"])
    pixel = i["act"] + (y[:, None] * i["act_row"] + x * i["act_pix"]).reshape(-1)
    narrow = fmt is ActFormat.TABLE4 or (i["depthwise"] and fmt is ActFormat.UINT4)
    step = depth // 2 if narrow else depth
    act = _span(pixel, i["chunks"] * step, depth)
    if i["depthwise"]:
        weights = _span(i["wgt"] + np.arange(i["chunks"]) * i["wgt_t"], cols * depth, depth)
    else:
        steps = i["kernel_h"] * i["kernel_w"] * i["chunks"]
        paired = i["weight_format"] == WeightFormat.INT4 and fmt is not ActFormat.UINT4
        tiles = np.arange((steps + 1) // 2 if paired else steps)
        columns = np.arange(-(-i["n"] // cols))
        base = i["wgt"] + columns[:, None] * i["wgt_n"] + tiles * i["wgt_t"]
        if i["transpose"]:
            rows = np.arange(depth)
            cell = base[..., None] + rows * i["wgt_c"]
            last = (tiles == steps - 1)[:, None] & (rows >= i["last_elems"])
            weights = _span(cell[:, ~last], cols, depth)
        else:
            c = np.arange(cols)
            cell = base[..., None] + c * i["wgt_c"]
            exists = (columns[:, None, None] * cols + c < i["n"]) & (tiles[:, None] >= 0)
            weights = _span(cell[exists], depth, depth)
    out = Effects({Memory.SPAD: _words(act, weights)})
    if fmt is ActFormat.TABLE4:
        out.reads[Memory.TABLE] = np.array([i["code_table"]])
    return out


_BITS = {Format.INT8: 8, Format.UINT4: 4, Format.TABLE4: 4, Format.INT16: 16}
_STORED = {Destination.INT8: 8, Destination.NIBBLE: 4, Destination.INT16: 16}


def _vector(i: Instruction, program: list[Microword], config: ChipConfig) -> Effects:
    lanes = -(-i["n"] // config.cols) * config.cols
    tables: set[int] = set()
    reads: list[NDArray[np.int64]] = []
    writes: list[NDArray[np.int64]] = []

    def stream(which: str, bits: int, elements: int) -> NDArray[np.int64]:
        y, x = np.arange(i["h"]), np.arange(i["w"])
        pixel = i[which] + (y[:, None] * i[f"{which}_row"] + x * i[f"{which}_pix"]).reshape(-1)
        return _span(np.unique(pixel), -(-elements * bits // 8), config.depth)

    scalars_read: set[int] = set()
    scalars_written: set[int] = set()
    for word in program:
        if word["kind"] == Kind.SCALAR:
            scalars_read.add(word["rs_a"])
            scalars_written.add(word["rs_d"])
            continue
        if word["addend"] == Addend.ROW:
            scalars_read.add(word["rs_a"])
        if word["mul"] == Multiply.ROW:
            scalars_read.add(word["rs_m"])
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
    out = Effects({Memory.PROG: np.arange(i["prog"], i["prog"] + i["prog_len"])})
    if reads:
        out.reads[Memory.SPAD] = _words(*reads)
    if scalars_read:
        out.reads[Memory.ROWS] = np.array(sorted(scalars_read))
    if scalars_written:
        out.writes[Memory.ROWS] = np.array(sorted(scalars_written))
    if tables:
        out.reads[Memory.TABLE] = np.array(sorted(tables))
    if writes:
        out.writes[Memory.SPAD] = _words(*writes)
    return out
