"""Concatenation along channels: its parts are written into channel ranges of one map."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.compiler.joined import Joined
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.gather import joined, numbered, whole_pixels
from triptych.golden.quartdepth.network.ops.requantise import requantised
from triptych.golden.quartdepth.network.ops.resize import Resample
from triptych.golden.quartdepth.network.qparams import FeatureMap

aten = torch.ops.aten
MOST_RANGES = 9  # of channels that show other pixels each


@dataclass(frozen=True, eq=False)
class Concat(FloatLayer):
    """Channels of all sources, one after the other."""

    reads = ("parts",)

    parts: tuple[str, ...]

    @property
    def joins(self) -> tuple[str, ...]:
        return self.parts

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return torch.cat([maps[p] for p in self.parts], 1)

    def quantise(self, q: Quantising) -> list[QLayer]:
        """A part that has not the result's code is made once more, in that code."""
        out: list[QLayer] = []
        parts = []
        for i, part in enumerate(self.parts):
            if q.qparams(part) is not q.qparams(self.name):
                name = f"{self.name}.{i}"
                q.maps[name] = FeatureMap(q.maps[part].shape, q.qparams(self.name))
                out.append(requantised(name, part, q))
                part = name
            parts.append(part)
        return [*out, QConcat(self.name, tuple(parts))]


@dataclass(frozen=True, eq=False)
class QConcat(Joined):
    """Channels of all parts, one after the other; every part has the code of the result."""


def capture(c: Capture, node: Node) -> View:
    """aten.cat of views along channels, or of maps along rows or columns."""
    values = c.list(node, 0)
    ndim = next(v.index.ndim for v in values if isinstance(v, View))
    axis = int(c.arg(node, 1, 0)) % ndim
    if all(isinstance(v, View) for v in values):
        try:
            return _joined(c, c.name(node), values, axis)
        except GraphError as reason:
            if axis == ndim - 1:
                raise Declined(str(reason)) from None
    return joined(c, c.name(node), values, axis)


def stack(c: Capture, node: Node) -> View:
    """aten.stack: concatenation along a new axis"""
    values = c.list(node, 0)
    if not all(isinstance(v, View) for v in values):
        raise Declined("maps can be stacked, not a map and a constant")
    axis = int(c.arg(node, 1, 0)) % (values[0].index.ndim + 1)
    return _joined(c, c.name(node), [View(v.fmap, v.index.unsqueeze(axis)) for v in values], axis)


