"""Sum of two maps: a residual of the convolution before it, or a VECTOR of its own; or a map and a constant."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops._operands import matched, with_constant
from triptych.golden.quartdepth.network.ops._sum import QAdd
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, Scale, fixed_point

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Add(FloatLayer):
    """A sum that could not be fused, or a difference (minus), then ReLU."""

    reads = ("source", "other")

    source: str
    other: str
    relu: bool = False
    minus: bool = False

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        y = maps[self.source] + (-maps[self.other] if self.minus else maps[self.other])
        return y.relu() if self.relu else y

    def into(self, before: FloatLayer) -> FloatLayer | None:
        if self.source == self.other or self.minus:
            return None
        merged = before.with_residual(self.other if before.name == self.source else self.source)
        return merged.with_activation(Activation.RELU) if merged is not None and self.relu else merged

    def with_activation(self, activation: Activation) -> Add | None:
        return replace(self, relu=True) if activation is Activation.RELU and not self.relu else None

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return self.sources

    @property
    def adds(self) -> bool:
        return True

    def quantise(self, q: Quantising) -> list[QLayer]:
        qparams, (unit, fraction) = q.qparams(self.source), q.unit(self.name, *self.sources)
        scale = fixed_point(min(qparams.scale / unit, LARGEST_FACTOR), f"'{self.name}': the rescaling")
        residual = q.residual(self.other, self.name, unit)
        if self.minus:
            negative = Scale(-residual.scale.multiplier, residual.scale.shift)
            residual = replace(residual, scale=negative)
        lo, hi = q.limits(self.name, self.relu)
        return [QAdd(self.name, self.source, -qparams.zero, scale, lo, hi, residual, fraction)]


def capture(c: Capture, node: Node) -> View:
    """aten.add of two views, or of a view and a tensor of its shape."""
    if c.arg(node, 2, 1) != 1 or node.kwargs.get("alpha", 1) != 1:
        raise Declined("a sum must not be weighted")
    values = [c.settled(c.arg(node, i)) for i in range(2)]
    views = [v for v in values if isinstance(v, View)]
    if len(views) == 1:
        (value,) = (v for v in values if not isinstance(v, View))
        return _with_constant(c, node, views[0], value)
    a, b = (c.view(v) for v in values)
    name = c.name(node)
    view, one, two = matched(c, a, b, name)
    c.add(Add(name, one, two))
    return View(name, view.index)


def subtract(c: Capture, node: Node) -> View:
    """aten.sub of two views, or of a tensor of its shape from a view."""
    a, b = (c.settled(c.arg(node, i)) for i in range(2))
    if c.arg(node, 2, 1) != 1 or not isinstance(a, View):
        raise Declined("a sum must not be weighted")
    if not isinstance(b, View):
        return _with_constant(c, node, a, -b if isinstance(b, Tensor) else b)
    name = c.name(node)
    view, one, two = matched(c, a, b, name)
    c.add(Add(name, one, two, minus=True))
    return View(name, view.index)


def _with_constant(c: Capture, node: Node, view: View, value: object) -> View:
    """A map that no layer makes, and its sum with another."""
    name = c.name(node)
    view, constant = with_constant(c, view, value, name)
    return c.add_alike(Add(name, view.fmap, constant), view)


def join_constants(graph: FloatGraph) -> FloatGraph:
    """Two constants that are added one after the other are one."""
    constants, readers = dict(graph.constants), graph.readers()
    made: dict[str, FloatLayer] = {}
    layers: list[FloatLayer] = []
    for layer in graph.layers:
        before = made.get(layer.source) if isinstance(layer, Add) and layer.other in constants else None
        free = isinstance(before, Add) and before.other in constants and not before.relu and readers[before.name] == 1
        if free and isinstance(before, Add) and isinstance(layer, Add):
            constants[layer.other] = constants[layer.other] + constants.pop(before.other)
            layers.remove(before)
            layer = replace(layer, source=before.source)
        made[layer.name] = layer
        layers.append(layer)
    return replace(graph, layers=layers, constants=constants)


class _Sum(nn.Module):
    def __init__(self, channels: int, shape: tuple[int, int], kind: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, channels, 1), nn.Conv2d(3, channels, 3, padding=1)
        self.kind, self.table = kind, nn.Parameter(torch.randn(1, channels, *shape))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.one(x), self.two(x)
        if self.kind == 0:
            return a + b
        if self.kind == 1:
            return (a.relu() + b.relu()).relu()
        if self.kind == 3:
            return a - b.relu()
        if self.kind == 5:  # of single channels, without their axis
            return a + (a[:, 0] + b[:, -1])[:, None]
        if self.kind == 4:
            return a + b.mean((2, 3), keepdim=True)
        return a.relu() + self.table


def example(rng: random.Random) -> Example:
    """Fused, of its own, with a constant, a difference, a map and a value a channel."""
    shape = (rng.randint(1, 9), rng.randint(1, 9))
    return Example(_Sum(rng.choice([1, 7, 16]), shape, rng.randint(0, 5)), (3, *shape))


OPERATION = Operation(
    title="Sum of two maps",
    forms="`add`, `sub` of two maps of one shape, of a map and a value a channel or a pixel, or of a map and a "
    "constant of its shape; followed by ReLU at no cost",
    widths="INT8, UINT4 or TABLE4 into any; rounded once, behind six more bits",
    mapping="second operand of the later of the convolutions that make the two, if nothing else reads that one; else a "
    "VECTOR of one microword. A constant is data of the image",
    limits="both operands show the same pixels in the same order; no weights (`alpha`); a constant is no part of a "
    "concatenation",
    cost="none; by itself ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={
        aten.add.Tensor: capture,
        aten.add_.Tensor: capture,
        aten.sub.Tensor: subtract,
        aten.sub_.Tensor: subtract,
    },
    floats=(Add,),
    integers=(QAdd,),
    rewrites=((Stage.SPLIT, join_constants),),
)
