"""Products of two maps as matrices."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable, Wish
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Need, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._matmul_work import MatMulWork
from triptych.golden.quartdepth.network.ops.concat import Concat
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
MOST_CHANNELS = 8191  # of one VECTOR
MOST_MATRICES = 64  # of one product: heads
WHAT = "a product of two maps must sum over the channels of a pixel or over all pixels of a map"


@dataclass(frozen=True, eq=False)
class MatMul(FloatLayer):
    """Of each pixel of the first map, its sums of products with the pixels of the second over channels; `by_channel`:
    with the channels of the second over its pixels, of which there are as many as the first has channels."""

    reads = ("source", "other")

    source: str
    other: str
    channels: int
    by_channel: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        return Shape(shape.height, shape.width, self.channels)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        a, b = maps[self.source], maps[self.other].flatten(2)
        return ((b if self.by_channel else b.transpose(1, 2)) @ a.flatten(2)).unflatten(2, a.shape[2:])

    def need(self, source: str) -> Need:
        return Need.SYMMETRIC

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.other, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        one, two, out = (q.qparams(n) for n in (*self.sources, self.name))
        factor = min(one.scale * two.scale / out.step, LARGEST_FACTOR)
        scale = fixed_point(factor, f"'{self.name}': the rescaling")
        depth = q.maps[self.source].shape.channels
        limits = q.limits(self.name, False)
        return [QMatMul(self.name, self.source, self.other, self.channels, depth, scale, *limits, self.by_channel)]


@dataclass(frozen=True, eq=False)
class QMatMul(Lowerable):
    """`V = clamp(sat32(rs((sum a b) * multiplier, shift)) + output zero, lo, hi)`, then the output's encoder; a and b
    INT8 with zero point 0. The sum runs over `depth` channels of both maps, or (`by_channel`) over channels of the
    first and pixels of the second."""

    reads = ("source", "other")
    on_mxu = True

    source: str
    other: str
    channels: int
    depth: int
    scale: Scale
    lo: int
    hi: int
    by_channel: bool = False

    def run(self, maps: QMaps) -> Ints:
        a, b = read(maps, self.source), read(maps, self.other)
        second = b.reshape(-1, b.shape[2])
        second = second if self.by_channel else second.T
        total = (a.astype(np.float64) @ second.astype(np.float64)).astype(np.int64)
        return finish(maps, self.name, apply(total, self.scale), self.lo, self.hi)

    def macs(self, maps: Mapping[str, FeatureMap]) -> int:
        return len(maps[self.name].shape) * self.channels * self.depth

    def mode(self, layout: Layout) -> str:
        return "w8a8"

    def wishes(self, config: ChipConfig) -> dict[str, Wish]:
        """No gaps."""
        return {self.source: Wish(np.arange(self.depth)), self.name: Wish(np.arange(self.channels))}

    def work(self, layout: Layout, config: ChipConfig) -> MatMulWork:
        places = [layout.places[name] for name in (self.source, self.other, self.name)]
        if self.channels > MOST_CHANNELS:
            raise CompileError(f"'{self.name}' makes {self.channels} channels; {MOST_CHANNELS} are the most")
        for place in places:
            if place.patch != (1, 1) or place.elements != len(place.positions):
                raise CompileError(f"'{self.name}': '{place.fmap}' lies in cells with gaps")
        return MatMulWork(self, *places)


class _Matrix(NamedTuple):
    """Rows of a matrix that are pixels, all of their channels."""

    fmap: str
    pixels: Tensor


def _rows(c: Capture, fmap: str, index: Tensor) -> _Matrix | None:
    channels = c.shapes[fmap].channels
    whole = index.shape[1] == channels and torch.equal(
        index[:, :1] // channels * channels + torch.arange(channels), index
    )
    return _Matrix(fmap, index[:, 0] // channels) if whole else None


def _all_pixels(c: Capture, found: _Matrix | None) -> bool:
    """Every pixel, in order."""
    return found is not None and torch.equal(found.pixels, torch.arange(len(c.shapes[found.fmap])))


def _picture(shape: Shape) -> tuple[bool, int]:
    """How much a map's pixels look like those of a picture."""
    return shape.height > 1, len(shape)


