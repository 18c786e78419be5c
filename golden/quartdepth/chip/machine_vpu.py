"""VECTOR on the golden machine: microwords over whole pictures at a time (docs/numerics.md, VECTOR).

The chip goes block by block. Where no block can see what another one does, which is nearly always, the machine takes
all blocks at once; otherwise it goes block by block, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic import functions
from triptych.golden.quartdepth.arithmetic.numerics import (
    Bytes,
    Int32s,
    Ints,
    byte_pairs,
    pack_nibbles,
    rs,
    sat16,
    sat32,
    wrap32,
)
from triptych.golden.quartdepth.chip.isa import (
    MICROWORD_BYTES,
    PARAM_BYTES,
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
    reads_b,
)
from triptych.golden.quartdepth.chip.memory import windows
from triptych.golden.quartdepth.chip.program import TrapError, decode_microword
from triptych.golden.quartdepth.chip.state import ChipState, Target, Write

PARAM = np.dtype([("bias", "<i4"), ("multiplier", "<i2"), ("shift", "u1"), ("zero_point", "i1")])
UNSIGNED = np.arange(16, dtype=np.int8)
DESTINATION_BITS = {Destination.INT8: 8, Destination.NIBBLE: 4, Destination.INT16: 16}


@dataclass(frozen=True)
class Stream:
    """One operand in the scratchpad: where its pixels start and how many bytes each has, all groups together."""

    start: Ints  # (pixels,)
    granule: int
    groups: int

    @property
    def length(self) -> int:
        """Bytes of a pixel."""
        return self.granule * self.groups


def microwords(state: ChipState, i: SimpleNamespace) -> list[SimpleNamespace]:
    """The program of a VECTOR. Raises TrapError (ILLEGAL_FIELD)."""
    store = state.prog.reshape(-1, MICROWORD_BYTES)[i.prog : i.prog + i.prog_len]
    return [decode_microword(word.tobytes(), state.config.tables) for word in store]


def turns(words: list[SimpleNamespace]) -> int:
    """How many microwords read accumulator rows."""
    return sum(_reads_rows(word) for word in words)


def _reads_rows(word: SimpleNamespace) -> bool:
    return bool(word.kind == Kind.VECTOR and word.src_a == SourceA.ACC)


def rows_needed(state: ChipState, i: SimpleNamespace) -> int:
    """Accumulator rows that a VECTOR takes. Raises TrapError (ILLEGAL_FIELD)."""
    return turns(microwords(state, i)) * i.h * i.w * -(-i.n // state.config.cols)


def vector(state: ChipState, i: SimpleNamespace) -> list[Write]:
    """Execute one VECTOR with fields `i`; its rows must be available. Raises TrapError (ALIGNMENT, RANGE)."""
    words = microwords(state, i)
    run = _Vector(state, i, words)
    pixels = i.h * i.w
    if run.blocks_are_independent():
        run.execute(0, pixels)
    else:
        for first in range(0, pixels, i.block):
            run.execute(first, min(first + i.block, pixels), ordered=True)
    return run.writes


class _Vector:
    """One VECTOR under way."""

    def __init__(self, state: ChipState, i: SimpleNamespace, words: list[SimpleNamespace]) -> None:
        self.state, self.i, self.words = state, i, words
        self.groups = -(-i.n // state.config.cols)
        self.writes: list[Write] = []
        self.parameters = self._parameter_stream()
        self.params = self._params()
        self.sources = {n: self._source(w) for n, w in enumerate(words) if _reads_spad(w)}
        self.seconds = {n: self._stream("b", self._read_granule(w.fmt_b)) for n, w in enumerate(words) if _reads_b(w)}
        self.targets = {
            n: self._stream("d", state.config.cols * DESTINATION_BITS[w.dst] // 8)
            for n, w in enumerate(words)
            if w.kind == Kind.VECTOR and w.dst != Destination.NONE
        }
        taken = turns(words)
        rows = state.rows.take(i.h * i.w, self.groups, i.block, taken) if taken else []
        order = [n for n, w in enumerate(words) if _reads_rows(w)]
        self.rows = {n: r.reshape(len(r), -1) for n, r in zip(order, rows, strict=True)}

    def blocks_are_independent(self) -> bool:
        """Whether taking microword after microword over the whole picture gives what block after block gives."""
        return self._row_scalars_are_independent() and self._streams_are_independent()

    def _row_scalars_are_independent(self) -> bool:
        written: set[int] = set()
        inherited: set[int] = set()
        for w in self.words:
            inherited |= _row_scalars_read(w) - written
            written |= _row_scalars_written(w)
        return self.i.h * self.i.w <= self.i.block or not inherited & written

    def _streams_are_independent(self) -> bool:
        """Each pixel's written bytes are its own, and what is read is either elsewhere or the pixel's own."""
        if not self.targets:
            return True
        i = self.i
        length = max(s.length for s in self.targets.values())
        if not _apart(i.w, i.h, i.d_pix, i.d_row, length) and not _apart(i.h, i.w, i.d_row, i.d_pix, length):
            return False
        target = next(iter(self.targets.values())).start
        for stream in (*self.sources.values(), *self.seconds.values(), *self.parameters):
            low, high = stream.start.min(), stream.start.max() + stream.length
            if high <= target.min() or target.max() + length <= low:
                continue
            spacing = max(length, stream.length)
            own = np.array_equal(stream.start, target) and (
                _apart(i.w, i.h, i.d_pix, i.d_row, spacing) or _apart(i.h, i.w, i.d_row, i.d_pix, spacing)
            )
            if not own:
                return False
        return True

    def execute(self, first: int, last: int, ordered: bool = False) -> None:
        """All microwords over pixels first..last-1, which are whole blocks. ordered: writes may meet each other."""
        block = self.i.block
        place = np.arange(first, last) % block
        scalars = self.state.row_scalars[:, place]
        for n, word in enumerate(self.words):
            if word.kind == Kind.SCALAR:
                scalars[word.rs_d] = _scalar(word, scalars[word.rs_a])
            else:
                self._vector(n, word, slice(first, last), scalars, ordered)
        for start in range(max(0, (last - first - 1) // block - 1) * block, last - first, block):
            part = scalars[:, start : start + block]
            self.state.row_scalars[:, : part.shape[1]] = part

    def _vector(self, n: int, w: SimpleNamespace, pixels: slice, scalars: Int32s, ordered: bool) -> None:
        if n in self.rows:
            a = self.rows[n][pixels, : self.i.n]
        else:
            a = self._read(self.sources[n], pixels, w.fmt_a, w.table_a).astype(np.int32)
        b: Ints = np.zeros(1, np.int64)
        if n in self.seconds:
            b = self._read(self.seconds[n], pixels, w.fmt_b, w.table_b).astype(np.int64) + w.b_add
        y = self._multiply(w, self._add(w, a, scalars), scalars, b)
        z: Ints = y
        if w.side in (Side.ADD_B, Side.MAX_B):
            second = sat32(rs(b * w.b_m, w.b_s))
            z = sat32(y + second) if w.side == Side.ADD_B else np.maximum(y, second)
        elif w.side == Side.SCALE_F:
            z = sat32(rs(_function(w.fn)[sat16(y) + 32768] * w.b_m, w.b_s))
        zero_point = self.params["zero_point"].astype(np.int64) if w.zp_param else w.out_add
        v = np.minimum(np.maximum(rs(z, w.z_s) + zero_point, w.lo), w.hi)
        e: NDArray[Any] = v
        if w.encode:
            e = self.state.codes(w.table_e)[v + 32768]
        if n in self.targets:
            self._write(self.targets[n], w.dst, e, pixels, ordered)
        if w.reduce:
            meaning = self.state.entries(w.table_e)[e].astype(np.int64) if w.encode else v
            total = meaning.sum(axis=1) if w.reduce == Reduce.SUM else meaning.max(axis=1)
            scalars[w.rs_d] = wrap32(total)

    def _add(self, w: SimpleNamespace, a: Int32s, scalars: Int32s) -> Int32s:
        """X: int32 arithmetic wraps, as the lanes do."""
        x = a << np.int32(w.a_shl) if w.a_shl else a
        if w.addend == Addend.BIAS:
            return x + self.params["bias"]
        if w.addend == Addend.ROW:
            return x - scalars[w.rs_a][:, None]
        return x + np.int32(w.imm_add) if w.addend == Addend.IMM else x

    def _multiply(self, w: SimpleNamespace, x: Int32s, scalars: Int32s, b: Ints) -> Ints:
        wide = x.astype(np.int64)
        if w.mul == Multiply.PARAM:
            return sat32(rs(wide * self.params["multiplier"], self.params["shift"]))
        if w.mul == Multiply.IMM:
            return sat32(rs(wide * w.imm_m, w.imm_s))
        if w.mul == Multiply.ROW:
            pair = scalars[w.rs_m][:, None]
            return sat32(rs(wide * pair.astype(np.int16), ((pair >> 16) & 255) + w.imm_s))
        if w.mul == Multiply.SQUARE:
            return sat32(rs(sat16(wide) ** 2, w.imm_s))
        if w.mul == Multiply.B:
            return sat32(rs(wide * sat16(b), w.imm_s))
        return wide

    def _parameter_stream(self) -> tuple[Stream, ...]:
        """Where the parameters lie, as one long pixel; nothing when no microword reads them."""
        if not any(_uses_params(w) for w in self.words):
            return ()
        stream = Stream(np.array([self.i.param]), PARAM_BYTES * self.state.config.cols, self.groups)
        self._check_range("param", self.i.param, stream.length)
        return (stream,)

    def _params(self) -> NDArray[Any]:
        """(n,) parameters: a view, so that a microword sees what an earlier one wrote there."""
        length = PARAM_BYTES * self.i.n
        if not self.parameters:
            return np.zeros(length, dtype=np.uint8).view(PARAM)
        return self.state.spad[self.i.param : self.i.param + length].view(PARAM)

    def _read_granule(self, fmt: int) -> int:
        return self.state.config.cols if fmt == Format.INT8 else self.state.config.cols // 2

    def _source(self, w: SimpleNamespace) -> Stream:
        return self._stream("a", self._read_granule(w.fmt_a))

    def _stream(self, name: str, granule: int) -> Stream:
        i = vars(self.i)
        y, x = np.divmod(np.arange(self.i.h * self.i.w), self.i.w)
        start = i[name] + y * i[f"{name}_row"] + x * i[f"{name}_pix"]
        if np.any(start % granule):
            bad = int(start[start % granule != 0][0])
            raise TrapError(Trap.ALIGNMENT, f"{name}: address {bad:#x} is no multiple of {granule}")
        stream = Stream(start, granule, self.groups)
        self._check_range(name, int(start.max()), stream.length)
        return stream

    def _check_range(self, name: str, start: int, length: int) -> None:
        size = self.state.spad.size
        if start + length > size:
            end = start + length
            raise TrapError(Trap.RANGE, f"{name}: bytes {start:#x} to {end:#x} exceed a scratchpad of {size:#x}")

    def _read(self, stream: Stream, pixels: slice, fmt: int, table: int) -> NDArray[np.int8]:
        """(pixels, n) elements."""
        data: NDArray[Any] = windows(self.state.spad, stream.length)[stream.start[pixels]]
        if fmt != Format.INT8:
            data = byte_pairs(UNSIGNED if fmt == Format.UINT4 else self.state.entries(table))[data]
        return data.view(np.int8)[:, : self.i.n]

    def _write(self, stream: Stream, dst: int, e: NDArray[Any], pixels: slice, ordered: bool) -> None:
        start, data = stream.start[pixels], _element_bytes(dst, e)
        if ordered:  # group after group: a byte that two elements share keeps the later one
            for at in range(0, data.shape[1], stream.granule):
                part = data[:, at : at + stream.granule]
                windows(self.state.spad, part.shape[1])[start + at] = part
        else:
            windows(self.state.spad, data.shape[1])[start] = data
        self.writes.append(Write(Target.SPAD, start, data, DESTINATION_BITS[Destination(dst)], self.i.w))


def _element_bytes(dst: int, e: NDArray[Any]) -> Bytes:
    """(pixels, n) elements as (pixels, bytes); an odd nibble gets a zero beside it."""
    if dst == Destination.NIBBLE:
        return pack_nibbles(np.pad(e, ((0, 0), (0, e.shape[1] % 2))))
    return np.ascontiguousarray(e.astype(np.int8 if dst == Destination.INT8 else "<i2")).view(np.uint8)


def _scalar(w: SimpleNamespace, row: Int32s) -> Int32s:
    x = row + np.int32(w.imm_add) if w.addend == Addend.IMM else row
    y = sat32(rs(x.astype(np.int64) * w.imm_m, w.imm_s)) if w.mul == Multiply.IMM else x
    if w.fn == Function.RECIP:
        y = functions.recip(y)
    elif w.fn == Function.RSQRT:
        y = functions.rsqrt(y)
    return wrap32(y)


@lru_cache
def _function(fn: int) -> Ints:
    """A lane function of every int16, index `v + 32768`."""
    return functions.lookup(Function(fn).name, np.arange(-32768, 32768))


def _reads_spad(w: SimpleNamespace) -> bool:
    return bool(w.kind == Kind.VECTOR and w.src_a == SourceA.SPAD)


def _reads_b(w: SimpleNamespace) -> bool:
    return reads_b(w.kind, w.side, w.mul)


def _uses_params(w: SimpleNamespace) -> bool:
    return bool(w.kind == Kind.VECTOR and (w.addend == Addend.BIAS or w.mul == Multiply.PARAM or w.zp_param))


def _row_scalars_read(w: SimpleNamespace) -> set[int]:
    if w.kind == Kind.SCALAR:
        return {w.rs_a}
    return ({w.rs_a} if w.addend == Addend.ROW else set()) | ({w.rs_m} if w.mul == Multiply.ROW else set())


def _row_scalars_written(w: SimpleNamespace) -> set[int]:
    return {w.rs_d} if w.kind == Kind.SCALAR or w.reduce else set()


def _apart(inner: int, outer: int, inner_step: int, outer_step: int, length: int) -> bool:
    """Whether runs of `length` bytes at `outer_step * o + inner_step * i` never meet."""
    run = (inner - 1) * inner_step + length
    return (inner == 1 or inner_step >= length) and (outer == 1 or outer_step >= run)
