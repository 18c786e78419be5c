"""Vectors of length one: queries and keys of cosine attention, normals."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.functions import rsqrt
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Function, Kind, Multiply, Reduce, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Need, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops.clamp import Clamp
from triptych.golden.quartdepth.network.ops.concat import Concat
from triptych.golden.quartdepth.network.ops.curve import quotient
from triptych.golden.quartdepth.network.ops.gather import numbered, selected
from triptych.golden.quartdepth.network.ops.reduction import norm_over
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, Scale, fixed_point

aten = torch.ops.aten
FRACTION = -14  # what has at most length one fits in Q14


@dataclass(frozen=True, eq=False)
class Normalise(FloatLayer):
    """The channels of a pixel over their length, in groups of as many. eps: the least length."""

    source: str
    groups: int
    eps: float

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        x = maps[self.source].unflatten(1, (self.groups, -1))
        return (x / x.norm(dim=2, keepdim=True).clamp(min=self.eps)).flatten(1, 2)

    def need(self, source: str) -> Need:
        return Need.SYMMETRIC

    @property
    def no_gain(self) -> tuple[str, ...]:
        return (self.source, self.name)

    def quantise(self, q: Quantising) -> list[QLayer]:
        out = q.qparams(self.name)
        scale = fixed_point(min(2.0**FRACTION / out.step, LARGEST_FACTOR), f"'{self.name}': the output rescaling")
        return [QNormalise(self.name, self.source, scale, *out.clamp)]


@dataclass(frozen=True, eq=False)
class QNormalise(Lowerable):
    """`{e, m} = rsqrt(sum A^2)` by pixel, of a source with zero point 0; `Y = sat32(rs(A * m, e - 14))`;
    `V = clamp(rs(sat16(Y) * out.multiplier, out.shift) + zero, lo, hi)`, then the output's encoder."""

    dense = True

    source: str
    out: Scale
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        a = read(maps, self.source)
        root = rsqrt((a**2).sum(2, keepdims=True))
        y = sat32(rs(a * (root & 0xFFFF), (root >> 16) + FRACTION))
        return finish(maps, self.name, apply(sat16(y), self.out), self.lo, self.hi)

    def mode(self, layout: Layout) -> str:
        return "vector"

    @property
    def aligned(self) -> tuple[str, ...]:
        return self.name, self.source

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        if source.elements != len(source.positions):
            raise CompileError(f"'{self.name}': its input lies in cells with gaps; put a convolution between them")
        return JobWork(self, elementwise(output, source, words=2))

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        """Sums of squares, their reciprocal roots, products. Row scalars 0 and 1."""
        source = microcode.read(maps, self.source, slots)
        return microcode.program(
            {**source, "lo": -32768, "hi": 32767, "mul": Multiply.SQUARE, "reduce": Reduce.SUM, "rs_d": 0},
            {"kind": Kind.SCALAR, "rs_a": 0, "addend": Addend.IMM, "fn": Function.RSQRT, "rs_d": 1},
            {
                **source, "mul": Multiply.ROW, "rs_m": 1, "imm_s": FRACTION, "side": Side.SCALE_F,
                "b_m": self.out.multiplier, "b_s": self.out.shift, "out_add": maps[self.name].qparams.zero,
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            },
        )  # fmt: skip


@dataclass(frozen=True)
class Length:
    """While it is captured: Euclidean lengths along one axis of a view, which something is divided by. name: of their
    map, if they become one."""

    view: View
    axis: int
    name: str
    least: float = 0.0

    def made(self, c: Capture) -> View:
        """The lengths."""
        name = numbered(c, f"{self.name}.lengths")
        view = norm_over(c, name, self.view, self.axis, True)
        return c.add_alike(Clamp(f"{name}.least", view.fmap, self.least, math.inf), view) if self.least else view


def length(c: Capture, node: Node) -> Length:
    """aten.linalg_vector_norm along one axis, which stays."""
    view, axes = c.view(c.arg(node, 0)), c.arg(node, 2)
    one = axes is not None and len(axes) == 1 and bool(c.arg(node, 3, False))
    if c.arg(node, 1, 2) != 2 or not one:
        raise Declined("vectors can be normalised by their Euclidean length along one axis that is kept")
    return Length(view, int(axes[0]) % view.index.ndim, c.name(node))


