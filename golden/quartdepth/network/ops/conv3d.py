"""3-D convolution over channels laid out as depth (PackNet): a 2-D one over all of them."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._kernels import larger_than_padding, with_dilation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d

aten = torch.ops.aten
Triple = tuple[int, int, int]


def _three(value: object) -> Triple:
    values = [value] * 3 if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return (int(values[0]), int(values[len(values) // 2]), int(values[-1]))


def capture(c: Capture, node: Node) -> View:
    """aten.conv3d of [1,C,D,H,W] whose channels and depth are the channels of a map."""
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    stride, padding, dilation = (_three(c.arg(node, i, d)) for i, d in ((3, 1), (4, 0), (5, 1)))
    view = c.view(c.arg(node, 0))
    if c.arg(node, 6, 1) != 1 or view.index.ndim != 5:
        raise GraphError("a 3-D convolution must have one group and one image")
    depth = view.index.shape[2]
    source = c.whole_map(View(view.fmap, view.index.flatten(1, 2)))
    outputs, inputs, taps = weight.shape[:3]
    count = (depth + 2 * padding[0] - dilation[0] * (taps - 1) - 1) // stride[0] + 1
    flat = weight.new_zeros(outputs, count, inputs, depth, *weight.shape[3:])
    for out in range(count):
        for tap in range(taps):
            at = out * stride[0] - padding[0] + tap * dilation[0]
            if 0 <= at < depth:
                flat[:, out, :, at] = weight[:, :, tap]
    kernel = with_dilation(flat.flatten(2, 3).flatten(0, 1), dilation[1:])
    kernel, sides = larger_than_padding(kernel, padding[1:])
    offset = torch.zeros(outputs) if bias is None else bias
    made = c.add(
        Conv2d(c.name(node, 1), source, kernel, offset.repeat_interleave(count), stride=stride[1:], padding=sides)
    )
    return View(made.fmap, made.index.unflatten(1, (outputs, count)))


class _Packed(nn.Module):
    def __init__(self, channels: int, layer: nn.Conv3d) -> None:
        super().__init__()
        self.first, self.layer = nn.Conv2d(3, channels * layer.in_channels, 1), layer
        self.last = nn.LazyConv2d(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.first(x).unflatten(1, (self.layer.in_channels, -1))).flatten(1, 2)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """As PackNet has it, and with strides, pads and dilations of their own."""
    inputs, outputs = rng.choice([1, 1, 2]), rng.choice([1, 3, 4])
    kernel = (rng.choice([1, 3]), rng.choice([1, 3]), rng.choice([1, 2, 3]))
    padding = (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2), rng.randint(0, kernel[2] // 2))
    layer = nn.Conv3d(inputs, outputs, kernel, (rng.randint(1, 2), 1, rng.randint(1, 2)), padding, rng.randint(1, 2))
    module, shape = _Packed(rng.choice([6, 8]), layer), (3, rng.randint(5, 8), rng.randint(5, 8))
    with torch.no_grad():
        module(torch.zeros(1, *shape))
    return Example(module, shape)


OPERATION = Operation(
    title="3-D convolution",
    forms="`conv3d` of one image whose channels and depth are the channels of a map",
    widths="as a convolution",
    mapping="a convolution of all channels, zero where the kernel's depth does not reach",
    limits="one group; as a convolution",
    cost="that of the convolution: depth of the map over depth of the kernel times the MACs",
    example=example,
    aten={aten.conv3d.default: capture},
)
