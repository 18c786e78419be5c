"""Functions of single values, as sums of what the chip evaluates at other scales: GELU, powers of two, ramps."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.functions import lookup
from triptych.golden.quartdepth.arithmetic.numerics import Ints, sat16
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Format, Function, Multiply, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example
from triptych.golden.quartdepth.network.ops._sum import QAdd
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, Scale, fixed_point, uniform_qparams


@dataclass(frozen=True)
class Term:
    """`gain * F(scale * (x + shift)) + offset`; F: GELU, EXP2N (`e^min(z, 0)`) or IDENT (a ramp, `max(z, 0)`). The
    scale of EXP2N alone may be negative."""

    gain: float
    scale: float
    shift: float = 0.0
    function: Function = Function.GELU
    offset: float = 0.0

    def argument(self, x: Tensor) -> Tensor:
        """Of its function."""
        return self.scale * (x + self.shift)

    def of(self, x: Tensor) -> Tensor:
        """The term in floats."""
        z = self.argument(x)
        match self.function:
            case Function.GELU:
                y = torch.nn.functional.gelu(z)
            case Function.EXP2N:
                y = z.clamp(max=0).exp()
            case _:
                y = z.relu()
        return self.gain * y + self.offset


def ramp(gain: float, shift: float = 0.0) -> Term:
    """`gain * max(x + shift, 0)`, a gain above zero."""
    return Term(gain, 1.0, shift, Function.IDENT)


def decay(gain: float, rate: float, offset: float = 0.0) -> Term:
    """`gain * e^min(rate x, 0) + offset`."""
    return Term(gain, rate, 0.0, Function.EXP2N, offset)


GELU_STEP = 2.0**-11  # of the chip's GELU, in and out
# of argument and result: GELU has Q4.11; EXP2N takes Q5.10 in octaves and makes Q0.15
STEPS = {Function.GELU: (GELU_STEP, GELU_STEP), Function.EXP2N: (2.0**-10 / math.log2(math.e), 2.0**-15)}
GELU_TOP = 32767 * GELU_STEP
GELU_BOTTOM = -6.0  # GELU is less than 1e-8 below it
GELU_TERMS = (Term(gain=1.0, scale=1.0),)


@dataclass(frozen=True, eq=False)
class Pointwise(FloatLayer):
    """A function of every value that is a sum of terms."""

    source: str

    @property
    @abstractmethod
    def terms(self) -> Sequence[Term]:
        """What the integers add up."""

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        return quantised_terms(self.name, self.source, self.terms, q)


def between_convolutions(rng: random.Random, function: nn.Module) -> Example:
    """A function where networks have it."""
    channels = rng.choice([3, 8, 17])
    module = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), function, nn.Conv2d(channels, 4, 1))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


@dataclass(frozen=True, eq=False)
class QPointwise(Lowerable):
    """`Y = sat32(rs((A + add) * multiplier, shift))`, the function's argument; `V = clamp(rs(F(sat16(Y)) * out) +
    output zero + offset, lo, hi)`, then the output's encoder. function: GELU or EXP2N of docs/numerics.md."""

    alike = True

    source: str
    add: int
    scale: Scale
    out: Scale
    lo: int
    hi: int
    function: str = Function.GELU.name
    offset: int = 0

    def run(self, maps: QMaps) -> Ints:
        y = lookup(self.function, sat16(apply(read(maps, self.source) + self.add, self.scale)))
        return finish(maps, self.name, apply(y, self.out) + self.offset, self.lo, self.hi)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        return JobWork(self, elementwise(output, source))

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        return microcode.program(
            {
                **microcode.read(maps, self.source, slots),
                "addend": Addend.IMM, "imm_add": self.add,
                "mul": Multiply.IMM, "imm_m": self.scale.multiplier, "imm_s": self.scale.shift,
                "fn": Function[self.function], "side": Side.SCALE_F,
                "b_m": self.out.multiplier, "b_s": self.out.shift,
                "out_add": maps[self.name].qparams.zero + self.offset,
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            }
        )  # fmt: skip


def quantised_terms(
    name: str, source: str, terms: Sequence[Term], q: Quantising, reach: tuple[float, float] | None = None
) -> list[QLayer]:
    """Map `name` as a sum of terms of map `source`: each a map of its own, added one after the other.

    reach: lowest and highest value of `source`, if it is no map of the float network. A term whose argument leaves the
    function's 16 bits is two pieces: its GELU stops at the highest argument, and what lies above it is added, where
    GELU is its argument.
    """
    low, high = q.ranges[source] if reach is None else reach
    x = torch.linspace(low, high, 1025)
    pieces: list[tuple[str, Tensor, Callable[[str], QLayer]]] = []
    for number, term in enumerate(terms):
        y = term.of(x)
        wide = term.function is Function.GELU
        above = term.gain * torch.relu(term.argument(x) - GELU_TOP) if wide else torch.zeros_like(x)
        pieces.append((f"{name}.term{number}", y - above, partial(_term, source=source, term=term, q=q)))
        if above.any():
            pieces.append((f"{name}.above{number}", above, partial(_above, source=source, term=term, q=q)))
    layers: list[QLayer] = []
    total, values = "", torch.zeros_like(x)
    for number, (own, piece, made) in enumerate(pieces):
        last = number == len(pieces) - 1
        if len(pieces) == 1:
            own = name
        else:
            new_map(q, own, name, float(piece.min()), float(piece.max()))
        layers.append(made(own))
        values = values + piece
        if number:
            both = name if last else f"{name}.sum{number}"
            if not last:
                new_map(q, both, name, float(values.min()), float(values.max()))
            layers.append(weighted_sum(both, total, 1.0, own, 1.0, q))
            own = both
        total = own
    return layers


def new_map(q: Quantising, name: str, like: str, low: float, high: float) -> None:
    """A map of eight bits between the layers of one operation, of the shape of another map."""
    q.maps[name] = FeatureMap(q.maps[like].shape, uniform_qparams(low, high, Format.INT8))


def _term(name: str, source: str, term: Term, q: Quantising) -> QLayer:
    read_as, out = q.qparams(source), q.qparams(name)
    add = round(term.shift / read_as.scale) - read_as.zero
    if term.function is Function.IDENT:
        scale = signed(term.gain * term.scale * read_as.scale / out.step, f"'{name}': the rescaling")
        return Requantise(name, source, add, scale, *q.limits(name, True))
    argument, result = STEPS[term.function]
    scale = signed(read_as.scale * term.scale / argument, f"'{name}': the function's argument")
    after = signed(term.gain * result / out.step, f"'{name}': the rescaling after {term.function.name}")
    offset = int(np.clip(round(term.offset / out.step), -32768 - min(out.zero, 0), 32767 - max(out.zero, 0)))
    return QPointwise(name, source, add, scale, after, *q.limits(name, False), term.function.name, offset)


def _above(name: str, source: str, term: Term, q: Quantising) -> Requantise:
    """`gain * max(scale * (x + shift) - top, 0)`, whose sign the limits keep."""
    read_as, out = q.qparams(source), q.qparams(name)
    scale = signed(term.gain * term.scale * read_as.scale / out.step, f"'{name}': the rescaling")
    add = round((term.shift - GELU_TOP / term.scale) / read_as.scale) - read_as.zero
    lo, hi = q.limits(name, False)
    lo, hi = (max(lo, out.zero), hi) if term.gain > 0 else (lo, min(hi, out.zero))
    return Requantise(name, source, add, scale, lo, hi)


def signed(factor: float, what: str) -> Scale:
    scale = fixed_point(min(abs(factor), LARGEST_FACTOR), what)
    return scale if factor > 0 else Scale(-scale.multiplier, scale.shift)


def weighted_sum(name: str, one: str, by: float, two: str, times: float, q: Quantising) -> QAdd:
    """Map `name` as the sum of two maps times factors in 0..1."""
    qparams, (unit, fraction) = q.qparams(one), q.unit(name, one, two)
    scale = fixed_point(min(by * qparams.scale / unit, LARGEST_FACTOR), f"'{name}': the rescaling")
    residual = q.residual(two, name, unit / times)
    return QAdd(name, one, -qparams.zero, scale, *q.limits(name, False), residual, fraction)
