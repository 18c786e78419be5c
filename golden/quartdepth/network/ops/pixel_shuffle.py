"""Pixel shuffle and unshuffle, as convolutions with one weight an output."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.conv_transpose2d import ConvTranspose2d

aten = torch.ops.aten


def shuffle(c: Capture, node: Node) -> View:
    """aten.pixel_shuffle: channel c r^2 + i r + j of a pixel is channel c of pixel (i, j) of its square."""
    source, r = c.whole_map(c.arg(node, 0)), int(c.arg(node, 1))
    channels = c.shapes[source].channels
    outputs = channels // r**2
    weight = torch.eye(channels).reshape(channels, outputs, r, r)
    return c.add(ConvTranspose2d(c.name(node), source, weight, torch.zeros(outputs), stride=(r, r)))


def unshuffle(c: Capture, node: Node) -> View:
    """aten.pixel_unshuffle"""
    source, r = c.whole_map(c.arg(node, 0)), int(c.arg(node, 1))
    shape = c.shapes[source]
    if r > 7:
        raise GraphError("a pixel unshuffle is a stride, of 7 at most")
    outputs = shape.channels * r**2
    weight = torch.eye(outputs).reshape(outputs, shape.channels, r, r)
    return c.add(Conv2d(c.name(node), source, weight, torch.zeros(outputs), stride=(r, r)))


class _Shuffled(nn.Module):
    def __init__(self, factor: int, channels: int, up: bool) -> None:
        super().__init__()
        self.shuffle = nn.PixelShuffle(factor) if up else nn.PixelUnshuffle(factor)
        inner, outer = (channels * factor**2, channels) if up else (channels, channels * factor**2)
        self.first, self.last = nn.Conv2d(3, inner, 3, padding=1), nn.Conv2d(outer, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.last(self.shuffle(self.first(x)))
        return z


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    factor = rng.choice([2, 2, 3])
    module = _Shuffled(factor, rng.choice([1, 4, 5]), rng.random() < 0.6)
    return Example(module, (3, factor * rng.randint(1, 3), factor * rng.randint(1, 3)))


OPERATION = Operation(
    title="Pixel shuffle",
    forms="`pixel_shuffle`, `pixel_unshuffle`",
    widths="as a convolution",
    mapping="a transposed convolution, or a convolution, whose kernel and stride are the factor and which has one "
    "weight an output",
    limits="an unshuffle by 7 at most",
    cost="as that convolution",
    example=example,
    aten={aten.pixel_shuffle.default: shuffle, aten.pixel_unshuffle.default: unshuffle},
)
