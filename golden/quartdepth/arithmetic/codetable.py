"""Code tables: what a 4-bit code means (16 entries of 5 bits) and which code a 16-bit value gets (15 thresholds).

A table serves every 4-bit activation format of the paper alike: uniform, LogNP (QuartDepth, section on polishing:
`Phi(x, w) = sign(x) (log2(|x| + w) - log2 w)`, quantised uniformly) and the log2 quantiser behind the softmax.
No logarithm is evaluated on the chip: a threshold is the smallest input for which the float formula gives the next
code.

Entries are 16 of the 32 whole numbers -16..15, the operands that the array multiplies in one pass. So that all 32
serve where values lie on one side of zero, some entry `zero` means zero: code c means `entries[c] - zero`, and what is
encoded is the value plus `zero`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE_BYTES = 64  # 16 entries, a byte each, then 15 int16 thresholds, then two bytes of zero, then 16 unused
ENTRY_MIN, ENTRY_MAX = -16, 15
INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1
Formula = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class CodeTable:
    """`entries[c]`: what code c stands for. `thresholds`: rising int16; `encode(v)` counts those with `v >= t`."""

    entries: tuple[int, ...]
    thresholds: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.entries) != 16 or not all(ENTRY_MIN <= e <= ENTRY_MAX for e in self.entries):
            raise ValueError(f"a code table has 16 entries in {ENTRY_MIN}..{ENTRY_MAX}")
        if len(self.thresholds) != 15 or not all(INT16_MIN <= t <= INT16_MAX for t in self.thresholds):
            raise ValueError("a code table has 15 thresholds in -32768..32767")
        if any(a > b for a, b in zip(self.thresholds, self.thresholds[1:], strict=False)):
            raise ValueError("the thresholds of a code table must not fall")

    def decode(self, codes: Any) -> NDArray[np.int8]:
        """Entry of every code (0..15), int8."""
        return np.array(self.entries, dtype=np.int8)[np.asarray(codes)]

    def encode(self, values: Any) -> NDArray[np.uint8]:
        """Code of every int16 value: the number of thresholds at or below it."""
        return threshold_codes(self.thresholds)[np.asarray(values, dtype=np.int64) - INT16_MIN]

    def to_bytes(self) -> bytes:
        """The 64 bytes that LOAD writes: entries, thresholds, zeros."""
        data = np.array(self.entries, dtype="<i1").tobytes() + np.array(self.thresholds, dtype="<i2").tobytes()
        return data.ljust(TABLE_BYTES, b"\0")

    @classmethod
    def from_bytes(cls, data: bytes) -> CodeTable:
        """Inverse of `to_bytes`; of an entry's byte the low five bits count. Raises ValueError for a wrong length or
        falling thresholds."""
        if len(data) != TABLE_BYTES:
            raise ValueError(f"a code table is {TABLE_BYTES} bytes, got {len(data)}")
        entries = entries_of(np.frombuffer(data[:16], dtype=np.uint8))
        thresholds = np.frombuffer(data[16:46], dtype="<i2")
        return cls(tuple(entries.tolist()), tuple(thresholds.tolist()))

    @classmethod
    def uniform(cls, step: float, zero_point: int) -> CodeTable:
        """Uniform asymmetric codes `clamp(round(v / step) + zero_point, 0, 15)`; entry 0 is zero.

        step: input units between neighbouring codes, above 0. A tie (a value in the middle) goes to the upper code.
        Raises ValueError when the zero point is no code or the step not positive.
        """
        _check_zero_point(zero_point)
        _check_positive("step", step)
        entries = tuple(c - zero_point for c in range(16))
        bounds = [step * (i + 0.5 - zero_point) for i in range(15)]
        return cls(entries, _thresholds(bounds, uniform_formula(step, zero_point), 0))

    @classmethod
    def lognp(cls, step: float, zero_point: int, unit: float) -> CodeTable:
        """LogNP codes of a polished tensor (`x = w_i v unit`), `clamp(round(y / step) + zero_point, 0, 15)`.

        `y = sign(v) log2(1 + |v| unit)` is the polished value in octaves, `step` its quantisation step; the inverse
        `sign(c) (2^(step |c|) - 1)` (c counted from the zero point) is scaled so that it spans the grid, and rounded
        to it. With `scale, zero = lognp_grid(step, zero_point)`, `(entry - zero) * scale` is x / w_i again, and
        `v + zero` is encoded. A tie goes to the upper code. Raises ValueError as `uniform`.
        """
        _check_positive("unit", unit)
        scale, zero = lognp_grid(step, zero_point)
        entries = (_round(_unpolish(step * (c - zero_point)) / scale) + zero for c in range(16))
        bounds = [_unpolish(step * (i + 0.5 - zero_point)) / unit for i in range(15)]
        thresholds = _thresholds(bounds, lognp_formula(step, zero_point, unit), zero)
        return cls(tuple(min(max(e, ENTRY_MIN), ENTRY_MAX) for e in entries), thresholds)

    @classmethod
    def log2_softmax(cls, one: int, step: float = 0.5) -> CodeTable:
        """Log2 codes of probabilities: code 15 - k means `2^(-step k)` for k = 0..14, code 0 means zero.

        one: the input value that stands for probability one (1..32767). `k = round(-log2(v / one) / step)`, a tie
        goes to the larger probability; k above 14 and v <= 0 are code 0, v above `one` is code 15. Entries are 31sts,
        `ENTRY_MIN` is zero, and `v + ENTRY_MIN` is encoded. Raises ValueError for `one` or `step` out of range.
        """
        _check_positive("step", step)
        if not 1 <= one <= INT16_MAX:
            raise ValueError(f"one must be in 1..{INT16_MAX}, not {one}")
        span = ENTRY_MAX - ENTRY_MIN
        entries = (0, *(_round(span * 2.0 ** (-step * (15 - c))) for c in range(1, 16)))
        bounds = [one * 2.0 ** (-step * (14.5 - i)) for i in range(15)]
        thresholds = _thresholds(bounds, log2_formula(one, step), ENTRY_MIN)
        return cls(tuple(e + ENTRY_MIN for e in entries), thresholds)


def uniform_formula(step: float, zero_point: int) -> Formula:
    """The float64 formula that `CodeTable.uniform(step, zero_point).encode` equals for every int16."""
    return lambda v: np.clip(np.floor(v / step + 0.5) + zero_point, 0, 15)


def lognp_formula(step: float, zero_point: int, unit: float) -> Formula:
    """The float64 formula that `CodeTable.lognp(step, zero_point, unit).encode(v + zero)` equals for every int16."""

    def code(v: NDArray[np.float64]) -> NDArray[np.float64]:
        polished = np.sign(v) * np.log2(1.0 + np.abs(v) * unit)
        return np.clip(np.floor(polished / step + 0.5) + zero_point, 0, 15)

    return code


def log2_formula(one: int, step: float) -> Formula:
    """The float64 formula that `CodeTable.log2_softmax(one, step).encode(v + ENTRY_MIN)` equals for every int16."""

    def code(v: NDArray[np.float64]) -> NDArray[np.float64]:
        k = np.ceil(-np.log2(np.maximum(v, 1.0) / one) / step - 0.5)
        return np.where(v > 0, np.clip(15 - k, 0, 15), 0)

    return code


def lognp_grid(step: float, zero_point: int) -> tuple[float, int]:
    """What one unit of an entry of `CodeTable.lognp` is worth, in multiples of w_i, and the entry that means zero.
    Raises ValueError when the zero point is no code or the step not positive."""
    _check_zero_point(zero_point)
    _check_positive("step", step)
    low, high = _unpolish(-step * zero_point), _unpolish(step * (15 - zero_point))
    scale = (high - low) / (ENTRY_MAX - ENTRY_MIN)
    return scale, _round(ENTRY_MIN - low / scale)


def entries_of(data: NDArray[np.uint8]) -> NDArray[np.int8]:
    """What the chip takes of an entry's byte: the low five bits, signed."""
    return (((data & 31) ^ 16).astype(np.int8) - 16).astype(np.int8)