def _product(c: Capture, name: str, a: View, b: View) -> View:
    """[N, K] times [K, M]: a map of the one's pixels, of which the others' are the channels."""
    a, b = _of_pixels(c, a), _of_pixels(c, b)
    n, m = a.index.shape[0], b.index.shape[1]
    left, right = _rows(c, a.fmap, a.index), _rows(c, b.fmap, b.index.T)
    turned_left, turned_right = _rows(c, a.fmap, a.index.T), _rows(c, b.fmap, b.index)
    if left is not None and right is not None:
        if _picture(c.shapes[right.fmap]) > _picture(c.shapes[left.fmap]):
            made = _multiplied(c, name, right.fmap, left.fmap, False)
            return View(made.fmap, right.pixels * len(c.shapes[left.fmap]) + left.pixels[:, None])
        made = _multiplied(c, name, left.fmap, right.fmap, False)
        return View(made.fmap, left.pixels[:, None] * len(c.shapes[right.fmap]) + right.pixels)
    if left is not None and turned_right is not None and _all_pixels(c, turned_right):
        made = _multiplied(c, name, left.fmap, turned_right.fmap, True)
        return View(made.fmap, left.pixels[:, None] * m + torch.arange(m))
    if right is not None and turned_left is not None and _all_pixels(c, turned_left):
        made = _multiplied(c, name, right.fmap, turned_left.fmap, True)
        return View(made.fmap, right.pixels * n + torch.arange(n)[:, None])
    if turned_left is not None and turned_right is not None:
        made_map = c.whole_map(View(a.fmap, a.index.T.reshape(1, -1, 1, n)))
        return _product(c, name, View(made_map, torch.arange(a.index.numel()).reshape(a.index.shape)), b)
    raise Declined(WHAT)


def _multiplied(c: Capture, name: str, first: str, second: str, by_channel: bool) -> View:
    """Operands of their own: in a code about zero, in cells without gaps."""
    one = _own(c, f"{name}.first", first)
    two = one if second == first and not by_channel else _own(c, f"{name}.second", second)
    channels = c.shapes[second].channels if by_channel else len(c.shapes[second])
    return c.add(MatMul(name, one, two, channels, by_channel))


def _own(c: Capture, name: str, source: str) -> str:
    if source in c.constants:
        return source
    channels = c.shapes[source].channels
    return c.add(Conv2d(name, source, torch.eye(channels)[:, :, None, None], torch.zeros(channels))).fmap


def _of_pixels(c: Capture, view: View) -> View:
    """A matrix, of a map whose pixels are its rows or its columns, where it has some channels of them."""
    for index in (view.index, view.index.T):
        pixels = index // c.shapes[view.fmap].channels
        if _rows(c, view.fmap, index) is None and torch.equal(pixels, pixels[:, :1].expand_as(pixels)):
            shape = c.shapes[view.fmap]
            rows = shape.height if len(index) == len(shape) else 1
            made = c.whole_map(View(view.fmap, index.T.reshape(1, index.shape[1], rows, -1)))
            new = torch.arange(index.numel()).reshape(index.shape)
            return View(made, new if index is view.index else new.T)
    return view


