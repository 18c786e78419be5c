"""The larger, or smaller, of two maps, and of all channels of a pixel."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import matched, one_by_one
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.affine import Affine
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.resize import resampled

aten = torch.ops.aten
MOST_PARTS = 16  # whose largest is taken one after the other


@dataclass(frozen=True, eq=False)
class Maximum(FloatLayer):
    """Element by element."""

    reads = ("source", "other")

    source: str
    other: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return torch.maximum(maps[self.source], maps[self.other])

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.other, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        rows = tuple(range(q.maps[self.source].shape.height))
        both = Taps(rows, rows, ((1.0, 1.0),) * len(rows))
        return [resampled(self.name, self.source, self.other, 2, both, q, largest=True)]


def _negative(c: Capture, name: str, view: View) -> View:
    gain = torch.full((c.shapes[view.fmap].channels,), -1.0)
    return c.add_alike(Affine(name, view.fmap, gain, torch.zeros_like(gain)), view)


def _of_two(least: bool, c: Capture, node: Node) -> View:
    a, b = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(a, View) or not isinstance(b, View):
        raise Declined("the larger of two maps can be taken, not of a map and a constant")
    name = c.name(node)
    if least:
        a, b = _negative(c, f"{name}.first", a), _negative(c, f"{name}.second", b)
    own = f"{name}.most" if least else name
    view, one, two = matched(c, a, b, own)
    c.add(Maximum(own, one, two))
    shown = View(own, view.index)
    return _negative(c, name, shown) if least else shown


def _over(least: bool, c: Capture, node: Node) -> View:
    view, dims, keep = c.view(c.arg(node, 0)), c.arg(node, 1), bool(c.arg(node, 2, False))
    return _reduced(c, c.name(node), view, [dims] if isinstance(dims, int) else list(dims), keep, least)


def _with_places(least: bool, c: Capture, node: Node) -> list[View | None]:
    """aten.max.dim, of which only the values can be used."""
    return [_over(least, c, node), None]


def _reduced(c: Capture, name: str, view: View, dims: list[int], keep: bool, least: bool) -> View:
    """Halves of the channels, and halves of those."""
    axes = [d % view.index.ndim for d in dims]
    rows = view.index.movedim(axes, list(range(-len(axes), 0)))
    lead = rows.shape[: -len(axes)]
    rows = rows.reshape(-1, rows.shape[-len(axes) :].numel())
    channels = c.shapes[view.fmap].channels
    pixels = rows[:, :1] // channels
    if not torch.equal(rows.sort(1).values, pixels * channels + torch.arange(channels)):
        if len(axes) > 1 or view.index.shape[axes[0]] > MOST_PARTS:
            raise Declined(f"the largest or least of all channels of a pixel, or of {MOST_PARTS} parts, can be taken")
        made = _of_parts(c, name, view, axes[0], least)
        return View(made.fmap, made.index.unsqueeze(axes[0])) if keep else made
    source, count, level = view.fmap, channels, 0
    if least:
        source = _negative(c, f"{name}.negative", View(source, c.whole(source))).fmap
    while count > 1:
        half = -(-count // 2)
        parts = []
        for n, first in enumerate((0, count - half)):  # of an odd number the middle one counts twice
            weight = torch.eye(count)[first : first + half, :, None, None]
            parts.append(c.add(Conv2d(f"{name}.{level}.{n}", source, weight, torch.zeros(half))).fmap)
        source = c.add(Maximum(f"{name}.{level}", parts[0], parts[1])).fmap
        count, level = half, level + 1
    if least:
        source = _negative(c, f"{name}.least", View(source, c.whole(source))).fmap
    index = pixels.reshape(lead)
    for axis in sorted(axes) if keep else []:
        index = index.unsqueeze(axis)
    return View(source, index)


def _of_parts(c: Capture, name: str, view: View, axis: int, least: bool) -> View:
    """Of places along an axis, one after the other."""
    if not least:
        return one_by_one(c, name, view, axis, Maximum)
    largest = one_by_one(c, f"{name}.largest", _negative(c, f"{name}.negative", view), axis, Maximum)
    return _negative(c, name, largest)


class _Largest(nn.Module):
    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(3, channels, 1)
        self.last = nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y, z = self.one(x), self.two(x)
        if self.kind == 0:
            y = torch.maximum(y, z)
        elif self.kind == 1:
            y = torch.minimum(y, z)
        elif self.kind == 2:
            y = y.max(1, keepdim=True)[0] - y
        elif self.kind == 3:
            y = y - y.amin(1, keepdim=True)
        else:  # of parts of the tokens, as Hiera pools its queries
            t = torch.cat([y, z, y.relu()], 2).flatten(2).unflatten(2, (3, -1))
            y = (t.amax(2) - t.amin(2)).unflatten(2, x.shape[2:])
        out: Tensor = self.last(y)
        return out


def example(rng: random.Random) -> Example:
    """Of two maps, of channels."""
    module = _Largest(rng.choice([1, 3, 8, 17]), rng.randrange(5))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


_ATEN: dict[Any, Any] = {
    aten.maximum.default: partial(_of_two, False), aten.max.other: partial(_of_two, False),
    aten.minimum.default: partial(_of_two, True), aten.min.other: partial(_of_two, True),
    aten.amax.default: partial(_over, False), aten.amin.default: partial(_over, True),
    aten.max.dim: partial(_with_places, False), aten.min.dim: partial(_with_places, True),
}  # fmt: skip

OPERATION = Operation(
    title="Larger and smaller",
    forms="`maximum`, `minimum` of two maps; `amax`, `amin`, `max`, `min` over all channels of a pixel, "
    "or over a few parts",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="a VECTOR of one microword, the larger of two. Of channels: of halves, chosen by 1x1 convolutions, then of "
    "halves of those. The smaller is the larger of negative values",
    limits=f"of channels, all of a pixel; of at most {MOST_PARTS} parts",
    cost="ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten=_ATEN,
    floats=(Maximum,),
)
