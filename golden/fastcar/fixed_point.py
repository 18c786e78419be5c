"""Positive real factors as a 15-bit multiplier and a shift, the form that every requantisation takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fixed_point(factor: Any) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """multiplier int16 in 16384..32767 and shift uint8 with `multiplier * 2^-shift ~ factor`, an array of floats > 0.

    Raises ValueError for a factor that no shift in 0..47 reaches.
    """
    factor = np.asarray(factor, dtype=np.float64)
    mantissa, exponent = np.frexp(factor)
    multiplier = np.floor(mantissa * (1 << 15) + 0.5).astype(np.int64)
    carry = multiplier == 1 << 15
    multiplier, exponent = np.where(carry, 1 << 14, multiplier), exponent + carry
    shift = 15 - exponent.astype(np.int64)
    if (factor <= 0).any() or shift.min() < 0 or shift.max() > 47:
        raise ValueError("a scale must lie in 2^-33 .. 2^15: the tensor's range is out of reach of a 15-bit multiplier")
    return multiplier.astype(np.int16), shift.astype(np.uint8)
