"""What the chip remembers, and what an instruction changes in it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.codetable import entries_of, threshold_codes
from triptych.golden.quartdepth.arithmetic.numerics import Bytes, Int32s, Ints, signature
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import MICROWORD_BYTES, ROW_SCALARS, TABLE_BYTES, Space


class Target(Enum):
    """What an instruction writes into."""

    SPAD = "scratchpad"
    PROG = "program store"
    TABLE = "code tables"
    MEMORY = "memory"
    ROWS = "accumulator rows"


@dataclass(frozen=True)
class Write:
    """Bytes that an instruction (or one microword of it) wrote, in order: row r is `data[r]`, from `start[r]` on.

    start: (rows,) byte addresses; for accumulator rows 4 C times the row's place in the order of handing over.
    data: (rows, length) uint8. bits: size of an element. width: pixels in a row of the picture, 0 where rows are no
    pixels. tiles: rows that belong to one pixel (accumulator rows: column tiles).
    """

    target: Target
    start: Ints
    data: Bytes
    bits: int = 8
    width: int = 0
    tiles: int = 1

    def signature(self) -> int:
        """This write's share of the instruction's signature."""
        data = self.data
        if data.shape[1] % 4:
            data = np.pad(data, ((0, 0), (0, -data.shape[1] % 4)))
        words = np.ascontiguousarray(data).view(np.uint32)
        return signature(words, (self.start >> 2)[:, None] + np.arange(words.shape[1]))

    def locate(self, row: int, byte: int) -> str:
        """In words, which element `data[row, byte]` belongs to."""
        place = f"{self.target.value} byte {int(self.start[row]) + byte:#x}"
        if not self.width:
            return f"{place} (row {row}, byte {byte})"
        pixel, tile = divmod(row, self.tiles)
        channel = (tile * self.data.shape[1] + byte) * 8 // self.bits
        return f"{place} (pixel y={pixel // self.width} x={pixel % self.width}, channel {channel})"


def row_places(pixels: int, groups: int, block: int, turn: int = 0, turns: int = 1) -> Ints:
    """Place of every (pixel, group) row in the order block, turn, group, pixel: (pixels, groups).

    turns: how often the groups of a block are gone through (microwords that read accumulators).
    """
    first = np.arange(pixels) // block * block
    size = np.minimum(block, pixels - first)
    place = first * groups * turns + np.arange(pixels) - first + turn * groups * size
    return place[:, None] + np.arange(groups) * size[:, None]


@dataclass(frozen=True)
class Rows:
    """What one MATMUL hands over: values (pixels, tiles, C) int32 in row-major pixels, and its block."""

    values: Int32s
    block: int

    @property
    def count(self) -> int:
        """Rows in it."""
        return self.values.shape[0] * self.values.shape[1]

    def in_order(self) -> Int32s:
        """The rows as they leave: (rows, C)."""
        pixels, tiles, lanes = self.values.shape
        out = np.empty((pixels * tiles, lanes), dtype=np.int32)
        out[row_places(pixels, tiles, self.block)] = self.values
        return out


class RowStream:
    """Accumulator rows on their way from the MXU to the VPU, first in, first out."""

    def __init__(self) -> None:
        self._waiting: deque[Rows | Int32s] = deque()
        self.available = 0
        self.taken = 0

    def put(self, rows: Rows) -> None:
        """Append the rows of one MATMUL."""
        self._waiting.append(rows)
        self.available += rows.count

    def take(self, pixels: int, groups: int, block: int, turns: int) -> list[Int32s]:
        """The next rows, one (pixels, groups, C) array a turn. Needs `pixels * groups * turns` available rows."""
        count = pixels * groups * turns
        self.available -= count
        self.taken += count
        head = self._waiting[0]
        if turns == 1 and isinstance(head, Rows) and head.values.shape[:2] == (pixels, groups) and head.block == block:
            self._waiting.popleft()
            return [head.values]  # the usual case: VECTOR mirrors the MATMUL that feeds it
        parts = []
        while count:
            part = self._waiting.popleft()
            ordered = part.in_order() if isinstance(part, Rows) else part
            if len(ordered) > count:
                self._waiting.appendleft(ordered[count:])
            parts.append(ordered[:count])
            count -= len(parts[-1])
        rows = np.concatenate(parts)
        return [rows[row_places(pixels, groups, block, turn, turns)] for turn in range(turns)]


class ChipState:
    """Scratchpad, program store, code tables, row scalars, rows under way; all zero and empty at first."""

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.spad: Bytes = np.zeros(config.spad_bytes, dtype=np.uint8)
        self.prog: Bytes = np.zeros(config.prog_words * MICROWORD_BYTES, dtype=np.uint8)
        self.tables: Bytes = np.zeros(config.tables * TABLE_BYTES, dtype=np.uint8)
        self.row_scalars: Int32s = np.zeros((ROW_SCALARS, config.rows), dtype=np.int32)
        self.rows = RowStream()

    def store(self, space: Space) -> Bytes:
        """The bytes that a LOAD to `space` writes."""
        return {Space.SPAD: self.spad, Space.PROG: self.prog, Space.TABLE: self.tables}[space]

    def entries(self, table: int) -> NDArray[np.int8]:
        """The 16 entries of a code table: the low five bits of each byte, signed."""
        return entries_of(self.tables[table * TABLE_BYTES :][:16])

    def codes(self, table: int) -> NDArray[np.uint8]:
        """Code of every int16, index `v + 32768`."""
        thresholds = self.tables[table * TABLE_BYTES + 16 :][:30].view("<i2")
        return threshold_codes(tuple(thresholds.tolist()))
