"""One of several maps, chosen by the largest of a few values: heads that an image is routed to."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Need, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import matched
from triptych.golden.quartdepth.network.ops._pointwise import new_map, weighted_sum
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.product import Product, multiplied
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.ops.softmax import Softmax
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams, Scale

aten = torch.ops.aten
MOST_WAYS = 8
UNIT = QParams(Format.INT8, 1 / 255, -128)  # 0 and 1, and nothing between
STEEP = Scale(255, 0)
WHAT = (
    "a choice must be the largest of at most 8 values of one pixel, compared with a number to choose between two maps"
)


@dataclass(frozen=True, eq=False)
class Step(FloatLayer):
    """1 above zero, else 0; the other way round with `below`."""

    source: str
    below: bool = False

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        above = maps[self.source] > 0
        return (~above if self.below else above).float()

    def need(self, source: str) -> Need:
        return Need.SYMMETRIC  # both signs, whatever calibration saw

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        """A difference of one code is a whole step. Calibration may have seen one way alone."""
        q.maps[self.name] = FeatureMap(q.maps[self.name].shape, UNIT)
        lo, hi = UNIT.limits
        if not self.below:
            return [Requantise(self.name, self.source, -q.qparams(self.source).zero, STEEP, lo, hi)]
        scale = Scale(-STEEP.multiplier, STEEP.shift)  # at zero it is 1
        return [Requantise(self.name, self.source, -q.qparams(self.source).zero - 1, scale, lo, hi)]


@dataclass(frozen=True, eq=False)
class Both(Product):
    """1 where two steps are."""

    def quantise(self, q: Quantising) -> list[QLayer]:
        q.maps[self.name] = FeatureMap(q.maps[self.name].shape, UNIT)
        return super().quantise(q)


@dataclass(frozen=True, eq=False)
class Not(FloatLayer):
    """1 where a step is not."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return 1.0 - maps[self.source]

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        q.maps[self.name] = FeatureMap(q.maps[self.name].shape, UNIT)
        lo, hi = UNIT.limits
        return [Requantise(self.name, self.source, -hi, Scale(-1, 0), lo, hi)]


@dataclass(frozen=True, eq=False)
class Select(FloatLayer):
    """`source` where `gate` is 1, `other` where `rest` is: one of them is, of all elements."""

    reads = ("source", "other", "gate", "rest")

    source: str
    other: str
    gate: str
    rest: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        for name in (self.source, self.other):  # what was not chosen may be, for another image
            observe(self.name, maps[name])
        return torch.where(maps[self.gate] > 0.5, maps[self.source], maps[self.other])

    @property
    def no_gain(self) -> tuple[str, ...]:
        return *self.sources, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        parts, layers = [], []
        for number, (map_of, gate) in enumerate(((self.source, self.gate), (self.other, self.rest))):
            own = f"{self.name}.{number}"
            new_map(q, own, self.name, *q.ranges[map_of])
            layers.append(multiplied(own, map_of, gate, q))
            parts.append(own)
        return [*layers, weighted_sum(self.name, parts[0], 1.0, parts[1], 1.0, q)]


@dataclass(frozen=True)
class Choice:
    """While it is captured: the place of the largest of some values, or whether it is `way`. view: the values."""

    view: View
    way: int | None = None


def argmax(c: Capture, node: Node) -> Choice:
    """aten.argmax of one pixel's values"""
    view = c.view(c.arg(node, 0))
    layer = next((x for x in c.layers if x.name == view.fmap), None)
    if isinstance(layer, Softmax):  # which grows with its operand
        view = View(layer.source, view.index)
    flat = view.index.flatten()
    axis = c.arg(node, 1)
    whole = axis is None or view.index.shape[int(axis)] == len(flat)
    pixels = flat // c.shapes[view.fmap].channels
    if not whole or not 1 < len(flat) <= MOST_WAYS or not bool((pixels == pixels[0]).all()):
        raise Declined(WHAT)
    return Choice(View(view.fmap, flat))


