"""Linear layer: a 1x1 convolution over the pixels that its tokens came from."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d

aten = torch.ops.aten


def capture(c: Capture, node: Node) -> View:
    """aten.linear: the last axis must be all channels of a pixel."""
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    return _applied(c, c.name(node, 1), c.view(c.arg(node, 0)), weight, bias)


def matmul(c: Capture, node: Node) -> View:
    """aten.matmul with a constant matrix or vector, on either side."""
    a, b = c.arg(node, 0), c.arg(node, 1)
    weight = a if isinstance(a, Tensor) else b
    if not isinstance(weight, Tensor) or weight.ndim > 2 or (weight is a and weight.ndim != 2):
        raise Declined("a map can be multiplied by a constant matrix")
    if weight is b:
        made = _applied(c, c.name(node), c.view(a), weight.reshape(len(weight), -1).T.contiguous(), None)
        return made if weight.ndim == 2 else View(made.fmap, made.index[..., 0])
    view = c.view(b)
    made = _applied(c, c.name(node), View(view.fmap, view.index.transpose(-1, -2)), weight, None)
    return View(made.fmap, made.index.transpose(-1, -2))


def _applied(c: Capture, name: str, view: View, weight: Tensor, bias: Tensor | None) -> View:
    bias = torch.zeros(len(weight)) if bias is None else bias
    shape = c.shapes[view.fmap]
    if len(shape) > 1 and view.index.numel() == view.index.shape[-1] == len(shape) * shape.channels:
        return _whole(c, name, view, weight, bias)
    try:
        tokens, pixels = c.tokens(view)
    except GraphError as error:
        raise Declined(str(error)) from None
    return c.add_tokens(Conv2d(name, tokens.fmap, weight[:, :, None, None], bias), tokens, pixels)


def _whole(c: Capture, name: str, view: View, weight: Tensor, bias: Tensor) -> View:
    """Over all elements of a map: a convolution of its size."""
    shape = c.shapes[view.fmap]
    by_element = torch.empty_like(weight)
    by_element[:, view.index.flatten()] = weight
    kernel = by_element.unflatten(1, (shape.height, shape.width, shape.channels)).permute(0, 3, 1, 2).contiguous()
    made = c.add(Conv2d(name, view.fmap, kernel, bias))
    return View(made.fmap, torch.arange(len(weight)).reshape(*view.index.shape[:-1], -1))


class _Tokens(nn.Module):
    def __init__(self, inputs: int, outputs: int, elements: int) -> None:
        super().__init__()
        self.whole = nn.Linear(elements, outputs) if elements else None
        self.layer, self.factor = nn.Linear(inputs, outputs), outputs == 5

    def forward(self, x: Tensor) -> Tensor:
        if self.whole is not None:
            return self.whole(x.flatten(1)).unflatten(1, (-1, 1, 1))
        tokens = x.flatten(2).transpose(1, 2)
        y: Tensor = self.layer(tokens)
        if self.factor:
            y = y + (self.layer.weight @ x.flatten(2)).transpose(1, 2) + (tokens @ self.layer.weight[0])[..., None]
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


def example(rng: random.Random) -> Example:
    """Over each pixel, or over the whole map."""
    shape = (rng.choice([1, 3, 8, 17]), rng.randint(1, 9), rng.randint(1, 9))
    if rng.random() < 0.3:
        shape = (3, rng.randint(1, 5), rng.randint(1, 5))
        return Example(_Tokens(3, rng.choice([5, 16]), shape[0] * shape[1] * shape[2]), shape)
    return Example(_Tokens(shape[0], rng.choice([1, 5, 16, 33]), 0), shape)


OPERATION = Operation(
    title="Linear layer",
    forms="`linear`, or `matmul` by a constant, over the channels of pixels or tokens; followed by a sum with another "
    "map, ReLU or GELU at no cost",
    widths="as a convolution",
    mapping="a 1x1 convolution",
    limits="the last axis must be all channels of a pixel, or all elements of a map of at most 15 x 15",
    cost="ceil(channels / step) cycles a pixel and column tile",
    example=example,
    aten={aten.linear.default: capture, aten.matmul.default: matmul, aten.mm.default: matmul},
)
