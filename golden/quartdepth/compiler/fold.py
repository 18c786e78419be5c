"""Columns of the last convolution: several output pixels in one pass of the array.

A depth map has one channel, and a column of the array for every channel would leave all others idle. So `count`
neighbouring output pixels share the columns: they read the same input cells, each with the kernel shifted to its place,
zeros elsewhere. The input may also lie denser than a pixel a word, so that a word brings several pixels at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.pack import tile_bytes, tile_room, weight_format
from triptych.golden.quartdepth.network.layers import Shape
from triptych.golden.quartdepth.network.network import Convolution, Join, Network

MAX_STRIDE, MAX_KERNEL = 7, 15


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

    def weight(self, layer: Convolution) -> NDArray[np.int8]:
        """[count * channels, kernel rows * reach, elements of a cell]."""
        out, inputs, kernel_h, kernel_w = layer.weight.shape
        folded = np.zeros((self.count, out, kernel_h, self.reach, self.per_cell, self.pitch), dtype=np.int8)
        for g in range(self.count):
            for kx in range(kernel_w):
                pixel = g * layer.stride[1] + kx - layer.padding[1] + self.left * self.per_cell
                cell, place = divmod(pixel, self.per_cell)
                folded[g, :, :, cell, place, :inputs] = layer.weight[:, :, :, kx].transpose(0, 2, 1)
        return folded.reshape(self.count * out, kernel_h * self.reach, self.per_cell * self.pitch)


def find_fold(network: Network, config: ChipConfig, dense: bool) -> Fold | None:
    """The fold of the layer that makes the output, if that saves steps. dense: pixels of its input may share words.
    A column tile of weights grows with the pixels that share it; it must still have room."""
    layer = next((x for x in network.layers if x.name == network.output), None)
    if not isinstance(layer, Convolution) or layer.depthwise or layer.transposed or layer.residual is not None:
        return None
    if network.readers(network.output) or layer.source == network.input:
        return None
    source = network.pictures[layer.source]
    makers = [x for x in network.layers if x.name == layer.source]
    alone = len(network.readers(layer.source)) == 1 and not isinstance(makers[0], Join)
    if source.code.format not in (Format.INT8, Format.UINT4) or not isinstance(makers[0], Convolution) or not alone:
        return None
    word = config.depth * 8 // source.code.bits  # elements
    pitch = -(-source.shape.channels // config.cols) * config.cols
    if not dense or word % pitch or source.shape.width * pitch % word:
        pitch = -(-source.shape.channels // word) * word
    out = network.pictures[network.output].shape
    options = [_option(layer, out, pitch, max(word // pitch, 1), count) for count in _counts(layer, out, config)]
    plain = layer.weight.shape[3] * -(-source.shape.channels // word)
    fmt, weights = source.code.format, weight_format(layer.weight)

    def fits(option: Fold) -> bool:
        taps, inputs = layer.weight.shape[2] * option.reach, option.per_cell * option.pitch
        return tile_bytes(taps, inputs, fmt, weights, config) <= tile_room(config)

    best = min((o for o in options if o is not None and fits(o)), key=lambda o: o.reach / o.count, default=None)
    cell_words = max(pitch // word, 1)
    return best if best is not None and best.reach * cell_words < plain * best.count else None


def _counts(layer: Convolution, out: Shape, config: ChipConfig) -> list[int]:
    most = config.cols // layer.weight.shape[0]
    return [n for n in range(2, most + 1) if out.width % n == 0]


def _option(layer: Convolution, out: Shape, pitch: int, per_cell: int, count: int) -> Fold | None:
    step, rest = divmod(count * layer.stride[1], per_cell)
    left = -(-layer.padding[1] // per_cell)
    last = (count - 1) * layer.stride[1] + layer.weight.shape[3] - 1 - layer.padding[1]
    reach = last // per_cell + left + 1
    if rest or step > MAX_STRIDE or reach > MAX_KERNEL:
        return None
    return Fold(layer.name, layer.source, count, pitch, per_cell, reach, left, step)
