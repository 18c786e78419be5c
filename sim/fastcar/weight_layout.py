"""How int4 weights lie in memory for the engine of `rtl/fastcar`: tile, segment, word (docs/fastcar.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack_weights(weight: NDArray[np.int8], width: int, words: int) -> NDArray[np.uint8]:
    """uint8[tiles, segments, words, width] of int8[outputs, inputs] in -8..7, zero beyond the matrix.

    A word holds `width` inputs of a pair of outputs, a byte each: the even output in the low nibble. A tile is `words`
    pairs. Raises ValueError for a weight that is not an int4.
    """
    if weight.size and not -8 <= int(weight.min()) <= int(weight.max()) <= 7:
        raise ValueError("weights must lie in -8..7")
    outputs, inputs = weight.shape
    tiles = -(-outputs // (2 * words))
    segments = -(-inputs // width)
    padded = np.zeros((tiles * words * 2, segments * width), np.int8)
    padded[:outputs, :inputs] = weight
    nibbles = padded.view(np.uint8) & 15
    pairs = nibbles[0::2] | nibbles[1::2] << 4
    return np.ascontiguousarray(pairs.reshape(tiles, words, segments, width).transpose(0, 2, 1, 3))


def pack_inputs(x: NDArray[np.int8], width: int) -> NDArray[np.int8]:
    """int8[rows, segments, width] of int8[rows, inputs], zero beyond the row."""
    rows, inputs = x.shape
    segments = -(-inputs // width)
    padded = np.zeros((rows, segments * width), np.int8)
    padded[:, :inputs] = x
    return padded.reshape(rows, segments, width)
