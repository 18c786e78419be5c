"""What the instructions of random programs touch, and which must wait for which."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.isa import TABLE_BYTES, Engine


@dataclass(frozen=True)
class Range:
    """Bytes [low, high) of one space that an instruction may touch."""

    space: str
    low: int
    high: int

    def meets(self, other: Range) -> bool:
        """Whether both have a byte in common."""
        return self.space == other.space and self.low < other.high and other.low < self.high


@dataclass
class Access:
    """What an instruction touches; `ordinal`: which of its engine's it is."""

    engine: Engine
    ordinal: int
    reads: list[Range]
    writes: list[Range]


@dataclass
class Loaded:
    """Microwords in the program store."""

    first: int
    words: list[Microword]


@dataclass
class Stream:
    """Where a stream of a VECTOR lies: base, row and pixel strides, and what it covers."""

    fields: tuple[int, int, int]
    covers: Range


def overlap(p: Loaded, first: int, size: int) -> bool:
    """Whether loaded microwords and `size` others from `first` on share places of the store."""
    return p.first < first + size and first < p.first + len(p.words)


def conflict(reads: list[Range], writes: list[Range], other: Access) -> bool:
    """Whether one writes what the other reads or writes."""
    return any(w.meets(r) for w in writes for r in (*other.reads, *other.writes)) or any(
        r.meets(w) for r in reads for w in other.writes
    )


def wait(instruction: Instruction, engine: Engine, count: int) -> None:
    """Make an instruction wait until an engine has retired so many."""
    name = f"wait_{engine.name.lower()}"
    instruction[name] = max(instruction[name], count)


def table_range(table: int) -> Range:
    """Bytes of one code table."""
    return Range("TABLE", table * TABLE_BYTES, (table + 1) * TABLE_BYTES)
