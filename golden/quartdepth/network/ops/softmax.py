"""Softmax over the channels of a pixel, or between two channels, as classifiers, bins and branches have it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.functions import exp2n, recip
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32, wrap32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Format, Function, Kind, Multiply, Reduce, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import Maps, Observe, QLayer, Quantising, Ungained
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.sigmoid import Sigmoid
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, QParams, Scale, fixed_point

aten = torch.ops.aten
POWERS = QParams(Format.INT8, 1 / 255, -128)  # e^(x - max)
PER_OCTAVE = 1024  # of EXP2N's argument
FRACTION = -14  # of a share: bits of it
WHAT = "softmax must run over the keys of attention scores, over all channels of a pixel, or between two of them"


@dataclass(frozen=True, eq=False)
class Softmax(Ungained):
    """Over the channels of every pixel."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source].softmax(1)

    def quantise(self, q: Quantising) -> list[QLayer]:
        source, out, shape = q.qparams(self.source), q.qparams(self.name), q.maps[self.source].shape
        powers = f"{self.name}.powers"
        q.maps[powers] = FeatureMap(shape, POWERS)
        octaves = min(source.scale * math.log2(math.e) * PER_OCTAVE, LARGEST_FACTOR)
        share = fixed_point(min(2.0**FRACTION / out.step, LARGEST_FACTOR), f"'{self.name}': the rescaling")
        return [
            QPowers(powers, self.source, fixed_point(octaves), fixed_point(255 / 32767)),
            QShares(self.name, powers, shape.channels * -POWERS.zero, share, *q.limits(self.name, False)),
        ]


@dataclass(frozen=True, eq=False)
class _OverChannels(Lowerable):
    """A layer of several microwords that reduces the channels of each pixel."""

    dense = True

    source: str

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        if source.elements != len(source.positions):
            raise CompileError(f"'{self.name}': its input lies in cells with gaps; put a convolution between them")
        return JobWork(self, elementwise(output, source, words=2))


