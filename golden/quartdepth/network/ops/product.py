"""Product of two maps, of squares: `a b = ((a + b)^2 - (a - b)^2) / 4`. Gates are spread first."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Format, Multiply
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, QMaps, Quantising, finish, read
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import matched
from triptych.golden.quartdepth.network.ops._sum import QAdd
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams, Residual, Scale, fixed_point

aten = torch.ops.aten
FRACTIONS = 15  # most bits that a sum keeps below a code's unit
SUM_FRACTION = 6


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
        """Both operands over their largest value: their sum, their difference and its square are maps of eight bits."""
        tops = [max(-low, high, 1e-9) for low, high in (q.ranges[n] for n in self.sources)]
        step = q.qparams(self.name).step / (tops[0] * tops[1])  # of the result, over both tops
        limits = q.limits(self.name, False)
        if self.source == self.other:
            unit, shifts = unit_of_square(step, 1.0 / 127)
            once = f"{self.name}.once"
            q.maps[once] = FeatureMap(q.maps[self.name].shape, QParams(Format.INT8, unit))
            scaled = _combined(once, self.source, 1 / tops[0], self.source, 0.0, q)
            return [scaled, QSquare(self.name, once, shifts.left, shifts.right, *limits, None, shifts.fraction)]
        unit, shifts = unit_of_square(4 * step, 2.0 / 127)
        both, apart, square = (f"{self.name}.{what}" for what in ("sum", "difference", "square"))
        fine = max(math.ceil(math.log2(4.0 / 255 / unit**2)), 0)  # of what the square's unit is coarser
        coarse = QParams(Format.INT8, unit**2 * 2.0**fine, -128)
        same = QParams(Format.INT8, unit)
        for name, qparams in ((both, same), (apart, same), (square, coarse)):
            q.maps[name] = FeatureMap(q.maps[self.name].shape, qparams)
        back = fixed_point(coarse.scale / 4 / step * 2.0**shifts.fraction, f"'{self.name}': the square's rescaling")
        residual = Residual(square, -coarse.zero, Scale(-back.multiplier, back.shift))
        return [
            _combined(both, self.source, 1 / tops[0], self.other, 1 / tops[1], q),
            _combined(apart, self.source, 1 / tops[0], self.other, -1 / tops[1], q),
            QSquare(square, apart, 0, fine, -128, 127, None, 0),
            QSquare(self.name, both, shifts.left, shifts.right, *limits, residual, shifts.fraction),
        ]


@dataclass(frozen=True)
class Shifts:
    """A square's: of its operand to the left, of itself to the right, and bits below the result's unit."""

    left: int
    right: int
    fraction: int


def unit_of_square(step: float, least: float) -> tuple[float, Shifts]:
    """The smallest unit of an operand, at least `least`, whose square is a power of two times `step`, and the shifts
    that make a square of the operand's codes one in units of `step 2^-fraction`."""
    finer = math.floor(math.log2(step / least**2))
    fraction = min(max(finer, 0), FRACTIONS)
    rest = finer - fraction
    left = -(rest // 2) if rest < 0 else 0
    return math.sqrt(step * 2.0**-finer), Shifts(left, rest + 2 * left, fraction)


def _combined(name: str, one: str, by: float, two: str, times: float, q: Quantising) -> QLayer:
    """Map `name` as a weighted sum of two maps; the second may count for nothing."""
    a, b, unit = q.qparams(one), q.qparams(two), q.qparams(name).scale * 2.0**-SUM_FRACTION
    scale = fixed_point(by * a.scale / unit, f"'{name}': the rescaling")
    other = Scale(0, 0) if not times else fixed_point(abs(times) * b.scale / unit, f"'{name}': the rescaling")
    other = other if times >= 0 else Scale(-other.multiplier, other.shift)
    return QAdd(name, one, -a.zero, scale, -128, 127, Residual(two, -b.zero, other), SUM_FRACTION)


@dataclass(frozen=True, eq=False)
class QSquare(Lowerable):
    """`Y = sat32(rs(sat16(A << left)^2, right))` of a map with zero point 0, and the residual in units of
    `2^-fraction`; `V = clamp(rs(sat32(Y + residual), fraction) + output zero, lo, hi)`, then the output's encoder."""

    alike = True

    reads = ("source", "residual")

    source: str
    left: int
    right: int
    lo: int
    hi: int
    residual: Residual | None
    fraction: int

    def run(self, maps: QMaps) -> Ints:
        y = sat32(rs(sat16(read(maps, self.source) << self.left) ** 2, self.right))
        return finish(maps, self.name, y, self.lo, self.hi, self.residual, self.fraction)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        places = alike(self.name, layout, output, *self.sources)
        return JobWork(self, elementwise(output, places[0], places[1] if self.residual is not None else None))

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        return microcode.program(
            {
                **microcode.read(maps, self.source, slots),
                "a_shl": self.left, "addend": Addend.NONE, "mul": Multiply.SQUARE, "imm_s": self.right,
                "z_s": self.fraction, "out_add": maps[self.name].qparams.zero,
                **microcode.add(self.residual, self.fraction, maps, slots),
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            }
        )  # fmt: skip


def capture(c: Capture, node: Node) -> View:
    """aten.mul of two views"""
    a, b = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(a, View) or not isinstance(b, View):
        raise Declined("two maps can be multiplied")
    name = c.name(node)
    view, one, two = matched(c, a, b, name)
    c.add(Product(name, one, two))
    return View(name, view.index)


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
    def __init__(self, kind: int, channels: int) -> None:
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(3, channels, 1)
        self.gate, self.last = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        if self.kind == 0:
            y = y * self.two(x)
        elif self.kind == 1:  # squeeze and excitation
            y = y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        elif self.kind == 2:  # a gate by pixel
            y = self.two(x)[:, :1] * y
        else:
            y = y.square() if self.kind == 3 else y * y
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Of two maps, gates by channel and by pixel, squares."""
    return Example(_Multiplied(rng.randrange(5), rng.choice([3, 8, 17])), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Product of two maps",
    forms="`mul` of two maps of one shape, or of a map and a value a channel or a pixel (squeeze and excitation, "
    "gates); `square`, `pow` by 2",
    widths="INT8, UINT4 or TABLE4 into any; sum, difference and its square INT8",
    mapping="`((a + b)^2 - (a - b)^2) / 4`: four VECTORs of one microword, two of them squares. A gate is spread over "
    "rows and columns as a resize does, over channels by a 1x1 convolution of ones",
    limits="within about 1 % of the product of both largest values: sum and difference are rounded to eight bits",
    cost="4 ceil(channels / C) cycles of the VPU a pixel, a gate's spreading apart",
    example=example,
    aten={
        aten.mul.Tensor: capture,
        aten.mul_.Tensor: capture,
        aten.square.default: square,
        aten.pow.Tensor_Scalar: power,
    },
    floats=(Product,),
    integers=(QSquare,),
)
