"""1-D convolution over the channels of a pixel (efficient channel attention): a linear layer of one band."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d

aten = torch.ops.aten


def capture(c: Capture, node: Node) -> View:
    """aten.conv1d, one channel in and out, along the channels of pixels."""
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    stride, padding, dilation, groups = (_many(c.arg(node, i, d)) for i, d in ((3, 1), (4, 0), (5, 1), (6, 1)))
    tokens, pixels = c.tokens(c.arg(node, 0))
    channels, kernel = c.shapes[tokens.fmap].channels, weight.shape[-1]
    plain = tuple(weight.shape[:2]) == (1, 1) and (stride, dilation, groups) == ([1], [1], [1])
    if not plain or 2 * padding[0] != kernel - 1:
        raise GraphError("a 1-D convolution must run along the channels of pixels, of one channel, as many out as in")
    band = torch.zeros(channels, channels)
    for tap in range(kernel):
        rows = torch.arange(max(0, padding[0] - tap), min(channels, channels + padding[0] - tap))
        band[rows, rows + tap - padding[0]] = weight[0, 0, tap]
    offset = torch.zeros(channels) if bias is None else bias.expand(channels).clone()
    return c.add_tokens(Conv2d(c.name(node, 1), tokens.fmap, band[:, :, None, None], offset), tokens, pixels)


def _many(value: object) -> list[int]:
    return [value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]


class _Attended(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1)
        self.along = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=kernel == 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        gate = self.along(y.mean((2, 3))[:, None])[0, :, :, None, None].sigmoid()
        z: Tensor = self.last(y * gate)
        return z


def example(rng: random.Random) -> Example:
    """A gate by channel."""
    return Example(_Attended(rng.choice([3, 8, 17]), rng.choice([3, 5])), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Convolution over channels",
    forms="`conv1d` of one channel along the channels of pixels, as many out as in (efficient channel attention)",
    widths="as a linear layer",
    mapping="a linear layer whose weights are one band",
    limits="stride and dilation 1",
    cost="that of the linear layer",
    example=example,
    aten={aten.conv1d.default: capture},
)