def _joined(c: Capture, name: str, values: list[View], axis: int) -> View:
    if len(values) == 1:
        return values[0]
    four = values[0].index.ndim == 4
    if four and axis in (2, 3):
        try:
            return _beside(c, name, values, axis)
        except GraphError:  # no maps: pixels in another order
            if axis == 2:
                raise
    if four and axis == 1:
        names = [c.whole_map(v) for v in values]
        shapes = [c.shapes[n] for n in names]
        if len({(s.height, s.width) for s in shapes}) > 1:
            raise Declined("maps can be concatenated along channels, rows or columns only")
        return c.add(Concat(name, tuple(names)), replace(shapes[0], channels=sum(s.channels for s in shapes)))
    if axis != values[0].index.ndim - 1 and all(whole_pixels(c, v) for v in values):
        return joined(c, name, values, axis)
    pixels = [v.index // c.shapes[v.fmap].channels for v in values]
    first = pixels[0].narrow(axis, 0, 1)
    size = c.shapes[values[0].fmap]
    for v, p in zip(values, pixels, strict=True):
        held = c.shapes[v.fmap]
        same = (held.height, held.width) == (size.height, size.width)
        if not same or first.ndim != p.ndim or not torch.equal(first.expand(p.shape), p):
            if axis == v.index.ndim - 1:
                return _rows(c, name, values)
            raise Declined("maps can be concatenated along channels, rows or columns only")
    shape = replace(size, channels=sum(c.shapes[v.fmap].channels for v in values))
    made = c.add(Concat(name, tuple(v.fmap for v in values)), shape)
    parts, before = [], 0
    for v, p in zip(values, pixels, strict=True):
        count = c.shapes[v.fmap].channels
        parts.append(p * shape.channels + before + v.index % count)
        before += count
    return View(made.fmap, torch.cat(parts, axis))


def _rows(c: Capture, name: str, values: list[View]) -> View:
    """Tokens with others of as many, each any pixels of its map: as maps of one shape."""
    lead = values[0].index.shape[:-1]
    try:
        made = [
            c.whole_map(View(v.fmap, v.index.reshape(1, -1, lead[-1], v.index.shape[-1]).permute(0, 3, 1, 2)))
            for v in values
        ]
    except GraphError:
        raise Declined("tokens can be concatenated along channels where they are pixels of a map") from None
    shape = replace(c.shapes[made[0]], channels=sum(c.shapes[m].channels for m in made))
    whole = c.add(Concat(name, tuple(made)), shape)
    return View(whole.fmap, torch.arange(len(shape) * shape.channels).reshape(*lead, shape.channels))


def _beside(c: Capture, name: str, values: list[View], axis: int) -> View:
    """Maps along rows or columns, two at a time."""
    names = [c.whole_map(v) for v in values]
    whole = names[0]
    for n, other in enumerate(names[1:], 1):
        one, two = (s.height if axis == 2 else s.width for s in (c.shapes[whole], c.shapes[other]))
        first, second = [*range(one), *[0] * two], [*[0] * one, *range(two)]
        weights = [(1.0, 0.0)] * one + [(0.0, 1.0)] * two
        own = name if n == len(names) - 1 else f"{name}.{n}"
        whole = c.add(Resample(own, whole, axis, Taps(tuple(first), tuple(second), tuple(weights)), other)).fmap
    return View(whole, c.whole(whole))


def shows(c: Capture, view: View) -> str | None:
    """The map whose ranges of channels show other pixels each, or whose ranges of rows other channels, as maps of
    their own, joined."""
    if view.index.ndim != 4 or view.index.shape[0] != 1:
        return None
    count = c.shapes[view.fmap].channels
    pixels, channels = view.index[0] // count, view.index[0] % count
    for axis, whole in ((1, pixels), (2, channels.transpose(0, 1))):
        breaks = [n for n in range(1, len(whole)) if not torch.equal(whole[n], whole[n - 1])]
        if not 0 < len(breaks) < MOST_RANGES:
            continue
        ranges = zip((0, *breaks), (*breaks, len(whole)), strict=True)
        try:
            parts = [
                View(made, c.whole(made))
                for first, last in ranges
                for made in [c.whole_map(View(view.fmap, view.index.narrow(axis, first, last - first)))]
            ]
            name = numbered(c, f"{view.fmap}.joined")  # behind those of its parts
            if axis == 2:
                return _beside(c, name, parts, 2).fmap
        except GraphError:
            continue
        shape = replace(c.shapes[parts[0].fmap], channels=len(whole))
        return c.add(Concat(name, tuple(part.fmap for part in parts)), shape).fmap
    return None


def flatten(graph: FloatGraph) -> FloatGraph:
    """A concatenation that only another one reads becomes part of it."""
    readers = graph.readers()
    inner = {x.name: x for x in graph.layers if isinstance(x, Concat) and readers[x.name] == 1}
    layers: list[FloatLayer] = []
    for layer in graph.layers:
        if isinstance(layer, Concat):
            absorbed = {p for p in layer.parts if p in inner}
            parts = [inner[p].parts if p in absorbed else (p,) for p in layer.parts]
            layers = [x for x in layers if x.name not in absorbed]
            layer = replace(layer, parts=tuple(name for names in parts for name in names))
            if layer.name in inner:
                inner[layer.name] = layer
        layers.append(layer)
    return replace(graph, layers=layers)


class _Joined(nn.Module):
    def __init__(self, widths: tuple[int, int], kind: int) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = (nn.Conv2d(3, width, 1) for width in widths)
        self.last = nn.Conv2d(sum(widths) + 3, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.one(x), self.two(x).relu()
        if self.kind == 1:
            one = torch.cat([one, one.relu()], 3)[:, :, :, : x.shape[3]]
        if self.kind == 3:  # every pixel beside the first one, of both maps
            tokens = torch.stack([one, one.relu()]).flatten(3).transpose(2, 3).flatten(0, 1)
            both = torch.cat([tokens, tokens[:, :1].expand_as(tokens)], -1)[1, :, len(one[0]) :]
            one = both.transpose(0, 1).unflatten(1, one.shape[2:])[None]
        if self.kind == 2:
            one = nn.functional.avg_pool2d(torch.stack([one, one.relu()], 4).flatten(3), (1, 2))
        y: Tensor = self.last(torch.cat([torch.cat([one, two], 1), x], 1))
        return y


def example(rng: random.Random) -> Example:
    """Two convolutions and the photo, nested; columns side by side, or woven."""
    module = _Joined((rng.choice([1, 7, 8, 20]), rng.choice([3, 16])), rng.choice([0, 0, 1, 2, 3]))
    return Example(module, (3, rng.randint(2, 9), rng.randint(2, 9)))


OPERATION = Operation(
    title="Concatenation",
    forms="`cat`, `stack` of maps along channels, nested ones become one; along rows or columns",
    widths="any; all parts have the result's code",
    mapping="no instruction: every part is written into its range of the cells. What others read too is converted by "
    "the VPU (`Requantise`). Along rows or columns: as a resize that copies",
    limits="a map is part of one concatenation; a depthwise or elementwise layer cannot read one "
    "whose parts do not fill whole groups of lanes",
    cost="none",
    example=example,
    aten={aten.cat.default: capture, aten.concat.default: capture, aten.stack.default: stack},
    floats=(Concat,),
    integers=(QConcat,),
    rewrites=((Stage.JOIN, flatten),),
    shows=shows,
)
