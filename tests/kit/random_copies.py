"""The ground of random programs: the data they load, waits that make them independent of timing, LOAD and STORE."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from tests.kit.accesses import (
    Access,
    Loaded,
    Range,
    conflict,
    wait,
)
from tests.kit.random_microwords import (
    Draw,
)
from tests.kit.sparse import magnitude
from triptych.golden.quartdepth.arithmetic.codetable import ENTRY_MAX, ENTRY_MIN, INT16_MAX, INT16_MIN, CodeTable
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    PARAM_BYTES,
    TABLE_BYTES,
    Engine,
    Opcode,
    Space,
)
from triptych.golden.quartdepth.chip.memory import Memory

ARENA = 1 << 14  # bytes of scratchpad that are used at its low and at its high end, so that instructions meet
DATA, TABLES, PARAMETERS, MICROWORDS, STORED, FAULTY, PROGRAM = (k << 16 for k in range(7))
REGION = 1 << 14  # bytes used of each of these regions of memory


class NoRoom(Exception):
    """A shape does not fit: draw another one."""


@dataclass
class Copies(Draw):
    """Appends instructions to `program` with the waits that they need; `memory` gets the data that they load."""

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
            raise NoRoom
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

    def load(self) -> None:
        """To the scratchpad, at times to the code tables."""
        if self.chance(15):
            count = self.number(1, 3)
            table = self.number(0, self.config.tables - count) * TABLE_BYTES
            source = TABLES + self.number(0, REGION // TABLE_BYTES - count) * TABLE_BYTES
            self.copy(Opcode.LOAD, source, table, 1, count * TABLE_BYTES, 0, 0, Space.TABLE)
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
        return self.copy(opcode, dram, self.place(inside, d), rows, row_bytes, far, near)

    def copy(
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
