"""Any function of single values, as ramps from knot to knot: what has no sum of the chip's own functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.isa import Function
from triptych.golden.quartdepth.network.layer import QLayer, Quantising
from triptych.golden.quartdepth.network.ops._pointwise import QPointwise, new_map, signed, weighted_sum
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, QParams, Scale, fixed_point

MOST_RAMPS = 64
FAR = 1 / 512  # of the function's spread: how far the ramps may be off it
FINE = 64  # of a code: what a ramp's sum is counted in

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def quantised_curve(
    name: str, source: str, curve: Curve, q: Quantising, reach: tuple[float, float] | None = None
) -> list[QLayer]:
    """Map `name` as a function of every value of map `source`, within `reach` (without: the values that calibration
    saw); beyond it stays what it is at the end.

    Between knots, which are codes of the source, the function is a straight line; there are as few knots as leave it
    within `FAR`, at most `MOST_RAMPS` and one. Each line is a map of its own, clamped at both ends; they are added in
    pairs, so that what is rounded finely is added first.
    """
    low, high = q.ranges[source] if reach is None else reach
    read_as = q.qparams(source)
    codes = _codes(read_as, low, high)
    x = read_as.scale * (codes - read_as.zero).astype(np.float64)
    values = curve(np.clip(x, low, high))
    knots = _knots(codes, values)
    parts: list[tuple[str, NDArray[np.float64]]] = []
    layers: list[QLayer] = []
    for n in range(len(knots) - 1):
        own = name if len(knots) == 2 else f"{name}.ramp{n}"
        start = values[knots[0]] if n == 0 else 0.0
        ends = start, start + values[knots[n + 1]] - values[knots[n]]
        if len(knots) > 2:
            new_map(q, own, name, min(ends), max(ends))
        layers.append(_ramp(own, source, int(codes[knots[n]]), int(codes[knots[n + 1]]), ends, q))
        piece = np.interp(codes, codes[knots[n : n + 2]], ends)
        parts.append((own, piece))
    number = 0
    while len(parts) > 1:
        above = []
        for at in range(0, len(parts) - 1, 2):
            (one, left), (two, right) = parts[at], parts[at + 1]
            both, last = left + right, len(parts) == 2
            own = name if last else f"{name}.sum{number}"
            if not last:
                new_map(q, own, name, float(both.min()), float(both.max()))
            layers.append(weighted_sum(own, one, 1.0, two, 1.0, q))
            above.append((own, both))
            number += 1
        parts = [*above, *parts[len(parts) - len(parts) % 2 :]]
    return layers


def _codes(qparams: QParams, low: float, high: float) -> NDArray[np.int64]:
    """What the engines read of the values low..high: whole numbers, two at least."""
    first, last = (round(v / qparams.scale) + qparams.zero for v in (low, high))
    return np.arange(first, max(last, first + 1) + 1)


def _knots(codes: NDArray[np.int64], values: NDArray[np.float64]) -> list[int]:
    """Indices of codes; more where the function bends more."""
    spread = float(np.ptp(values))
    bend = np.zeros(len(codes))
    bend[1:-1] = np.sqrt(np.abs(np.diff(values, 2)))
    weight = np.cumsum(bend + 1e-9)
    count = 1
    while True:
        wanted = np.linspace(0, weight[-1], count + 1)[1:-1]
        knots = sorted({0, len(codes) - 1, *np.searchsorted(weight, wanted).tolist()})
        far = np.abs(np.interp(codes, codes[knots], values[knots]) - values).max()
        if far <= FAR * spread or count >= MOST_RAMPS:
            return knots
        count *= 2


def _ramp(name: str, source: str, first: int, last: int, ends: tuple[float, float], q: Quantising) -> QPointwise:
    """From `ends[0]` at code `first` to `ends[1]` at code `last`, flat beyond."""
    out = q.qparams(name)
    per_code = (ends[1] - ends[0]) / (last - first) / FINE / out.step
    after = signed(per_code, f"'{name}': a ramp") if abs(per_code) > 1e-12 else Scale(0, 0)
    lo, hi = out.clamp
    floor, top = (int(np.clip(out.zero + round(v / out.step), lo, hi)) for v in (min(ends), max(ends)))
    offset = int(np.clip(round(ends[0] / out.step), -32768 - min(out.zero, 0), 32767 - max(out.zero, 0)))
    fine = fixed_point(min(float(FINE), LARGEST_FACTOR))
    return QPointwise(name, source, -first, fine, after, floor, top, Function.IDENT.name, offset)
