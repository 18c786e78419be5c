"""VECTORs of random programs: their microwords, streams and parameters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tests.kit.accesses import (
    Loaded,
    Range,
    Stream,
    overlap,
    table_range,
)
from tests.kit.random_copies import ARENA, DATA, PARAMETERS, REGION, TABLES, Copies, NoRoom
from tests.kit.random_microwords import (
    TABLES_USED,
    reads_rows,
    uses_a,
    uses_b,
    uses_d,
    uses_parameters,
)
from triptych.golden.quartdepth.arithmetic.codetable import INT16_MAX, INT16_MIN
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.isa import (
    MICROWORD_BYTES,
    PARAM_BYTES,
    TABLE_BYTES,
    Destination,
    Format,
    Opcode,
    Reduce,
    SourceA,
    Space,
)

TRIES = 2000  # draws of a VECTOR's streams


@dataclass
class Vectors(Copies):
    """Adds VECTORs, those of a MATMUL among them."""

    def prologue(self) -> None:
        """Fill the arenas, every table and every row scalar."""
        arena = min(ARENA, self.config.spad_bytes)
        for at in {0, self.config.spad_bytes - arena}:
            self.copy(Opcode.LOAD, DATA, at, 1, arena, 0, 0)
        self.copy(Opcode.LOAD, TABLES, 0, 1, self.config.tables * TABLE_BYTES, 0, 0, Space.TABLE)
        rows = self.config.rows
        words = [
            Microword({"src_a": SourceA.SPAD, "lo": INT16_MIN, "hi": INT16_MAX, "reduce": Reduce.SUM, "rs_d": r})
            for r in range(4)
        ]
        self.vector(words, (1, rows), self.number(1, 2 * self.config.cols), rows, [])

    def vector_alone(self) -> None:
        """A VECTOR that reads the scratchpad only."""
        shape = (self.small(8), self.small(8))
        words = self.words(0)
        if self.loaded and self.chance(25):  # microwords that are there already
            again = self.pick(self.loaded)
            if not any(reads_rows(w) for w in again.words):
                return self.vector(again.words, shape, self.small(40), self.small(self.config.rows), [], again.first)
        return self.vector(words, shape, self.small(40), self.small(self.config.rows), [])

    def words(self, turns: int) -> list[Microword]:
        """Microwords of which `turns` read accumulators."""
        others = self.number(0 if turns else 1, 3)
        words = [self.microword(acc=True) for _ in range(turns)] + [self.microword(acc=False) for _ in range(others)]
        return [words[k] for k in self.rng.permutation(len(words))]

    def prepare(self, words: list[Microword], keep: Sequence[Loaded] = ()) -> Loaded:
        """LOAD microwords into the program store, over none of `keep`."""
        unit = max(1, self.config.depth // MICROWORD_BYTES)
        size = -(-len(words) // unit) * unit
        while True:
            first = self.number(0, (self.config.prog_words - size) // unit) * unit
            if not any(overlap(p, first, size) for p in keep):
                break
        source, self.microword_top = self.microword_top, self.microword_top + size * MICROWORD_BYTES
        self.memory.place(source, b"".join(w.encode() for w in words))
        self.copy(Opcode.LOAD, source, first * MICROWORD_BYTES, 1, size * MICROWORD_BYTES, 0, 0, Space.PROG)
        self.loaded = [p for p in self.loaded if not overlap(p, first, size)]
        self.loaded.append(Loaded(first, words))
        return self.loaded[-1]

    def vector(
        self,
        words: list[Microword],
        shape: tuple[int, int],
        n: int,
        block: int,
        keep: list[Range],
        prog: int | None = None,
        idle: bool = True,
    ) -> None:
        """A VECTOR whose destination meets none of `keep`; without `prog`, its microwords are loaded first.

        Raises NoRoom when one that takes rows, whose shape is given, finds no streams."""
        groups = -(-n // self.config.cols)
        given = any(reads_rows(w) for w in words)
        for tried in itertools.count():
            try:
                a, b, d, param = self._streams(words, shape, groups, keep)
                break
            except NoRoom:
                if given and tried >= TRIES:
                    raise
                if given:
                    continue
                shape, n, groups = (self.small(4), self.small(4)), self.number(1, self.config.cols), 1
        if prog is None:
            if uses_parameters(words) and self.chance(70):
                size = param.high - param.low
                source = PARAMETERS + self.number(0, (REGION - size) // self.config.depth) * self.config.depth
                self.copy(Opcode.LOAD, source, param.low, 1, size, 0, 0)
            prog = self.prepare(words).first
        fields = {"prog": prog, "prog_len": len(words), "h": shape[0], "w": shape[1], "n": n, "block": block}
        for name, stream in (("a", a), ("b", b), ("d", d)):
            fields |= dict(zip((name, f"{name}_row", f"{name}_pix"), stream.fields, strict=True))
            for stride, count, bits in ((f"{name}_row", shape[0], 24), (f"{name}_pix", shape[1], 20)):
                if count == 1:
                    fields[stride] = self.anything(bits, self.config.cols // 2)
        reads = [Range("PROG", prog * MICROWORD_BYTES, (prog + len(words)) * MICROWORD_BYTES)]
        reads += [s.covers for s, used in ((a, uses_a), (b, uses_b)) if any(used(w) for w in words)]
        reads += [param] if uses_parameters(words) else []
        reads += [table_range(w[t]) for w in words for t, used in TABLES_USED.items() if used(w)]
        writes = [d.covers] if any(uses_d(w) for w in words) else []
        self.add(Instruction(Opcode.VECTOR, {**fields, "param": param.low}), reads, writes, idle)

    def _streams(
        self, words: list[Microword], shape: tuple[int, int], groups: int, keep: list[Range]
    ) -> tuple[Stream, Stream, Stream, Range]:
        """Streams A, B, D and the parameters, such that no microword reads what an earlier element of it wrote."""
        cols = self.config.cols
        read_unit = cols if any(w["fmt_a"] == Format.INT8 for w in words if uses_a(w)) else cols // 2
        second_unit = cols if any(w["fmt_b"] == Format.INT8 for w in words if uses_b(w)) else cols // 2
        write_unit = max(self._granule(w["dst"]) for w in words)
        d = self._stream(shape, groups, write_unit, any(uses_d(w) for w in words))
        a = self._stream(shape, groups, read_unit, any(uses_a(w) for w in words))
        b = self._stream(shape, groups, second_unit, any(uses_b(w) for w in words))
        length = groups * max(read_unit, second_unit, write_unit)
        apart = d.fields[1] >= shape[1] * d.fields[2] >= shape[1] * length
        aligned = not any(v % read_unit or v % second_unit for v in d.fields)
        if apart and aligned and any(uses_d(w) for w in words) and self.chance(60):  # try to work in place
            wide = Range("SPAD", d.covers.low, d.covers.high + length)
            if wide.high > self.config.spad_bytes:
                raise NoRoom
            a, b = Stream(d.fields, wide), self.pick([b, Stream(d.fields, wide)])
        size = groups * cols * PARAM_BYTES
        low = self.place(size, self.config.depth)
        param = Range("SPAD", low, low + size)
        for w in words:
            if not uses_d(w):
                continue
            for stream, fmt, used in ((a, w["fmt_a"], uses_a(w)), (b, w["fmt_b"], uses_b(w))):
                narrows = self._granule(w["dst"]) <= (cols if fmt == Format.INT8 else cols // 2)
                in_place = stream.fields == d.fields and apart and narrows
                if used and stream.covers.meets(d.covers) and not in_place:
                    raise NoRoom
            if any(r.meets(d.covers) for r in keep) or (uses_parameters([w]) and param.meets(d.covers)):
                raise NoRoom
        return a, b, d, param

    def _granule(self, dst: int) -> int:
        """Bytes that a group of lanes writes."""
        return {Destination.INT8: self.config.cols, Destination.INT16: 2 * self.config.cols}.get(
            Destination(dst), self.config.cols // 2
        )

    def _stream(self, shape: tuple[int, int], groups: int, unit: int, used: bool) -> Stream:
        if not used:  # anything that decode lets through
            half = self.config.cols // 2
            low, row, pix = (self.number(0, (1 << 20) // half - 1) * half for _ in range(3))
            return Stream((low, row, pix), Range("SPAD", 0, 0))
        length = groups * unit
        pix = self.pick([length, length, length + self.number(0, 3) * unit, self.number(0, 4) * unit])
        row = self.pick([shape[1] * pix, shape[1] * pix + self.number(0, 5) * unit, self.number(0, 8) * unit])
        size = (shape[0] - 1) * row + (shape[1] - 1) * pix + length
        low = self.place(size, unit)
        return Stream((low, row, pix), Range("SPAD", low, low + size))
