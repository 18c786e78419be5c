"""The instructions of random programs, one by one, with the waits that make them independent of timing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.kit.accesses import (
    Access,
    Loaded,
    Range,
    Stream,
    conflict,
    overlap,
    table_range,
    wait,
)
from tests.kit.random_microwords import (
    TABLES_USED,
    Draw,
    reads_rows,
    uses_a,
    uses_b,
    uses_d,
    uses_parameters,
)
from tests.kit.sparse import magnitude
from triptych.golden.quartdepth.arithmetic.codetable import ENTRY_MAX, ENTRY_MIN, INT16_MAX, INT16_MIN, CodeTable
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    MICROWORD_BYTES,
    PARAM_BYTES,
    TABLE_BYTES,
    ActFormat,
    Destination,
    Engine,
    Format,
    Opcode,
    Reduce,
    SourceA,
    Space,
    WeightFormat,
)
from triptych.golden.quartdepth.chip.memory import Memory

ARENA = 1 << 14  # bytes of scratchpad that are used at its low and at its high end, so that instructions meet
DATA, TABLES, PARAMETERS, MICROWORDS, STORED, FAULTY, PROGRAM = (k << 16 for k in range(7))
REGION = 1 << 14  # bytes used of each of these regions of memory
MAX_STEPS = 2000  # of the MXU in one MATMUL


class _NoRoom(Exception):
    """A shape does not fit: draw another one."""


@dataclass
class Builder(Draw):
    """Appends random instructions to `program`; `memory` gets the data that they load."""

    config: ChipConfig
    program: list[Instruction | bytes] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    loaded: list[Loaded] = field(default_factory=list)
    microword_top: int = MICROWORDS

    def __post_init__(self) -> None:
        # what has no effect is drawn apart, so that programs are the same whatever it is
        self.without_effect = random.Random(int(self.rng.bit_generator.seed_seq.spawn(1)[0].generate_state(1)[0]))
        self.memory = Memory(PROGRAM + (1 << 20))
        self.memory.place(DATA, self.rng.integers(0, 256, REGION, dtype=np.uint8))
        tables = b"".join(self._table().to_bytes() for _ in range(REGION // TABLE_BYTES))
        self.memory.place(TABLES, tables)
        self.memory.place(PARAMETERS, self._parameters())

    # -- data -----------------------------------------------------------------------------------------------------

    def _table(self) -> CodeTable:
        spread = 1 << self.number(4, 15)
        thresholds = np.sort(np.clip(self.rng.integers(-spread, spread, 15), INT16_MIN, INT16_MAX))
        return CodeTable(tuple(self.rng.integers(ENTRY_MIN, ENTRY_MAX + 1, 16).tolist()), tuple(thresholds.tolist()))

    def _parameters(self) -> np.ndarray:
        """Requantisation parameters that leave most results unsaturated."""
        kinds = [("bias", "<i4"), ("multiplier", "<i2"), ("shift", "u1"), ("zero", "i1")]
        out = np.zeros(REGION // PARAM_BYTES, kinds)
        out["bias"] = self.rng.integers(-(2**31), 2**31, out.size) >> self.rng.integers(0, 31, out.size)
        out["multiplier"] = self.rng.integers(-32768, 32768, out.size)
        out["shift"] = self.rng.integers(8, 26, out.size)
        out["shift"][:: self.number(5, 9)] = self.rng.integers(0, 256)
        out["zero"] = self.rng.integers(-128, 128, out.size)
        return out.view(np.uint8)

    def anything(self, bits: int, unit: int) -> int:
        """What a field may hold that has no effect: of every magnitude that decode lets through."""
        return magnitude(self.without_effect, bits, unit)

    def place(self, size: int, unit: int) -> int:
        """A scratchpad address, a multiple of unit, with `size` bytes behind it in one of the arenas."""
        arena = min(ARENA, self.config.spad_bytes)
        if size > arena:
            raise _NoRoom
        at = self.number(0, (arena - size) // unit) * unit
        return at + (self.config.spad_bytes - arena if self.chance(30) else 0)

    # -- waits ----------------------------------------------------------------------------------------------------

    def add(self, instruction: Instruction, reads: list[Range], writes: list[Range], idle: bool = True) -> None:
        """Append an instruction that waits for what it meets. idle: it may wait for something else as well."""
        engine = ENGINE_OF[instruction.opcode]
        for other in self.accesses:
            if other.engine is not engine and conflict(reads, writes, other):
                wait(instruction, other.engine, other.ordinal + 1)
        counts = self.counts()
        if idle and self.chance(10):
            awaited = self.pick(list(Engine))
            wait(instruction, awaited, self.number(0, counts[awaited]))
        self.program.append(instruction)
        self.accesses.append(Access(engine, counts[engine], reads, writes))

    def counts(self) -> dict[Engine, int]:
        """Instructions so far, by engine."""
        return {e: sum(a.engine is e for a in self.accesses) for e in Engine}

    # -- LOAD and STORE -------------------------------------------------------------------------------------------

    def prologue(self) -> None:
        """Fill the arenas, every table and every row scalar."""
        arena = min(ARENA, self.config.spad_bytes)
        for at in {0, self.config.spad_bytes - arena}:
            self._copy(Opcode.LOAD, DATA, at, 1, arena, 0, 0)
        self._copy(Opcode.LOAD, TABLES, 0, 1, self.config.tables * TABLE_BYTES, 0, 0, Space.TABLE)
        rows = self.config.rows
        words = [
            Microword({"src_a": SourceA.SPAD, "lo": INT16_MIN, "hi": INT16_MAX, "reduce": Reduce.SUM, "rs_d": r})
            for r in range(4)
        ]
        self._vector(words, (1, rows), self.number(1, 2 * self.config.cols), rows, [])

    def load(self) -> None:
        """To the scratchpad, at times to the code tables."""
        if self.chance(15):
            count = self.number(1, 3)
            table = self.number(0, self.config.tables - count) * TABLE_BYTES
            source = TABLES + self.number(0, REGION // TABLE_BYTES - count) * TABLE_BYTES
            self._copy(Opcode.LOAD, source, table, 1, count * TABLE_BYTES, 0, 0, Space.TABLE)
        else:
            self._random_copy(Opcode.LOAD, self.pick([DATA, DATA, STORED]))

    def store(self) -> None:
        """From the scratchpad."""
        self._random_copy(Opcode.STORE, STORED)

    def _random_copy(self, opcode: Opcode, region: int) -> None:
        d = self.config.depth
        rows, row_bytes = self.small(12), self.small(24) * d
        far, near = (self.pick([row_bytes, row_bytes + self.number(1, 8) * d, self.number(0, 16) * d]) for _ in "ab")
        outside, inside = (rows - 1) * far + row_bytes, (rows - 1) * near + row_bytes
        if outside > REGION or inside > ARENA:
            return self._random_copy(opcode, region)
        dram = region + self.number(0, (REGION - outside) // d) * d
        return self._copy(opcode, dram, self.place(inside, d), rows, row_bytes, far, near)

    def _copy(
        self,
        opcode: Opcode,
        dram: int,
        spad: int,
        rows: int,
        row_bytes: int,
        dram_row: int,
        spad_row: int,
        space: Space = Space.SPAD,
    ) -> None:
        outside = Range("memory", dram, dram + (rows - 1) * dram_row + row_bytes)
        inside = Range(space.name, spad, spad + (rows - 1) * spad_row + row_bytes)
        fields = {"dram": dram, "dram_row": dram_row, "spad": spad, "spad_row": spad_row, "rows": rows}
        fields["row_bytes"] = row_bytes
        if rows == 1:  # no other row begins anywhere
            fields |= {
                "dram_row": self.anything(32, self.config.depth),
                "spad_row": self.anything(24, self.config.depth),
            }
        if opcode is Opcode.LOAD:
            self.add(Instruction(opcode, {**fields, "space": space}), [outside], [inside])
        else:
            self.add(Instruction(opcode, fields), [inside], [outside])

    # -- MATMUL with the VECTORs that take its rows ---------------------------------------------------------------

    def matmul_and_vectors(self) -> None:
        """One or two MATMULs, directly followed by the VECTORs that drain them: nothing between them can wait."""
        matmuls = [self.matmul()]
        if self.chance(20):
            matmuls.append(matmuls[0] if self.chance(50) else self.matmul())
        vectors = self._drains([m for m, _ in matmuls])
        prepared: list[Loaded] = []
        for words, _, _, _ in vectors:  # microwords are loaded before the MATMULs
            prepared.append(self.prepare(words, prepared))
        first = len(self.accesses)
        for matmul, reads in matmuls:
            self.add(Instruction(Opcode.MATMUL, dict(matmul.fields)), reads, [])
        # A VECTOR that waits for its own MATMUL would deadlock unless all rows fit in the two banks.
        banks = sum(self._banks(m) for m, _ in matmuls)
        keep = [] if banks <= 2 else [r for a in self.accesses[first:] for r in a.reads]
        for (words, shape, n, block), prog in zip(vectors, prepared, strict=True):
            self._vector(words, shape, n, block, keep, prog.first, idle=False)

    def _banks(self, m: Instruction) -> int:
        blocks = -(-m["out_h"] * m["out_w"] // m["block"])
        return blocks * -(-m["n"] // (self.config.depth if m["depthwise"] else self.config.cols))

    def _drains(self, matmuls: list[Instruction]) -> list[tuple[list[Microword], tuple[int, int], int, int]]:
        """Microwords, shape, channels and block of VECTORs that together take all rows."""
        cols, first = self.config.cols, matmuls[0]
        pixels = [m["out_h"] * m["out_w"] for m in matmuls]
        tiles = [-(-m["n"] // cols) for m in matmuls]
        rows = sum(p * t for p, t in zip(pixels, tiles, strict=True))
        if len(matmuls) == 1 and self.chance(75):  # the usual case: the VECTOR mirrors the MATMUL
            n = self.pick([first["n"], self.number((tiles[0] - 1) * cols + 1, tiles[0] * cols)])
            return [(self._words(1), self._shape(pixels[0]), n, first["block"])]
        block = self.number(1, self.config.rows)
        if rows % 2 == 0 and self.chance(50):  # two microwords that read accumulators
            return [(self._words(2), self._shape(rows // 2), self.number(1, cols), block)]
        cut = self.number(0, rows - 1)
        parts = [part for part in (cut, rows - cut) if part]
        return [(self._words(1), self._shape(part), self.number(1, cols), block) for part in parts]

    def _shape(self, pixels: int) -> tuple[int, int]:
        height = self.pick([h for h in range(1, pixels + 1) if pixels % h == 0])
        return height, pixels // height

    def matmul(self) -> tuple[Instruction, list[Range]]:
        """A MATMUL without waits, and what it reads."""
        while True:
            try:
                return self._try_matmul()
            except _NoRoom:
                continue

    def _try_matmul(self) -> tuple[Instruction, list[Range]]:
        c, d = self.config.cols, self.config.depth
        depthwise = self.chance(25)
        act_format = self.pick(list(ActFormat))
        int4 = depthwise or act_format is not ActFormat.INT8
        weight_format = WeightFormat.INT4 if int4 else self.pick(list(WeightFormat))
        int4 = weight_format is WeightFormat.INT4
        transpose = not int4 and self.chance(50)
        kernel = (3, 3) if depthwise else (self.small(4), self.small(4))
        n = self.small(3 * d)
        chunks = -(-n // d) if depthwise else self.small(4)
        in_h, in_w, out_h, out_w = (self.small(10) for _ in range(4))
        tiles, taps = -(-n // c), kernel[0] * kernel[1]
        steps = taps * chunks * (2 if weight_format is WeightFormat.INT8 else 1)
        if out_h * out_w * tiles * steps > MAX_STEPS:
            raise _NoRoom
        half = depthwise and act_format is not ActFormat.INT8
        pixel = -(-chunks * (d // 2 if half else d) // d) * d
        pix = self.pick([pixel, pixel + self.number(0, 3) * d, self.number(0, 4) * d])
        row = self.pick([in_w * pix, in_w * pix + self.number(0, 5) * d, self.number(0, 8) * d])
        act_size = (in_h - 1) * row + (in_w - 1) * pix + pixel
        act = self.place(act_size, d)
        columns, unit = min(n, c), c if transpose else d
        wgt_c = self.pick([d, -(-n // d) * d, self.number(0, 3) * d])
        if depthwise:
            k_tiles, n_tiles = chunks, 1
        else:
            paired = int4 and act_format is ActFormat.INT8
            k_tiles, n_tiles = (-(-taps * chunks // 2) if paired else taps * chunks), tiles
        wgt_t = self.pick([c * d, self.number(0, 12) * unit])
        wgt_n = self.pick([c if transpose else k_tiles * c * d, self.number(0, 20) * unit])
        tile = (d - 1) * wgt_c + c if transpose else (columns - 1) * wgt_c + d
        wgt_size = (n_tiles - 1) * wgt_n + (k_tiles - 1) * wgt_t + tile
        wgt = self.place(wgt_size, unit)
        most = self.config.rows * c // d if depthwise else self.config.rows
        fields = {
            **{"act_format": act_format, "weight_format": weight_format},
            **{"depthwise": depthwise, "transpose": transpose},
            **{"code_table": self.number(0, self.config.tables - 1), "pad_value": self.number(0, 255)},
            **{"act": act, "act_row": row, "act_pix": pix, "in_h": in_h, "in_w": in_w},
            **{"pad_top": self.number(0, 3) * self.chance(50), "pad_left": self.number(0, 15) * self.chance(30)},
            **{"kernel_h": kernel[0], "kernel_w": kernel[1], "chunks": chunks, "last_elems": self.number(1, d)},
            **{"stride_y": self.small(7), "stride_x": self.small(7), "out_h": out_h, "out_w": out_w, "n": n},
            **{"block": min(most, self.small(most)), "wgt": wgt, "wgt_n": wgt_n, "wgt_t": wgt_t, "wgt_c": wgt_c},
        }
        strides = {"act_row": (in_h, 24, d), "act_pix": (in_w, 20, d), "wgt_n": (n_tiles, 24, unit)}
        strides |= {"wgt_t": (k_tiles, 24, unit), "wgt_c": (2 if transpose else columns, 24, d)}
        fields |= {name: self.anything(bits, one) for name, (count, bits, one) in strides.items() if count == 1}
        reads = [Range("SPAD", act, act + act_size), Range("SPAD", wgt, wgt + wgt_size)]
        if act_format is ActFormat.TABLE4:
            reads.append(table_range(fields["code_table"]))
        return Instruction(Opcode.MATMUL, {k: int(v) for k, v in fields.items()}), reads

    # -- VECTOR ---------------------------------------------------------------------------------------------------

    def vector_alone(self) -> None:
        """A VECTOR that reads the scratchpad only."""
        shape = (self.small(8), self.small(8))
        words = self._words(0)
        if self.loaded and self.chance(25):  # microwords that are there already
            again = self.pick(self.loaded)
            if not any(reads_rows(w) for w in again.words):
                return self._vector(again.words, shape, self.small(40), self.small(self.config.rows), [], again.first)
        return self._vector(words, shape, self.small(40), self.small(self.config.rows), [])

    def _words(self, turns: int) -> list[Microword]:
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
        self._copy(Opcode.LOAD, source, first * MICROWORD_BYTES, 1, size * MICROWORD_BYTES, 0, 0, Space.PROG)
        self.loaded = [p for p in self.loaded if not overlap(p, first, size)]
        self.loaded.append(Loaded(first, words))
        return self.loaded[-1]

    def _vector(
        self,
        words: list[Microword],
        shape: tuple[int, int],
        n: int,
        block: int,
        keep: list[Range],
        prog: int | None = None,
        idle: bool = True,
    ) -> None:
        """A VECTOR whose destination meets none of `keep`; without `prog`, its microwords are loaded first."""
        groups = -(-n // self.config.cols)
        while True:
            try:
                a, b, d, param = self._streams(words, shape, groups, keep)
                break
            except _NoRoom:
                if any(reads_rows(w) for w in words):  # the shape is given, so draw other streams only
                    continue
                shape, n, groups = (self.small(4), self.small(4)), self.number(1, self.config.cols), 1
        if prog is None:
            if uses_parameters(words) and self.chance(70):
                size = param.high - param.low
                source = PARAMETERS + self.number(0, (REGION - size) // self.config.depth) * self.config.depth
                self._copy(Opcode.LOAD, source, param.low, 1, size, 0, 0)
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
                raise _NoRoom
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
                    raise _NoRoom
            if any(r.meets(d.covers) for r in keep) or (uses_parameters([w]) and param.meets(d.covers)):
                raise _NoRoom
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
