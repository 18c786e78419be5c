"""What the integers of a feature map mean, and fixed-point factors: the vocabulary of quantised layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.codetable import ENTRY_MAX, ENTRY_MIN, CodeTable
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.shapes import Shape

WEIGHT_TOP = 7
LARGEST_FACTOR = 32767.0  # that a fixed-point multiplier can be
NARROW = (-8, 7)
_ZEROS = {Format.TABLE4: (ENTRY_MIN, ENTRY_MAX)}  # where they are not the limits
_LIMITS = {Format.INT8: (-128, 127), Format.UINT4: (0, 15), Format.TABLE4: (0, 15), Format.INT16: (-32768, 32767)}


class QuantizeError(ValueError):
    """The network cannot be quantised as asked; the message names the layer and says why."""


@dataclass(frozen=True)
class QParams:
    """What the numbers of a map mean: `x = scale * (q - zero)`, for TABLE4 `x = scale * (table.entries[q] - zero)`.

    unit: TABLE4 only: `table` encodes int16 values of `x / unit + zero`. A TABLE4 map's scale may be folded channel by
    channel into its neighbours (LogNP); `scale` is then what is left. narrow: INT8 only: the codes are in
    -8..7 (keys and values of attention, which then take one pass of the array as int4 weights do). packed: narrow
    only: two codes lie in a byte (keys that meet coded queries, as int4 weights meet coded maps).
    """

    format: Format
    scale: float
    zero: int = 0
    table: CodeTable | None = None
    unit: float = 1.0
    narrow: bool = False
    packed: bool = False

    def __post_init__(self) -> None:
        lo, hi = _ZEROS.get(self.format, self.limits)
        if not lo <= self.zero <= hi:
            kind = "code" if self.table is None else "entry"
            raise ValueError(f"the zero point {self.zero} is no {self.format.name} {kind}")
        if self.narrow and self.format is not Format.INT8:
            raise ValueError("only INT8 codes can be narrow")
        if self.packed and not self.narrow:
            raise ValueError("only narrow codes can be packed")
        if (self.table is None) == (self.format is Format.TABLE4):
            raise ValueError("a TABLE4 map, and no other, has a code table")
        if self.table is not None and self.zero not in self.table.entries:
            raise ValueError(f"a code table must have an entry {self.zero}, which means zero: it stands for padding")

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        return NARROW if self.narrow else _LIMITS[self.format]

    @property
    def codes(self) -> range:
        """All codes."""
        lo, hi = self.limits
        return range(lo, hi + 1)

    @property
    def step(self) -> float:
        """What one unit of the value that a layer hands to its encoder, or stores, is worth."""
        return self.unit if self.format is Format.TABLE4 else self.scale

    @property
    def clamp(self) -> tuple[int, int]:
        """Limits of that value."""
        return _LIMITS[Format.INT16] if self.format is Format.TABLE4 else self.limits

    @property
    def pad(self) -> int:
        """The code of zero."""
        return self.zero if self.table is None else self.table.entries.index(self.zero)

    @property
    def bits(self) -> int:
        """Bits of a stored code."""
        return 4 if self.packed else {Format.INT8: 8, Format.UINT4: 4, Format.TABLE4: 4, Format.INT16: 16}[self.format]

    def store(self, values: Ints) -> Ints:
        """Codes of already clamped values."""
        return values if self.table is None else self.table.encode(values).astype(np.int64)

    def read(self, codes: Ints) -> Ints:
        """What the engines see: the code itself, or the table's entry."""
        return codes if self.table is None else self.table.decode(codes).astype(np.int64)

    def meaning(self, codes: Ints) -> Ints:
        """`x / scale`, exact."""
        return self.read(codes) - self.zero

    def encode(self, x: NDArray[np.float64]) -> Ints:
        """Codes of real numbers, rounded to nearest."""
        lo, hi = self.clamp
        return self.store(np.clip(np.floor(x / self.step + 0.5).astype(np.int64) + self.zero, lo, hi))

    def decode(self, codes: Ints) -> NDArray[np.float64]:
        """The real numbers that codes stand for."""
        return (self.scale * self.meaning(codes)).astype(np.float64)


@dataclass(frozen=True)
class FeatureMap:
    """Shape and code of a map."""

    shape: Shape
    qparams: QParams


@dataclass(frozen=True)
class Scale:
    """Fixed-point factor: `v -> rs(v * multiplier, shift)`."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class Residual:
    """`rs((B + add) * multiplier, shift)`, added before the clamp; B from map `source`."""

    source: str
    add: int
    scale: Scale


def fixed_point(real: float, what: str = "a factor") -> Scale:
    """The nearest `multiplier / 2^shift`, 15 significant bits. Raises QuantizeError for what does not fit."""
    if not 0 < real < 32767.5 or not math.isfinite(real):
        raise QuantizeError(f"{what} of {real:g} cannot be a fixed-point multiplier: it must be in 0..32767")
    shift = min(14 - math.frexp(real)[1] + 1, 47)
    multiplier = round(math.ldexp(real, shift))
    if multiplier == 32768:
        multiplier, shift = 16384, shift - 1
    return Scale(multiplier, shift)


def uniform_qparams(low: float, high: float, fmt: Format) -> QParams:
    """Asymmetric min-max code of `fmt` for values in low..high (zero is always included, and exact)."""
    low, high = min(low, 0.0), max(high, 0.0)
    first, last = {Format.INT8: (-128, 127), Format.UINT4: (0, 15)}[fmt]
    scale = max((high - low) / (last - first), 1e-9)
    return QParams(fmt, scale, int(np.clip(round(first - low / scale), first, last)))


def symmetric_qparams(low: float, high: float, narrow: bool = False) -> QParams:
    """Symmetric int8 code, -127..127 or, narrow, -7..7."""
    return QParams(Format.INT8, max(-low, high, 1e-9) / (WEIGHT_TOP if narrow else 127), narrow=narrow)
