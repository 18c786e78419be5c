"""Running sums over the channels of a pixel (edges of bins): a linear layer of ones below the diagonal."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d

aten = torch.ops.aten


def capture(c: Capture, node: Node) -> View:
    """aten.cumsum over channels"""
    view, axis = c.view(c.arg(node, 0)), int(c.arg(node, 1))
    channels = c.shapes[view.fmap].channels
    rows = view.index.movedim(axis, -1).reshape(-1, view.index.shape[axis])
    if rows.shape[1] != channels or not torch.equal(rows[:, :1] // channels * channels + torch.arange(channels), rows):
        raise Declined("a running sum must go through all channels of a pixel")
    weight = torch.ones(channels, channels).tril()
    made = c.add(Conv2d(c.name(node), view.fmap, weight[:, :, None, None], torch.zeros(channels)))
    return View(made.fmap, view.index)


class _Edges(nn.Module):
    def __init__(self, channels: int, by_pixel: bool) -> None:
        super().__init__()
        self.by_pixel, self.first, self.last = by_pixel, nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.by_pixel:
            y = y.cumsum(1)
        else:  # adaptive bins: widths of one for the whole map
            width = y.mean((2, 3)).relu() + 0.1
            y = y.softmax(1) * (width / width.sum(1, keepdim=True)).cumsum(1)[:, :, None, None]
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Of every pixel, or of bins."""
    module = _Edges(rng.choice([3, 8, 17]), rng.random() < 0.5)
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Running sum",
    forms="`cumsum` over the channels of a pixel",
    widths="as a linear layer",
    mapping="a linear layer of ones on and below the diagonal",
    limits="all channels of a pixel",
    cost="that of the linear layer",
    example=example,
    aten={aten.cumsum.default: capture},
)