@lru_cache(maxsize=256)
def threshold_codes(thresholds: tuple[int, ...]) -> NDArray[np.uint8]:
    """Code of every int16 value, index `v + 32768`; right for thresholds in any order, as the comparators are."""
    starts = np.bincount(np.array(thresholds, dtype=np.int64) - INT16_MIN, minlength=1 << 16)
    return np.cumsum(starts).astype(np.uint8)


def _unpolish(y: float) -> float:
    return math.copysign(2.0 ** abs(y) - 1.0, y)


def _round(v: float) -> int:
    return math.floor(v + 0.5)


def _thresholds(bounds: list[float], formula: Formula, zero: int) -> tuple[int, ...]:
    """Smallest int16 `v + zero` for which the formula gives v code i + 1 or more, near `bounds[i]`, where it does so in
    real numbers.

    Float64 may put a value that lies on a bound to either side; the formula, not the bound, has the last word.
    Raises ValueError for a code that no int16 reaches: no threshold could keep 32767 away from it.
    """
    out = []
    for i, bound in enumerate(bounds):
        least, most = INT16_MIN - zero, INT16_MAX - zero
        t = math.ceil(min(max(bound, least), most + 1))
        window = np.arange(max(t - 2, least), min(t + 2, most) + 1)
        hits = window[formula(window.astype(np.float64)) >= i + 1]
        if not hits.size:
            raise ValueError(f"no int16 input reaches code {i + 1}: choose a smaller step or a larger unit")
        out.append(int(hits[0]) + zero)
    return tuple(out)


def _check_zero_point(zero_point: int) -> None:
    if not 0 <= zero_point <= 15:
        raise ValueError(f"the zero point must be a code, 0..15, not {zero_point}")


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive, not {value}")