def same(c: Capture, node: Node) -> Choice:
    """The choice in another shape."""
    choice = c.arg(node, 0)
    if not isinstance(choice, Choice):
        raise Declined("an operand is no activation")
    return choice


def equals(c: Capture, node: Node) -> Choice:
    """aten.eq of a choice and a number"""
    choice, way = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(choice, Choice) or choice.way is not None or not isinstance(way, int):
        raise Declined(WHAT)
    return Choice(choice.view, way)


def where(c: Capture, node: Node) -> View:
    """aten.where of whether a choice is a number"""
    choice, name = c.arg(node, 0), c.name(node)
    if not isinstance(choice, Choice) or choice.way is None:
        raise Declined(WHAT)
    view, one, two = matched(c, c.view(c.arg(node, 1)), c.view(c.arg(node, 2)), name)
    gate, rest = _gates(c, name, choice, c.shapes[one].channels)
    c.add(Select(name, one, two, gate, rest))
    return View(name, view.index)


def _gates(c: Capture, name: str, choice: Choice, outputs: int) -> tuple[str, str]:
    """Maps of one pixel, for each channel whether the choice is its way, and whether it is not: of equal values the
    first is the largest. Their codes hold 0 and 1 whatever calibration saw."""
    channels, way = c.shapes[choice.view.fmap].channels, choice.way or 0
    own = choice.view.index % channels
    source = choice.view.fmap
    if len(c.shapes[source]) > 1:
        pixel = int(choice.view.index[0]) // channels
        source = c.whole_map(View(source, (pixel * channels + torch.arange(channels)).reshape(1, -1, 1, 1)))
    gates: list[View] = []
    for n in range(len(own)):
        if n == way:
            continue
        first, second = (own[way], own[n]) if way > n else (own[n], own[way])
        weight = torch.zeros(outputs, channels, 1, 1)
        weight[:, first], weight[:, second] = 1.0, -1.0  # the later one has to be larger
        less = c.add(Conv2d(f"{name}.less{n}", source, weight, torch.zeros(outputs))).fmap
        gates.append(c.add(Step(f"{name}.step{n}", less, below=way < n)))
    gate = gates[0]
    for n, another in enumerate(gates[1:]):
        gate = c.add(Both(f"{name}.all{n}", gate.fmap, another.fmap))
    rest = c.add(Not(f"{name}.rest", gate.fmap))
    return gate.fmap, rest.fmap


class _Routed(nn.Module):
    def __init__(self, channels: int, ways: int) -> None:
        super().__init__()
        self.first, self.heads = nn.Conv2d(3, channels, 3, padding=1), nn.ModuleList()
        self.vote = nn.Linear(channels, ways)
        with torch.no_grad():  # no close votes
            self.vote.bias.copy_(4 * torch.randperm(ways))
        for n in range(ways):
            self.heads.append(nn.Conv2d(channels, 4, 1))
            nn.init.uniform_(self.heads[-1].bias, n, n + 1)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        way = torch.argmax(self.vote(y.mean((2, 3))).softmax(-1), dim=-1).squeeze().item()
        z: Tensor = self.heads[int(way)](y)  # as ZoeDepth takes one of two heads
        return z


def example(rng: random.Random) -> Example:
    """A head for the image, of two or three."""
    return Example(_Routed(rng.choice([3, 8, 17]), rng.choice([2, 3])), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Choice",
    forms="`argmax` of a few values, compared with a number, in `where`: modules that take one way of several by "
    "`argmax(...).item()` (two heads of ZoeDepth) are captured with all their ways (`network/branches.py`)",
    widths="any; both products INT8",
    mapping="all ways are computed. A linear layer, the difference of two values, clamped within one code; of two maps "
    "the products with it and with what it is not, and their sum",
    limits=f"at most {MOST_WAYS} values, one choice for an image; values that are one code are equal",
    cost="that of all ways, and 3 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={
        aten.argmax.default: argmax,
        **dict.fromkeys((aten.squeeze.default, aten.squeeze.dim, aten.view.default, aten.reshape.default), same),
        aten.eq.Scalar: equals,
        aten.where.self: where,
    },
    floats=(Step, Both, Not, Select),
)
