"""Code tables: what a 4-bit code means (16 int8 entries) and which code a 16-bit value gets (15 thresholds).

A table serves every 4-bit activation format of the paper alike: uniform, LogNP (QuartDepth, section on polishing:
`Phi(x, w) = sign(x) (log2(|x| + w) - log2 w)`, quantised uniformly) and the log2 quantiser behind the softmax.
No logarithm is evaluated on the chip: a threshold is the smallest input for which the float formula gives the next
code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE_BYTES = 64  # 16 int8 decode entries, then 15 int16 thresholds, then two bytes of zero, then 16 unused
INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1
Formula = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class CodeTable:
    """`entries[c]`: int8 meaning of code c. `thresholds`: rising int16; `encode(v)` counts those with `v >= t`."""

    entries: tuple[int, ...]
    thresholds: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.entries) != 16 or not all(-128 <= e <= 127 for e in self.entries):
            raise ValueError("a code table has 16 entries in -128..127")
        if len(self.thresholds) != 15 or not all(INT16_MIN <= t <= INT16_MAX for t in self.thresholds):
            raise ValueError("a code table has 15 thresholds in -32768..32767")
        if any(a > b for a, b in zip(self.thresholds, self.thresholds[1:], strict=False)):
            raise ValueError("the thresholds of a code table must not fall")

    def decode(self, codes: Any) -> NDArray[np.int8]:
        """Meaning of every code (0..15), int8."""
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
        """Inverse of `to_bytes`. Raises ValueError for a wrong length or falling thresholds."""
        if len(data) != TABLE_BYTES:
            raise ValueError(f"a code table is {TABLE_BYTES} bytes, got {len(data)}")
        entries = np.frombuffer(data[:16], dtype="<i1")
        thresholds = np.frombuffer(data[16:46], dtype="<i2")
        return cls(tuple(entries.tolist()), tuple(thresholds.tolist()))

    @classmethod
    def uniform(cls, step: float, zero_point: int, gain: int = 1) -> CodeTable:
        """Uniform asymmetric codes `clamp(round(v / step) + zero_point, 0, 15)`, meaning `gain * (c - zero_point)`.

        step: input units between neighbouring codes, above 0. A tie (a value in the middle) goes to the upper code.
        Raises ValueError when the zero point is no code, the step not positive or an entry does not fit in int8.
        """
        _check_zero_point(zero_point)
        _check_positive("step", step)
        entries = tuple(gain * (c - zero_point) for c in range(16))
        bounds = [step * (i + 0.5 - zero_point) for i in range(15)]
        return cls(entries, _thresholds(bounds, uniform_formula(step, zero_point)))

    @classmethod
    def lognp(cls, step: float, zero_point: int, unit: float, peak: int = 127) -> CodeTable:
        """LogNP codes of a polished tensor (`x = w_i v unit`), `clamp(round(y / step) + zero_point, 0, 15)`.

        `y = sign(v) log2(1 + |v| unit)` is the polished value in octaves, `step` its quantisation step; the inverse
        `sign(c) (2^(step |c|) - 1)` (c counted from the zero point) is scaled so that its largest magnitude is
        `peak`, and rounded to int8. `entry * lognp_scale(step, zero_point, peak)` is x / w_i again.
        A tie goes to the upper code. Raises ValueError as `uniform`.
        """
        _check_zero_point(zero_point)
        _check_positive("step", step)
        _check_positive("unit", unit)
        scale = lognp_scale(step, zero_point, peak)
        entries = tuple(_round(_unpolish(step * (c - zero_point)) / scale) for c in range(16))
        bounds = [_unpolish(step * (i + 0.5 - zero_point)) / unit for i in range(15)]
        return cls(entries, _thresholds(bounds, lognp_formula(step, zero_point, unit)))

    @classmethod
    def log2_softmax(cls, one: int, step: float = 0.5, peak: int = 127) -> CodeTable:
        """Log2 codes of probabilities: code 15 - k means `2^(-step k)` for k = 0..14, code 0 means zero.

        one: the input value that stands for probability one (1..32767). `k = round(-log2(v / one) / step)`, a tie
        goes to the larger probability; k above 14 and v <= 0 are code 0, v above `one` is code 15.
        Raises ValueError for `one`, `step` or `peak` out of range.
        """
        _check_positive("step", step)
        if not 1 <= one <= INT16_MAX:
            raise ValueError(f"one must be in 1..{INT16_MAX}, not {one}")
        if not 1 <= peak <= 127:
            raise ValueError(f"peak must be in 1..127, not {peak}")
        entries = (0, *(_round(peak * 2.0 ** (-step * (15 - c))) for c in range(1, 16)))
        bounds = [one * 2.0 ** (-step * (14.5 - i)) for i in range(15)]
        return cls(entries, _thresholds(bounds, log2_formula(one, step)))


def uniform_formula(step: float, zero_point: int) -> Formula:
    """The float64 formula that `CodeTable.uniform(step, zero_point).encode` equals for every int16."""
    return lambda v: np.clip(np.floor(v / step + 0.5) + zero_point, 0, 15)


def lognp_formula(step: float, zero_point: int, unit: float) -> Formula:
    """The float64 formula that `CodeTable.lognp(step, zero_point, unit).encode` equals for every int16."""

    def code(v: NDArray[np.float64]) -> NDArray[np.float64]:
        polished = np.sign(v) * np.log2(1.0 + np.abs(v) * unit)
        return np.clip(np.floor(polished / step + 0.5) + zero_point, 0, 15)

    return code


def log2_formula(one: int, step: float) -> Formula:
    """The float64 formula that `CodeTable.log2_softmax(one, step).encode` equals for every int16."""

    def code(v: NDArray[np.float64]) -> NDArray[np.float64]:
        k = np.ceil(-np.log2(np.maximum(v, 1.0) / one) / step - 0.5)
        return np.where(v > 0, np.clip(15 - k, 0, 15), 0)

    return code


def lognp_scale(step: float, zero_point: int, peak: int = 127) -> float:
    """What one unit of an entry of `CodeTable.lognp` is worth, in multiples of w_i."""
    return _unpolish(step * max(zero_point, 15 - zero_point)) / peak


@lru_cache(maxsize=256)
def threshold_codes(thresholds: tuple[int, ...]) -> NDArray[np.uint8]:
    """Code of every int16 value, index `v + 32768`; right for thresholds in any order, as the comparators are."""
    starts = np.bincount(np.array(thresholds, dtype=np.int64) - INT16_MIN, minlength=1 << 16)
    return np.cumsum(starts).astype(np.uint8)


def _unpolish(y: float) -> float:
    return math.copysign(2.0 ** abs(y) - 1.0, y)


def _round(v: float) -> int:
    return math.floor(v + 0.5)


def _thresholds(bounds: list[float], formula: Formula) -> tuple[int, ...]:
    """Smallest int16 that the formula gives code i + 1 or more, near `bounds[i]`, where it does so in real numbers.

    Float64 may put a value that lies on a bound to either side; the formula, not the bound, has the last word.
    Raises ValueError for a code that no int16 reaches: no threshold could keep 32767 away from it.
    """
    out = []
    for i, bound in enumerate(bounds):
        t = math.ceil(min(max(bound, INT16_MIN), INT16_MAX + 1))
        window = np.arange(max(t - 2, INT16_MIN), min(t + 2, INT16_MAX) + 1)
        hits = window[formula(window.astype(np.float64)) >= i + 1]
        if not hits.size:
            raise ValueError(f"no int16 input reaches code {i + 1}: choose a smaller step or a larger unit")
        out.append(int(hits[0]))
    return tuple(out)


def _check_zero_point(zero_point: int) -> None:
    if not 0 <= zero_point <= 15:
        raise ValueError(f"the zero point must be a code, 0..15, not {zero_point}")


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive, not {value}")