def at_least(c: Capture, node: Node) -> Length:
    """aten.clamp_min of lengths."""
    value, least = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(value, Length) or not isinstance(least, int | float):
        raise Declined("an operand is no activation")
    return replace(value, least=float(least))


def spread(c: Capture, node: Node) -> Length:
    """aten.expand of lengths to their vectors."""
    value = c.arg(node, 0)
    if not isinstance(value, Length):
        raise Declined("an operand is no activation")
    return value


def divide(c: Capture, node: Node) -> View:
    """aten.div of vectors by their own lengths."""
    view, by = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(by, Length):
        raise Declined("vectors can be divided by their own lengths")
    if not isinstance(view, View) or view.fmap != by.view.fmap or not torch.equal(view.index, by.view.index):
        return quotient(c, c.name(node), view, c.view(by))
    rows = view.index.movedim(by.axis, -1)
    channels, count = c.shapes[view.fmap].channels, rows.shape[-1]
    flat = rows.reshape(-1, count)
    groups = channels % count == 0 and torch.equal(flat, flat[:, :1] + torch.arange(count))
    if groups and not bool((flat[:, 0] % count).any()):
        layer = Normalise(c.name(node), view.fmap, channels // count, by.least)
        return c.add_alike(layer, view)
    tokens, pixels = c.tokens(View(view.fmap, rows))
    made = c.add_tokens(Normalise(c.name(node), tokens.fmap, 1, by.least), tokens, pixels)
    return View(made.fmap, made.index.movedim(-1, by.axis))


def apart(graph: FloatGraph) -> FloatGraph:
    """Groups that are still in one map: normalised by themselves, and joined again."""
    layers: list[FloatLayer] = []
    shapes = dict(graph.shapes)
    for layer in graph.layers:
        if not isinstance(layer, Normalise) or layer.groups == 1:
            layers.append(layer)
            continue
        channels = shapes[layer.source].channels // layer.groups
        parts = []
        for group in range(layer.groups):
            of, unit = f"{layer.name}.of{group}", f"{layer.name}.{group}"
            kept = torch.arange(group * channels, (group + 1) * channels)
            layers.append(selected(of, layer.source, kept, shapes[layer.source].channels))
            layers.append(replace(layer, name=unit, source=of, groups=1))
            shapes[of] = shapes[unit] = replace(shapes[layer.source], channels=channels)
            parts.append(unit)
        layers.append(Concat(layer.name, tuple(parts)))
    return replace(graph, layers=layers, shapes=shapes)


class _Directions(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.first, self.last = nn.Conv2d(3, channels * groups, 1), nn.Conv2d(channels * groups, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).unflatten(1, (self.groups, -1))
        z: Tensor = self.last(nn.functional.normalize(y, dim=2).flatten(1, 2))
        return z


def example(rng: random.Random) -> Example:
    """Over the channels of pixels, all or in groups."""
    module = _Directions(rng.choice([3, 5, 8, 17]), rng.choice([1, 1, 2]))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Vectors of length one",
    forms="`normalize` (a vector over its Euclidean length) along channels, heads of them or, by pixels as channels, "
    "along pixels: cosine attention, cross-covariance attention",
    widths="INT8, symmetric, into any",
    mapping="a VECTOR of three microwords: sum of squares, reciprocal root, product; heads of attention each by "
    "themselves",
    limits="not of a concatenation with gaps",
    cost="2 ceil(channels / C) + 1 cycles of the VPU a pixel",
    example=example,
    aten={
        aten.linalg_vector_norm.default: length,
        aten.clamp_min.default: at_least,
        aten.expand.default: spread,
        aten.expand_as.default: spread,
        aten.div.Tensor: divide,
    },
    floats=(Normalise,),
    integers=(QNormalise,),
    rewrites=((Stage.FOLD, apart),),
)