def side_by_side(c: Capture, name: str, views: list[View]) -> View:
    """Views of a shape, each of all of a map of its own, as one tensor: their maps' channels one after the other, or
    their pixels."""
    if len(views) == 1:
        return View(views[0].fmap, views[0].index[None])
    shapes = [c.shapes[v.fmap] for v in views]
    if any((s.height, s.width) != (shapes[0].height, shapes[0].width) for s in shapes):
        raise Declined(WHAT)
    shape = replace(shapes[0], channels=sum(s.channels for s in shapes))
    made = c.add(Concat(name, tuple(v.fmap for v in views)), shape)
    index, before = [], 0
    for view, own in zip(views, shapes, strict=True):
        index.append(view.index // own.channels * shape.channels + before + view.index % own.channels)
        before += own.channels
    return View(made.fmap, torch.stack(index))


def multiplied(c: Capture, name: str, a: View, b: View) -> View:
    """Two views of as many matrices, one after the other."""
    lead = torch.broadcast_shapes(a.index.shape[:-2], b.index.shape[:-2])
    pairs = [v.index.expand(*lead, *v.index.shape[-2:]).reshape(-1, *v.index.shape[-2:]) for v in (a, b)]
    if len(pairs[0]) > MOST_MATRICES:
        raise Declined(f"a product of two maps can be one of {MOST_MATRICES} matrices, not of {len(pairs[0])}")
    names = [name] if len(pairs[0]) == 1 else [f"{name}.{i}" for i in range(len(pairs[0]))]
    made = [_product(c, n, View(a.fmap, x), View(b.fmap, y)) for n, x, y in zip(names, *pairs, strict=True)]
    whole = side_by_side(c, name, made)
    return View(whole.fmap, whole.index.reshape(*lead, *whole.index.shape[-2:]))


def matmul(c: Capture, node: Node) -> View:
    """aten.matmul of two maps"""
    a, b = (c.settled(c.arg(node, i)) for i in (0, 1))
    name = c.name(node)
    if isinstance(b, View) and isinstance(a, View):
        return multiplied(c, name, a, b)
    raise Declined(WHAT)


class _Mixed(nn.Module):
    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind, self.one, self.two = kind, nn.Conv2d(3, channels, 1), nn.Conv2d(3, channels + 3, 1)
        self.last = nn.LazyConv2d(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        (h, w), y, z = x.shape[2:], self.one(x), self.two(x)
        if self.kind == 0:  # some pixels read the map
            y = (self.one(x).flatten(2).transpose(1, 2) @ y.flatten(2)[..., : h * w // 2]).transpose(1, 2)
            y = y.unflatten(2, (h, w))
        elif self.kind == 1:  # channels read channels
            y = ((y.flatten(2) @ z.flatten(2).transpose(1, 2) / (h * w)) @ z.flatten(2)).unflatten(2, (h, w))
        elif self.kind == 3:  # linear attention, by head
            q, k = (t.flatten(2).unflatten(1, (2, -1)) for t in (y, self.one(x).relu()))
            y = (q.transpose(2, 3) @ (k @ k.transpose(2, 3)) / (h * w)).transpose(2, 3).flatten(1, 2)
            y = y.unflatten(2, (h, w))
        else:  # softmax over what its pairs leave
            scores = y.flatten(2) @ y.flatten(2).transpose(1, 2)
            scores = scores.max(-1, keepdim=True)[0].expand_as(scores) - scores
            y = (scores.softmax(-1) @ y.flatten(2)).unflatten(2, (h, w))
        out: Tensor = self.last(y)
        return out


def example(rng: random.Random) -> Example:
    """Pixels that read a map, products of channels."""
    shape = (3, rng.randint(1, 6), rng.randint(2, 6))
    module = _Mixed(2 * rng.choice([2, 4, 9]), rng.randrange(4))
    with torch.no_grad():
        module(torch.zeros(1, *shape))
    return Example(module, shape)


OPERATION = Operation(
    title="Product of two matrices",
    forms="`matmul` of two maps over the channels of both or over pixels",
    widths="both operands INT8 about zero, any out",
    mapping="a block of R pixels of the one streams past the other, whose pixels or channels are the array's columns; "
    "operands are 1x1 convolutions of their own",
    limits=f"{MOST_MATRICES} matrices (heads); the second operand in the scratchpad; at most 8,191 channels",
    cost="2 ceil(depth / D) cycles a pixel and column tile",
    example=example,
    aten={aten.matmul.default: matmul, aten.mm.default: matmul, aten.bmm.default: matmul},
    floats=(MatMul,),
    integers=(QMatMul,),
)