@dataclass(frozen=True, eq=False)
class QPowers(_OverChannels):
    """`V = clamp(rs(EXP2N(sat16(sat32(rs((A - max A) * exponent)))) * weight) + zero, -128, 127)`, by pixel."""

    exponent: Scale
    weight: Scale

    def run(self, maps: QMaps) -> Ints:
        a = read(maps, self.source)
        power = exp2n(sat16(apply(a - a.max(2, keepdims=True), self.exponent)))
        return finish(maps, self.name, apply(power, self.weight), -128, 127)

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        source = microcode.read(maps, self.source, slots)
        return microcode.program(
            {**source, "lo": -32768, "hi": 32767, "reduce": Reduce.MAX, "rs_d": 0},
            {
                **source, "addend": Addend.ROW, "rs_a": 0, "mul": Multiply.IMM,
                "imm_m": self.exponent.multiplier, "imm_s": self.exponent.shift, "fn": Function.EXP2N,
                "side": Side.SCALE_F, "b_m": self.weight.multiplier, "b_s": self.weight.shift,
                "out_add": maps[self.name].qparams.zero, **microcode.store(maps, self.name, slots, -128, 127),
            },
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class QShares(_OverChannels):
    """`{e, m} = recip(sum A + add)`; `Y = sat32(rs((A - source zero) * m, e + FRACTION))`;
    `V = clamp(rs(sat16(Y) * out) + output zero, lo, hi)`, by pixel, then the output's encoder."""

    add: int
    out: Scale
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        a = read(maps, self.source)
        inverse = recip(wrap32(a.sum(2, keepdims=True) + self.add))
        y = sat32(rs((a - POWERS.zero) * (inverse & 0xFFFF), (inverse >> 16) + FRACTION))
        return finish(maps, self.name, apply(sat16(y), self.out), self.lo, self.hi)

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        source = microcode.read(maps, self.source, slots)
        return microcode.program(
            {**source, "lo": -32768, "hi": 32767, "reduce": Reduce.SUM, "rs_d": 0},
            {
                "kind": Kind.SCALAR, "rs_a": 0, "addend": Addend.IMM, "imm_add": self.add,
                "fn": Function.RECIP, "rs_d": 1,
            },
            {
                **source, "addend": Addend.IMM, "imm_add": -POWERS.zero, "mul": Multiply.ROW, "rs_m": 1,
                "imm_s": FRACTION, "side": Side.SCALE_F, "b_m": self.out.multiplier, "b_s": self.out.shift,
                "out_add": maps[self.name].qparams.zero,
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            },
        )  # fmt: skip


def capture(c: Capture, node: Node) -> View | Tensor:
    """aten.softmax; of one value alone it is a constant."""
    view = c.arg(node, 0)
    if not isinstance(view, View):
        raise Declined(WHAT)
    if view.index.shape[int(c.arg(node, 1))] == 1:
        return torch.ones(view.index.shape)
    return over_axis(c, c.name(node), view, int(c.arg(node, 1)))


def over_axis(c: Capture, name: str, view: View, axis: int) -> View:
    """The softmax of a view. Raises Declined."""
    if not _within(_rows(c, view, axis)[0]):
        try:
            made = c.whole_map(view)
            view = View(made, c.whole(made))
        except GraphError:
            return _over_tokens(c, name, view, axis)
        if not _within(_rows(c, view, axis)[0]):
            return _over_tokens(c, name, view, axis)
    pixels, channels = _rows(c, view, axis)
    count = c.shapes[view.fmap].channels
    if not _within(pixels):
        raise Declined(WHAT)
    if torch.equal(channels.sort(1).values, torch.arange(count).expand(len(channels), -1)):
        return c.add_alike(Softmax(name, view.fmap), view)
    if channels.shape[1] != 2:
        raise Declined(WHAT)
    return _between_two(c, name, view, channels)


def _over_tokens(c: Capture, name: str, view: View, axis: int) -> View:
    """Over something else than channels: those of a map that has it as channels."""
    moved = view.index.movedim(axis, -1)
    try:  # squares of pixels become channels
        rows = moved.reshape(1, -1, 1, moved.shape[-1])
        fmap = c.whole_map(View(view.fmap, rows.permute(0, 3, 1, 2)))
        made = c.add(Softmax(name, fmap))
        return View(made.fmap, torch.arange(moved.numel()).reshape(moved.shape).movedim(-1, axis))
    except GraphError:
        pass
    try:
        tokens, pixels = c.tokens(View(view.fmap, moved))
    except GraphError:
        raise Declined(WHAT) from None
    made = c.add_tokens(Softmax(name, tokens.fmap), tokens, pixels)
    return View(made.fmap, made.index.movedim(-1, axis))


def _rows(c: Capture, view: View, axis: int) -> tuple[Tensor, Tensor]:
    """Pixels and channels of what a softmax runs over, each time."""
    rows = view.index.movedim(axis, -1).reshape(-1, view.index.shape[axis])
    channels = c.shapes[view.fmap].channels
    return rows // channels, rows % channels


def _within(pixels: Tensor) -> bool:
    """Every time within one pixel."""
    return torch.equal(pixels, pixels[:, :1].expand_as(pixels))


def _between_two(c: Capture, name: str, view: View, pairs: Tensor) -> View:
    """The sigmoid of each channel less the one that it is paired with."""
    channels = c.shapes[view.fmap].channels
    other = torch.full((channels,), -1)
    other[pairs[:, 0]], other[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    if not torch.equal(other[pairs], pairs.flip(1)):
        raise Declined(WHAT)
    used = (other >= 0).nonzero()[:, 0]
    weight = torch.eye(channels)
    weight[used, other[used]] -= 1.0
    less = c.add(Conv2d(f"{name}.less", view.fmap, weight[:, :, None, None], torch.zeros(channels)))
    return c.add_alike(Sigmoid(name, less.fmap), view)


class _Shared(nn.Module):
    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 4, 1)
        with torch.no_grad():
            self.first.weight.mul_(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.kind == 0:
            y = y.softmax(1)
        elif self.kind == 1:
            y = y.flatten(2).transpose(1, 2).softmax(-1).transpose(1, 2).unflatten(2, x.shape[2:])
        else:
            y = torch.stack([y, y.relu()], 1).softmax(1)[:, 1] if self.kind == 2 else _branches(y)
        if self.kind == 4:  # along rows, of one channel
            y = y * self.first(x)[:, :1].softmax(3)
        z: Tensor = self.last(y)
        return z


def _branches(y: Tensor) -> Tensor:
    """A branch each for half of the channels, chosen by channel."""
    return y.unflatten(1, (2, -1)).softmax(1).flatten(1, 2)


def example(rng: random.Random) -> Example:
    """Over all channels, of pixels or tokens; between two maps, between halves."""
    kind = rng.randrange(5)
    return Example(_Shared(rng.choice([2, 8, 18]), kind), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Softmax",
    forms="`softmax` over all channels of a pixel, or between two channels (branches, ordinal bins)",
    widths="any; powers INT8",
    mapping="two VECTORs: the pixel's maximum and powers of two (two microwords); their sum, its reciprocal and the "
    "product (three). Between two channels it is the sigmoid of their difference, a 1x1 convolution",
    limits="not of a concatenation with gaps; over more than two channels they must be all of a pixel's",
    cost="4 ceil(channels / C) + 1 cycles of the VPU a pixel; between two, those of a linear layer and a sigmoid",
    example=example,
    aten={aten.softmax.int: capture, aten._softmax.default: capture},
    floats=(Softmax,),
    integers=(QPowers, QShares),
)
