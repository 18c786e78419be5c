"""What a random network is made of: for each kind of step how it is drawn, its shape, and its lines of PyTorch.

Values are maps [1,C,H,W]. A step names the values that it reads by their places; the text of a step reads them as
`{0}`, `{1}`... A kind says itself which sizes are legal, so that a network stays legal while it is made smaller.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST_ELEMENTS = 1 << 14  # of a map


class Size(NamedTuple):
    """Channels, height and width of a map."""

    c: int
    h: int
    w: int


@dataclass(frozen=True)
class Step:
    """One step: its kind, the values that it reads (0 is the input, n the result of step n), and its numbers."""

    kind: str
    inputs: tuple[int, ...]
    numbers: Mapping[str, int]


class Kind(ABC):
    """A kind of step. often: how often it is drawn, relative to others. last: only the output may be made so.
    positive: numbers that are 1 at least, the others 0."""

    often = 1.0
    last = False
    positive: tuple[str, ...] = ()

    def legal_size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        """Size of what it makes; None where numbers or sizes are not legal, or too large for a test."""
        if any(value < (name in self.positive) for name, value in numbers.items()):
            return None
        size = self.size(numbers, sizes)
        return size if size is not None and min(size) >= 1 and size.c * size.h * size.w <= MOST_ELEMENTS else None

    def inputs(self, rng: random.Random, sizes: Sequence[Size], pick: int) -> tuple[int, ...] | None:
        """The values to read: `pick`, and others if it takes more."""
        return (pick,)

    @abstractmethod
    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        """Random numbers for inputs of these sizes."""

    @abstractmethod
    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        """Size of what it makes of legal numbers; None where the inputs' sizes do not allow them."""

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        """Modules that it owns, as text by the suffix of their name."""
        return {}

    @abstractmethod
    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        """Lines of `forward`, the last of them an expression; `{me}` is what its modules' names begin with."""
