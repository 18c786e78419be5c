"""What every layer in integers does with its maps' codes, by docs/numerics.md."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat32
from triptych.golden.quartdepth.network.qparams import QParams, Residual, Scale


class QMaps(Protocol):
    """Codes of the maps made so far, and what they mean."""

    def codes(self, name: str) -> Ints:
        """[h,w,c]."""

    def qparams(self, name: str) -> QParams:
        """Of a map."""


def read(maps: QMaps, name: str) -> Ints:
    """What the engines see of a map."""
    return maps.qparams(name).read(maps.codes(name))


def apply(v: Ints, scale: Scale) -> Ints:
    """`sat32(rs(v * multiplier, shift))`."""
    return sat32(rs(v * scale.multiplier, scale.shift))


def finish(
    maps: QMaps, name: str, y: Ints, lo: int, hi: int, residual: Residual | None = None, fraction: int = 0
) -> Ints:
    """Codes of map `name`: residual, rounding, zero point, clamp, encoder."""
    qparams = maps.qparams(name)
    if residual is not None:
        y = sat32(y + apply(read(maps, residual.source) + residual.add, residual.scale))
    return qparams.store(np.clip(rs(y, fraction) + qparams.zero, lo, hi))
