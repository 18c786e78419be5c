"""Maps whose rows or columns are sums of two of another map's: what resizes, pads, crops and pools are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PERIODS = 8  # output positions that may repeat with other factors each


@dataclass(frozen=True)
class Taps:
    """Of each output position along an axis: two input positions and their factors. A factor 0 counts for nothing."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    weights: tuple[tuple[float, float], ...]

    def __len__(self) -> int:
        return len(self.first)

    def apply(self, a: Tensor, b: Tensor, axis: int) -> Tensor:
        """The sum, of maps in floating point."""
        shape = [-1 if n == axis else 1 for n in range(a.ndim)]
        near, far = torch.tensor(self.weights, dtype=a.dtype, device=a.device).T
        first, second = (torch.tensor(i, device=a.device) for i in (self.first, self.second))
        return a.index_select(axis, first) * near.reshape(shape) + b.index_select(axis, second) * far.reshape(shape)

    @classmethod
    def copies(cls, positions: Sequence[int | None]) -> Taps:
        """Single positions; None: zero."""
        index = tuple(0 if p is None else p for p in positions)
        return cls(index, index, tuple((0.0 if p is None else 1.0, 0.0) for p in positions))

    @classmethod
    def bilinear(cls, inputs: int, outputs: int, aligned: bool, scale: float | None) -> Taps:
        """As PyTorch resizes. scale: output over input where it was given instead of a size."""
        first, second, weights = [], [], []
        for o in range(outputs):
            if aligned:
                at = o * (inputs - 1) / (outputs - 1) if outputs > 1 else 0.0
            else:
                at = max((o + 0.5) * (inputs / outputs if scale is None else 1 / scale) - 0.5, 0.0)
            low = min(int(at), inputs - 1)
            high = min(low + 1, inputs - 1)
            far = at - low if high > low else 0.0
            near = 1.0 - far
            if near < far:  # the nearer one first
                low, high, near, far = high, low, far, near
            first.append(low)
            second.append(high)
            weights.append((near, far) if far > 1e-7 else (1.0, 0.0))
        return cls(tuple(first), tuple(second), tuple(weights))


@dataclass(frozen=True)
class Run:
    """Output positions phase + period * k for k in begin..end - 1, whose input positions are first + first_step *
    (k - begin) and second + second_step * (k - begin), and which have the pair of factors of number `pick`."""

    phase: int
    period: int
    begin: int
    end: int
    first: int
    first_step: int
    second: int
    second_step: int
    pick: int


def runs(first: NDArray[np.int32], second: NDArray[np.int32], pick: NDArray[np.int32]) -> list[Run]:
    """As few as there can be."""
    return min((_runs(first, second, pick, p) for p in range(1, min(PERIODS, len(first)) + 1)), key=len)


def _runs(first: NDArray[np.int32], second: NDArray[np.int32], pick: NDArray[np.int32], period: int) -> list[Run]:
    out = []
    for phase in range(period):
        a, b, c = (values[phase::period].tolist() for values in (first, second, pick))
        begin = 0
        while begin < len(a):
            end = begin + 1
            steps = (1, 1)
            if end < len(a):
                steps = (a[end] - a[begin], b[end] - b[begin])
            while (
                end < len(a) and c[end] == c[begin] and min(steps) >= 0
                and (a[end] - a[end - 1], b[end] - b[end - 1]) == steps
            ):  # fmt: skip
                end += 1
            if end == begin + 1:
                steps = (1, 1)
            out.append(Run(phase, period, begin, end, a[begin], steps[0], b[begin], steps[1], c[begin]))
            begin = end
    return out
