"""The best sixteen levels of a code table: exact for a scale and a zero, which are searched.

A table's entries are 16 of the 32 whole numbers of a grid (`arithmetic/codetable.py`); a level is `scale * (entry -
zero)`. For given scale and zero the sixteen that leave least weighted square error, zero one of them, follow from a
dynamic program over the grid: what lies between two neighbouring levels costs the same whatever the others are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.codetable import ENTRY_MAX, ENTRY_MIN, INT16_MAX, INT16_MIN, CodeTable
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.qparams import QParams

COUNT = 16
GRID = ENTRY_MAX - ENTRY_MIN + 1
GROUPS = 6144  # of neighbouring samples that the search takes together
NARROWEST, WIDEST = 0.4, 31 / 7  # of the grid over the samples' span: some cut off, or a few coarse levels inside
RATIO = 1.2  # of neighbouring scales of the first search
FINER = (0.85, 0.9, 0.95, 1.05, 1.1, 1.15)  # of the second, around the best
ZEROS = (1.0, 0.75, 0.5)  # shares of what lies below zero that a grid may hold
ROOM = 0.9  # of int16 for the largest calibrated value, so that a larger one still has a place
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """entries: rising, `zero` among them, 16 or fewer. error: weighted square error that they leave."""

    scale: float
    zero: int
    entries: tuple[int, ...]
    error: float


class Samples:
    """Weighted samples in rising order, neighbours taken together, with prefix sums."""

    def __init__(self, values: Floats, weight: Floats) -> None:
        order = np.argsort(values, kind="stable")
        x, m = values[order], weight[order] + 1e-30
        self.low, self.high = min(float(x[0]), 0.0), max(float(x[-1]), 0.0)
        edges = np.unique(np.linspace(0, len(x), GROUPS + 1).astype(int))[:-1]
        moments = [np.add.reduceat(a, edges) for a in (m, m * x, m * x * x)]
        self.mean = moments[1] / moments[0]
        self.sums = [np.concatenate([[0.0], a.cumsum()]) for a in moments]

    def cost(self, first: NDArray[np.int64], last: NDArray[np.int64], level: Floats) -> Floats:
        """Weighted square error of samples [first, last) at a level."""
        m0, m1, m2 = (s[last] - s[first] for s in self.sums)
        return m2 - 2 * level * m1 + level * level * m0

    def best(self, level: Floats, zero: int) -> tuple[list[int], float]:
        """Indices of the best `COUNT` of rising levels, the one of `zero` among them, and what they leave."""
        n, end = len(level), np.int64(len(self.mean))
        at = np.searchsorted(self.mean, level)
        middle = np.searchsorted(self.mean, (level[:, None] + level) / 2)
        i, j = np.ogrid[:n, :n]
        between = self.cost(at[:, None], middle, level[:, None]) + self.cost(middle, at[None], level[None])
        between = np.where((i < j) & ~((i < zero) & (j > zero)), between, np.inf)
        each = np.arange(n)
        left = np.where(each <= zero, self.cost(np.zeros_like(at), at, level), np.inf)
        right = np.where(each >= zero, self.cost(at, np.full_like(at, end), level), np.inf)
        least, back = left, []
        for _ in range(min(COUNT, n) - 1):
            whole = least[:, None] + between
            back.append(whole.argmin(0))
            least = whole.min(0)
        last = int((least + right).argmin())
        picked = [last]
        for before in reversed(back):
            picked.append(int(before[picked[-1]]))
        return picked[::-1], float((least + right)[last])

    def levels(self, scale: float, zero: int) -> Levels:
        """The best of the grid. zero: the entry that means zero."""
        entries = np.arange(ENTRY_MIN, ENTRY_MAX + 1)
        picked, error = self.best((entries - zero).astype(np.float64) * scale, zero - ENTRY_MIN)
        return Levels(scale, zero, tuple(entries[picked].tolist()), error)

    def zeros(self, scale: float) -> list[int]:
        """Entries to try for zero."""
        return sorted({int(np.clip(round(-self.low * share / scale), 0, GRID - 1)) + ENTRY_MIN for share in ZEROS})


def best_tables(
    v: Tensor, weight: Tensor, count: int = 2, zeros: tuple[int, ...] | None = None
) -> Iterator[QParams]:  # fmt: skip
    """The codes by table that leave least weighted square error on samples v [C,S] whose channels count by weight [C],
    best first: of `count` scales and zeros. zeros: entries that may mean zero, if not any. None where all samples are
    zero."""
    values = v.detach().flatten().double().cpu().numpy()
    samples = Samples(values, weight[:, None].expand_as(v).flatten().double().cpu().numpy())
    span = max(samples.high, -samples.low)
    if span < 1e-12:
        return
    low, high = NARROWEST * span / (GRID - 1), WIDEST * span / (GRID - 1)
    scales = np.geomspace(low, high, math.ceil(math.log(high / low) / math.log(RATIO)) + 1).tolist()
    found = [samples.levels(scale, zero) for scale in scales for zero in zeros or samples.zeros(scale)]
    centre = min(found, key=lambda f: f.error).scale
    found += [samples.levels(centre * f, zero) for f in FINER for zero in zeros or samples.zeros(centre * f)]
    for levels in sorted(found, key=lambda f: f.error)[:count]:
        yield table_code(levels, span)


def table_code(levels: Levels, peak: float) -> QParams:
    """The code whose thresholds lie in the middle between levels; samples reach to `peak`."""
    entries = levels.entries + (levels.entries[-1],) * (COUNT - len(levels.entries))
    unit = table_unit(peak)
    middles = [((a + b) / 2 - levels.zero) * levels.scale / unit for a, b in pairwise(levels.entries)]
    thresholds = [int(np.clip(math.ceil(t) + levels.zero, INT16_MIN, INT16_MAX)) for t in middles]
    thresholds += [INT16_MAX] * (COUNT - 1 - len(thresholds))
    return QParams(Format.TABLE4, levels.scale, levels.zero, CodeTable(entries, tuple(thresholds)), unit)


def table_unit(peak: float) -> float:
    """What one unit of the 16-bit value in front of an encoder is worth."""
    return max(peak, 1e-9) / (INT16_MAX * ROOM)
