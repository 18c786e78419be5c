"""A factor and an offset by channel: BatchNorm, LayerScale, the photo's normalisation. Folded into others."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.fusion import merge
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.qparams import QuantizeError

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Affine(FloatLayer):
    """`x * gain + offset` by channel, until it is folded."""

    source: str
    gain: Tensor  # [c]
    offset: Tensor  # [c]

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source] * self.gain[:, None, None] + self.offset[:, None, None]

    def into(self, before: FloatLayer) -> FloatLayer | None:
        return before.with_affine(self.gain, self.offset)

    def with_affine(self, gain: Tensor, offset: Tensor) -> Affine:
        return replace(self, gain=self.gain * gain, offset=self.offset * gain + offset)

    def quantise(self, q: Quantising) -> list[QLayer]:
        raise QuantizeError(f"'{self.name}': factors by channel must be folded")


def batch_norm(c: Capture, node: Node) -> View:
    """aten.batch_norm with running statistics."""
    view = c.view(c.arg(node, 0))
    gamma, beta, mean, var = (c.constant(node, i) for i in range(1, 5))
    if not isinstance(mean, Tensor) or not isinstance(var, Tensor):
        raise GraphError("BatchNorm without running statistics has no fixed factors: track_running_stats=True")
    eps = c.arg(node, 7 if node.target is aten.batch_norm.default else 6)
    gain = (var + eps).rsqrt() * (1.0 if gamma is None else gamma)
    offset = (0.0 if beta is None else beta) - mean * gain
    channels = c.shapes[view.fmap].channels
    rows = view.index.movedim(1, -1).reshape(-1, view.index.shape[1])
    if rows.shape[1] != channels or not torch.equal(rows % channels, torch.arange(channels).expand_as(rows)):
        made = c.whole_map(view)  # raises where the channels are not those of a map
        view = View(made, c.whole(made))
    return c.add_alike(Affine(c.name(node, 1), view.fmap, gain, offset), view)


def batch_norm_of_tuple(c: Capture, node: Node) -> list[View]:
    """aten's functional BatchNorm, which returns more than its result."""
    return [batch_norm(c, node)]


def batch_norm_without(c: Capture, node: Node) -> Any:
    """aten's BatchNorm of the batch's own statistics."""
    raise GraphError("BatchNorm without running statistics has no fixed factors: track_running_stats=True")


def _by_channel(c: Capture, node: Node) -> tuple[View, Tensor, bool]:
    """The view, the constant operand by channel, and whether the view is the first operand."""
    values = [c.arg(node, i) for i in range(2)]
    first = isinstance(values[0], View)
    view, value = values if first else values[::-1]
    if not isinstance(view, View) or not isinstance(value, Tensor | int | float):
        raise Declined("a map can be scaled and moved by a number or by one a channel")
    view = _spread(c, view, value)
    return view, by_channel(c, view, value), first


def _spread(c: Capture, view: View, value: Tensor | float) -> View:
    """The view; one of a map of as many channels as the constant has, if it shows a single one."""
    if not isinstance(value, Tensor) or view.index.ndim != 4:
        return view
    try:
        shape = torch.broadcast_shapes(value.shape, view.index.shape)
    except RuntimeError:
        return view
    if shape == view.index.shape or shape[2:] != view.index.shape[2:]:
        return view
    made = c.whole_map(View(view.fmap, view.index.expand(shape)))
    return View(made, c.whole(made))


def by_channel(c: Capture, view: View, value: Tensor | float) -> Tensor:
    """A number, or one a channel, as [channels] of the view's map. Raises Declined for anything else."""
    channels = c.shapes[view.fmap].channels
    try:
        spread = torch.as_tensor(value, dtype=torch.float32).broadcast_to(view.index.shape)
    except RuntimeError:
        raise Declined("a map can be scaled and moved by a number or by one a channel") from None
    found = torch.zeros(channels)
    found[view.index.flatten() % channels] = spread.flatten()
    if not torch.equal(found[view.index % channels], spread):
        raise Declined("a map can be scaled and moved by a number or by one a channel")
    return found


def is_by_channel(c: Capture, view: View, value: Tensor | float) -> bool:
    """It is a number, or one a channel."""
    try:
        by_channel(c, view, value)
    except Declined:
        return False
    return True


def scale(c: Capture, node: Node) -> View:
    """aten.mul or aten.div by a number or one a channel."""
    view, value, first = _by_channel(c, node)
    divide = node.target in (aten.div.Tensor, aten.div_.Tensor, aten.div.Scalar)
    if divide and not first:
        raise Declined("nothing can be divided by a map")
    gain = 1.0 / value if divide else value
    return c.add_alike(Affine(c.name(node), view.fmap, gain, torch.zeros_like(gain)), view)


