"""Linear layer: a 1x1 convolution over the pixels that its tokens came from."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d

aten = torch.ops.aten


def capture(c: Capture, node: Node) -> View:
    """aten.linear: the last axis must be all channels of a pixel."""
    tokens, pixels = c.tokens(c.arg(node, 0))
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    bias = torch.zeros(len(weight)) if bias is None else bias
    return c.add_tokens(Conv2d(c.name(node, 1), tokens.fmap, weight[:, :, None, None], bias), tokens, pixels)


class _Tokens(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.flatten(2).transpose(1, 2))
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


def example(rng: random.Random) -> Example:
    """Over all pixels."""
    shape = (rng.choice([1, 3, 8, 17]), rng.randint(1, 9), rng.randint(1, 9))
    return Example(_Tokens(shape[0], rng.choice([1, 5, 16, 33])), shape)


OPERATION = Operation(
    title="Linear layer",
    forms="`linear` over the channels of pixels or tokens; followed by a sum with another map, ReLU or GELU at no cost",
    widths="as a convolution",
    mapping="a 1x1 convolution",
    limits="the last axis must be all channels of a pixel",
    cost="ceil(channels / step) cycles a pixel and column tile",
    example=example,
    aten={aten.linear.default: capture},
)
