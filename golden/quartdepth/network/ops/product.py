"""Product of two maps, and squares: one microword. A gate by channel is read for every pixel."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Multiply, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Walk, alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import matched, with_constant
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, QParams, Scale, fixed_point

aten = torch.ops.aten
HALF = 32767  # of the first product, which the second one takes as 16 bits


@dataclass(frozen=True, eq=False)
class Product(FloatLayer):
    """Element by element."""

    reads = ("source", "other")

    source: str
    other: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source] * maps[self.other]

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.other, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        return [multiplied(self.name, self.source, self.other, q)]


def multiplied(name: str, one: str, two: str, q: Quantising) -> QMultiply:
    """Map `name` as the product of two maps."""
    a, b = q.qparams(one), q.qparams(two)
    largest = _reach(a) * _reach(b)
    drop = max((largest - 1) // HALF, 0).bit_length()
    factor = a.scale * b.scale * 2.0**drop / q.qparams(name).step
    scale = fixed_point(min(factor, LARGEST_FACTOR), f"'{name}': the rescaling")
    return QMultiply(name, one, two, -a.zero, -b.zero, drop, scale, *q.limits(name, False))


def _reach(qparams: QParams) -> int:
    """Largest distance from zero of what the engines read of a map."""
    read = qparams.limits if qparams.table is None else qparams.table.entries
    return max(abs(each - qparams.zero) for each in read)


@dataclass(frozen=True, eq=False)
class QMultiply(Lowerable):
    """`Y = sat16(rs((A + add) * (B + other_add), drop))`; `V = clamp(rs(Y * multiplier, shift) + output zero, lo, hi)`,
    then the output's encoder. B of one pixel is read for every pixel."""

    alike = True

    reads = ("source", "other")

    source: str
    other: str
    add: int
    other_add: int
    drop: int
    scale: Scale
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        y = sat16(rs((read(maps, self.source) + self.add) * (read(maps, self.other) + self.other_add), self.drop))
        return finish(maps, self.name, apply(y, self.scale), self.lo, self.hi)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        source, other = alike(self.name, layout, output, self.source, self.other)
        (job,) = elementwise(output, source, other)
        if len(layout.network.maps[self.other].shape) == 1:
            job = replace(job, residual=Walk(other, (0, 0), (0, 0), job.grid))
        return JobWork(self, [job])

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        return microcode.program(
            {
                **microcode.read(maps, self.source, slots),
                "addend": Addend.IMM, "imm_add": self.add, "mul": Multiply.B, "imm_s": self.drop,
                "fmt_b": maps[self.other].qparams.format, "table_b": slots.get(self.other, 0), "b_add": self.other_add,
                "side": Side.SCALE_F, "b_m": self.scale.multiplier, "b_s": self.scale.shift,
                "out_add": maps[self.name].qparams.zero,
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            }
        )  # fmt: skip


def _gate(c: Capture, large: View, small: View) -> bool:
    """The second is a map of one pixel, whose channels the first has everywhere."""
    wanted, held = c.shapes[large.fmap], c.shapes[small.fmap]
    if len(held) != 1 or held.channels != wanted.channels or large.index.numel() != len(wanted) * wanted.channels:
        return False
    try:
        index = small.index.expand(large.index.shape)
    except RuntimeError:
        return False
    return torch.equal(index, large.index % wanted.channels)


def capture(c: Capture, node: Node) -> View:
    """aten.mul of two views, or of a view and a constant"""
    a, b = c.arg(node, 0), c.arg(node, 1)
    name = c.name(node)
    if isinstance(a, View) and isinstance(b, Tensor):
        return by_constant(c, name, a, b)
    if isinstance(b, View) and isinstance(a, Tensor):
        return by_constant(c, name, b, a)
    if not isinstance(a, View) or not isinstance(b, View):
        raise Declined("two maps can be multiplied")
    for large, small in ((a, b), (b, a)):
        if _gate(c, large, small):
            return c.add_alike(Product(name, large.fmap, small.fmap), large)
    view, one, two = matched(c, a, b, name)
    c.add(Product(name, one, two))
    return View(name, view.index)


def by_constant(c: Capture, name: str, view: View, value: Tensor) -> View:
    """A map times a constant of its shape: rotary positions."""
    if bool((value == 1).all()) and value.ndim <= view.index.ndim:
        return view
    view, constant = with_constant(c, view, value, name)
    return c.add_alike(Product(name, view.fmap, constant), view)


def power(c: Capture, node: Node) -> View:
    """aten.pow by two"""
    view, exponent = c.view(c.arg(node, 0)), c.arg(node, 1)
    if exponent != 2:
        raise Declined(f"a map can be taken to the power of two, not of {exponent}")
    return c.add_alike(Product(c.name(node), view.fmap, view.fmap), view)


def square(c: Capture, node: Node) -> View:
    """aten.square"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Product(c.name(node), view.fmap, view.fmap), view)


class _Multiplied(nn.Module):
    def __init__(self, kind: int, channels: int, pixels: int) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(3, channels, 1)
        self.table = nn.Parameter(torch.randn(2, pixels - 1, channels))
        self.gate, self.last = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        if self.kind == 0:
            y = y * self.two(x)
        elif self.kind == 1:  # squeeze and excitation
            y = y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        elif self.kind == 5:  # rotary positions, of all pixels but the first
            t = y.flatten(2).transpose(1, 2)
            turned = torch.cat([-t[..., 1::2], t[..., ::2]], 2)[:, 1:]
            t = torch.cat([t[:, :1], t[:, 1:] * self.table[0] + turned * self.table[1]], 1)
            y = t.transpose(1, 2).unflatten(2, x.shape[2:])
        elif self.kind == 2:  # a gate by pixel
            y = self.two(x)[:, :1] * y
        elif self.kind == 6:  # a constant by row
            y = y * torch.linspace(-1, 1, y.shape[2])[:, None]
        else:
            y = y.square() if self.kind == 3 else y * y
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Of two maps, gates by channel and by pixel, squares."""
    size = (rng.randint(1, 9), rng.randint(1, 9))
    kind = rng.choice([0, 1, 2, 3, 4, 6] if size == (1, 1) else range(7))
    return Example(_Multiplied(kind, rng.choice([3, 8, 17]), size[0] * size[1]), (3, *size))


OPERATION = Operation(
    title="Product of two maps",
    forms="`mul` of two maps of one shape, of a map and a value a channel or a pixel (squeeze and excitation, "
    "gates), or of a map and a constant of its shape (rotary positions); `square`, `pow` by 2",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="a VECTOR of one microword: the second operand is the first multiplication's factor, the second "
    "multiplication rescales. A gate of one pixel is read for all pixels; one of a value a pixel is spread over "
    "channels by a 1x1 convolution of ones",
    limits="the product of both codes is rounded to 16 bits before it is rescaled",
    cost="ceil(channels / C) cycles of the VPU a pixel, a gate by pixel's spreading apart",
    example=example,
    aten={
        aten.mul.Tensor: capture,
        aten.mul_.Tensor: capture,
        aten.square.default: square,
        aten.pow.Tensor_Scalar: power,
    },
    floats=(Product,),
    integers=(QMultiply,),
)
