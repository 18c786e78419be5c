"""Accumulator rows as the MXU hands them to a VPU with fewer lanes than the MXU has columns: in parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def in_parts(rows: NDArray[np.int32], counts: Sequence[int], lanes: int) -> NDArray[np.int32]:
    """(n, C) rows to (n * C / lanes, lanes): of every column tile of a block the first part of all rows comes first.

    counts: rows of each tile of a block, in order. Rows behind these make a last tile.
    """
    out, at = [np.zeros((0, lanes), np.int32)], 0
    for count in (*counts, len(rows) - sum(counts)):
        tile = rows[at : at + count].reshape(count, rows.shape[1] // lanes, lanes)
        out.append(tile.swapaxes(0, 1).reshape(-1, lanes))
        at += count
    return np.concatenate(out)


def blocks(pixels: int, block: int) -> list[int]:
    """Pixels of each block of a picture."""
    return [min(block, pixels - first) for first in range(0, pixels, block)]
