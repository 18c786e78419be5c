"""Columns of the last convolution: several output pixels in one pass of the array.

A depth map has one channel, and a column of the array for every channel would leave all others idle. So `count`
neighbouring output pixels share the columns: they read the same input cells, each with the kernel shifted to its place,
zeros elsewhere. The input may also lie denser than a pixel a word, so that a word brings several pixels at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.pack import tile_bytes, tile_room, weight_format
from triptych.golden.quartdepth.network.qparams import FeatureMap
from triptych.golden.quartdepth.network.shapes import Shape

MAX_STRIDE, MAX_KERNEL = 7, 15


@dataclass(frozen=True)
class Plain:
    """A dense convolution without second operand. weight: int8 [o, i, kh, kw]."""

    weight: NDArray[np.int8]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Fold:
    """How the layer runs. count: output pixels of a step. pitch: elements from input pixel to input pixel.
    per_cell: input pixels of a cell. reach: cells that `count` output pixels read in a row; left: of them before the
    first pixel; step: cells from one `count` of output pixels to the next."""

    layer: str
    source: str
    count: int
    pitch: int
    per_cell: int
    reach: int
    left: int
    step: int

    def weight(self, layer: Plain) -> NDArray[np.int8]:
        """[count * channels, kernel rows * reach, elements of a cell]."""
        out, inputs, kernel_h, kernel_w = layer.weight.shape
        folded = np.zeros((self.count, out, kernel_h, self.reach, self.per_cell, self.pitch), dtype=np.int8)
        for g in range(self.count):
            for kx in range(kernel_w):
                pixel = g * layer.stride[1] + kx - layer.padding[1] + self.left * self.per_cell
                cell, place = divmod(pixel, self.per_cell)
                folded[g, :, :, cell, place, :inputs] = layer.weight[:, :, :, kx].transpose(0, 2, 1)
        return folded.reshape(self.count * out, kernel_h * self.reach, self.per_cell * self.pitch)


def best_fold(
    layer: str, source: str, plain: Plain, maps: Mapping[str, FeatureMap], config: ChipConfig, dense: bool
) -> Fold | None:
    """The fold of a convolution of map `source` into map `layer`, if that costs no more steps: cells of several pixels
    are fewer to store. dense: pixels of its input may share words. A column tile of weights grows with the pixels that
    share it; it must still have room."""
    fmap = maps[source]
    word = config.depth * 8 // fmap.qparams.bits  # elements
    pitch = -(-fmap.shape.channels // config.cols) * config.cols
    if not dense or word % pitch or fmap.shape.width * pitch % word:
        pitch = -(-fmap.shape.channels // word) * word
    out = maps[layer].shape
    options = [
        _option(layer, source, plain, pitch, max(word // pitch, 1), count) for count in _counts(plain, out, config)
    ]
    unfolded = plain.weight.shape[3] * -(-fmap.shape.channels // word)
    fmt, weights = fmap.qparams.format, weight_format(plain.weight)

    def fits(option: Fold) -> bool:
        taps, inputs = plain.weight.shape[2] * option.reach, option.per_cell * option.pitch
        return tile_bytes(taps, inputs, fmt, weights, config) <= tile_room(config)

    # as few steps a pixel, then as few cells: each costs the VPU a cycle and is stored whole
    fitting = [o for o in options if o is not None and fits(o)]
    best = min(fitting, key=lambda o: (o.reach / o.count, -o.count), default=None)
    cell_words = max(pitch // word, 1)
    return best if best is not None and best.reach * cell_words <= unfolded * best.count else None


def _counts(plain: Plain, out: Shape, config: ChipConfig) -> list[int]:
    most = config.cols // plain.weight.shape[0]
    return [n for n in range(2, most + 1) if out.width % n == 0]


def _option(layer: str, source: str, plain: Plain, pitch: int, per_cell: int, count: int) -> Fold | None:
    step, rest = divmod(count * plain.stride[1], per_cell)
    left = -(-plain.padding[1] // per_cell)
    last = (count - 1) * plain.stride[1] + plain.weight.shape[3] - 1 - plain.padding[1]
    reach = last // per_cell + left + 1
    if rest or step > MAX_STRIDE or reach > MAX_KERNEL:
        return None
    return Fold(layer, source, count, pitch, per_cell, reach, left, step)