def negative(c: Capture, node: Node) -> View:
    """aten.neg"""
    view = c.view(c.arg(node, 0))
    gain = torch.full((c.shapes[view.fmap].channels,), -1.0)
    return c.add_alike(Affine(c.name(node), view.fmap, gain, torch.zeros_like(gain)), view)


def reversed_shift(c: Capture, node: Node) -> View:
    """aten.rsub: a number less a map"""
    if c.arg(node, 2, 1) != 1:
        raise Declined("a sum must not be weighted")
    view, value = c.view(c.arg(node, 0)), c.arg(node, 1)
    if not isinstance(value, int | float):
        raise Declined("a map can be taken from a number")
    gain = torch.full((c.shapes[view.fmap].channels,), -1.0)
    return c.add_alike(Affine(c.name(node), view.fmap, gain, torch.full_like(gain, float(value))), view)


def shift(c: Capture, node: Node) -> View:
    """aten.add or aten.sub of a number or one a channel."""
    if c.arg(node, 2, 1) != 1:
        raise Declined("a sum must not be weighted")
    view, value, first = _by_channel(c, node)
    minus = node.target in (aten.sub.Tensor, aten.sub_.Tensor, aten.sub.Scalar)
    gain = torch.full_like(value, 1.0 if first or not minus else -1.0)
    offset = -value if minus and first else value
    return c.add_alike(Affine(c.name(node), view.fmap, gain, offset), view)


def fold(graph: FloatGraph) -> FloatGraph:
    """Into the layer before; else into all layers behind that can take it; else it is a depthwise convolution that has
    one tap."""
    graph = merge(graph, lambda layer: isinstance(layer, Affine))
    for affine in [layer for layer in graph.layers if isinstance(layer, Affine)][::-1]:
        readers = [layer for layer in graph.layers if affine.name in layer.sources]
        taken = {layer.name: layer.with_input_affine(affine.gain, affine.offset) for layer in readers}
        alone = all(layer.sources == (affine.name,) for layer in readers) and affine.name not in graph.outputs
        if readers and alone and all(taken.values()):
            moved = {n: x.rename(lambda _, s=affine.source: s) for n, x in taken.items() if x is not None}  # type: ignore[misc]
            layers = [moved.get(layer.name, layer) for layer in graph.layers if layer is not affine]
        else:
            weight = torch.zeros(len(affine.gain), 1, 3, 3)
            weight[:, 0, 1, 1] = affine.gain
            conv = Conv2d(affine.name, affine.source, weight, affine.offset, padding=(1, 1), depthwise=True)
            layers = [conv if layer is affine else layer for layer in graph.layers]
        graph = replace(graph, layers=layers)
    return graph


class _Scaled(nn.Module):
    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 4, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        nn.init.uniform_(self.norm.running_mean, -1, 1)  # type: ignore[arg-type]
        self.gamma = nn.Parameter(torch.rand(channels, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == 0:
            y = self.norm(self.first(x))
        elif self.kind == 1:
            y = self.first((x - 0.5) / 0.25) * self.gamma
        elif self.kind == 3:
            y = self.gamma * self.first(x)[:, :1] - 0.5
        else:
            y = self.first(x)
            y = y.relu() + self.norm(y)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """BatchNorm behind a convolution or between two readers, the photo's normalisation, a gain by channel, several
    gains of one channel."""
    return Example(_Scaled(rng.choice([1, 8, 17]), rng.randint(0, 3)), (3, rng.randint(2, 9), rng.randint(2, 9)))


OPERATION = Operation(
    title="Factor and offset by channel",
    forms="`batch_norm` with running statistics; `mul`, `div`, `add`, `sub`, `rsub`, `neg` by a number or by one a "
    "channel",
    widths="as the layer that it becomes part of",
    mapping="into weights and bias of the layer before, if nothing else reads that layer's map; else into those of all "
    "layers behind, if none of them pads an offset; else a depthwise convolution that has one tap",
    limits="none",
    cost="none; by itself that of a depthwise convolution",
    example=example,
    aten={
        aten.batch_norm.default: batch_norm,
        aten._native_batch_norm_legit_no_training.default: batch_norm_of_tuple,
        aten._native_batch_norm_legit.no_stats: batch_norm_without,
        aten.mul.Tensor: scale,
        aten.div.Tensor: scale,
        aten.add.Tensor: shift,
        aten.sub.Tensor: shift,
        aten.add_.Tensor: shift,
        aten.sub_.Tensor: shift,
        aten.mul_.Tensor: scale,
        aten.div_.Tensor: scale,
        aten.mul.Scalar: scale,
        aten.div.Scalar: scale,
        aten.add.Scalar: shift,
        aten.sub.Scalar: shift,
        aten.rsub.Scalar: reversed_shift,
        aten.neg.default: negative,
    },
    floats=(Affine,),
    rewrites=((Stage.AFFINE, fold),),
)
