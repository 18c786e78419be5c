"""Rectangles of cells: what a tile of a step reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from triptych.golden.quartdepth.compiler.places import Place


def even_block(count: int, most: int) -> int:
    """The size of as few blocks of at most `most` as `count` takes, all but the last of one size: a short last one
    would be over before the array has its next weights."""
    return -(-count // -(-count // most))


class Rect(NamedTuple):
    """Cells [r0, r1) x [c0, c1) of a storage."""

    r0: int
    r1: int
    c0: int
    c1: int

    def join(self, other: Rect) -> Rect:
        """The smallest rectangle around both."""
        return Rect(min(self.r0, other.r0), max(self.r1, other.r1), min(self.c0, other.c0), max(self.c1, other.c1))

    @property
    def area(self) -> int:
        """Cells."""
        return (self.r1 - self.r0) * (self.c1 - self.c0)


class Tile(NamedTuple):
    """Grid points [y0, y1) x [x0, x1) of every job of a step; attention: sequences [y0, y1), of each the queries in
    token rows [x0, x1), or the queries [x0, x1) where a sequence is one row."""

    y0: int
    y1: int
    x0: int
    x1: int


class PieceKey(NamedTuple):
    """Which operand of a step: its role ("in", "res", "out", "query", ...) and the piece of it."""

    role: str
    piece: int


@dataclass(frozen=True)
class Piece:
    """A rectangle of a place that a tile reads or writes."""

    place: Place
    rect: Rect
