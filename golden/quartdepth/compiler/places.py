"""Where a feature map lies: a storage of rows and cells, and the map's place in it.

A cell is what one pixel takes, a multiple of a scratchpad word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.network.qparams import QParams


class CompileError(ValueError):
    """The network cannot be compiled for this chip; the message names the layer and what to change."""


def round_up(value: int, multiple: int) -> int:
    """The next multiple at or above `value`."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Storage:
    """`rows` x `cols` cells of `cell` bytes, without gaps."""

    name: str
    rows: int
    cols: int
    cell: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.cols * self.cell


@dataclass(frozen=True, eq=False)
class Place:
    """A map within a storage.

    offset: bytes from the start of a cell. span: bytes from there that belong to the map alone. positions:
    element (of the code's width) of each channel, from `offset`. patch: (1, 1), or the patch whose positions are
    sequences: row s*(h/py) + a, column b of the storage is then pixel (py a + p, px b + q), with s = px p + q.
    clear: what lies between channels must be zero (keys: the other heads of a word of queries meet it). fold: pixels
    that share a cell, in a row; positions then go through the channels of one after the other.
    """

    fmap: str
    storage: Storage
    qparams: QParams
    positions: NDArray[np.int64]
    offset: int
    span: int
    patch: tuple[int, int]
    clear: bool = False
    fold: int = 1

    @property
    def elements(self) -> int:
        """Elements from the first to the last channel."""
        return int(self.positions[-1]) + 1

    @property
    def bytes(self) -> int:
        """From the first to the last channel."""
        return -(-self.elements * self.qparams.bits // 8)

    def element_bytes(self, elements: int) -> int:
        """Bytes of so many elements (an even number of 4-bit ones)."""
        return elements * self.qparams.bits // 8


@dataclass(frozen=True)
class InputWindows:
    """The input is laid out as the windows that its first convolution reads.

    An image has so few channels that its own pixels would leave most of a word empty. So whoever puts the image into
    memory puts windows there: channel `(ky * kernel[1] + kx) * channels + c` of pixel (y, x) is channel c of image
    pixel (y * stride[0] + ky - padding[0], x * stride[1] + kx - padding[1]), or the code of zero outside.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]  # rows and columns of windows

    def arrange(self, codes: NDArray[np.int64], pad: int) -> NDArray[np.int64]:
        """[h, w, c] -> [rows, columns, kernel[0] * kernel[1] * c]."""
        reach = [(n - 1) * s + k for n, s, k in zip(self.size, self.stride, self.kernel, strict=True)]
        after = [max(0, r - p - n) for r, p, n in zip(reach, self.padding, codes.shape, strict=False)]
        edges = [(p, a) for p, a in zip(self.padding, after, strict=True)]
        padded = np.pad(codes, (*edges, (0, 0)), constant_values=pad)
        taps = []
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                rows = slice(ky, ky + (self.size[0] - 1) * self.stride[0] + 1, self.stride[0])
                cols = slice(kx, kx + (self.size[1] - 1) * self.stride[1] + 1, self.stride[1])
                taps.append(padded[rows, cols])
        return np.concatenate(taps, axis=2)
