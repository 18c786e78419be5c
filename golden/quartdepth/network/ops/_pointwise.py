"""Functions of single values, as sums of the chip's GELU at other scales: what GELU, SiLU and their like share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.functions import gelu
from triptych.golden.quartdepth.arithmetic.numerics import Ints, sat16
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Format, Function, Multiply, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.layer import QLayer, QMaps, Quantising, apply, finish, read
from triptych.golden.quartdepth.network.ops.add import QAdd
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, Scale, fixed_point, uniform_qparams


@dataclass(frozen=True)
class Term:
    """`gain * GELU(scale * (x + shift))`; scale is positive."""

    gain: float
    scale: float
    shift: float = 0.0

    def argument(self, x: Tensor) -> Tensor:
        """Of its GELU."""
        return self.scale * (x + self.shift)

    def of(self, x: Tensor) -> Tensor:
        """The term in floats."""
        return self.gain * torch.nn.functional.gelu(self.argument(x))


GELU_STEP = 2.0**-11  # of the chip's GELU, in and out
GELU_TOP = 32767 * GELU_STEP
GELU_BOTTOM = -6.0  # GELU is less than 1e-8 below it
GELU_TERMS = (Term(gain=1.0, scale=1.0),)


@dataclass(frozen=True, eq=False)
class QPointwise(Lowerable):
    """`Y = sat32(rs((A + add) * multiplier, shift))` in Q4.11; `V = clamp(rs(GELU(sat16(Y)) * out) + output zero, lo,
    hi)`, then the output's encoder."""

    source: str
    add: int
    scale: Scale
    out: Scale
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        y = gelu(sat16(apply(read(maps, self.source) + self.add, self.scale)))
        return finish(maps, self.name, apply(y, self.out), self.lo, self.hi)

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
                "fn": Function.GELU, "side": Side.SCALE_F, "b_m": self.out.multiplier, "b_s": self.out.shift,
                "out_add": maps[self.name].qparams.zero,
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
        above = term.gain * torch.relu(term.argument(x) - GELU_TOP)
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
            layers.append(_sum(both, total, own, q))
            own = both
        total = own
    return layers


def new_map(q: Quantising, name: str, like: str, low: float, high: float) -> None:
    """A map of eight bits between the layers of one operation, of the shape of another map."""
    q.maps[name] = FeatureMap(q.maps[like].shape, uniform_qparams(low, high, Format.INT8))


def _term(name: str, source: str, term: Term, q: Quantising) -> QPointwise:
    read_as, out = q.qparams(source), q.qparams(name)
    scale = fixed_point(
        min(read_as.scale * term.scale / GELU_STEP, LARGEST_FACTOR), f"'{name}': the function's argument"
    )
    add = round(term.shift / read_as.scale) - read_as.zero
    after = _signed(term.gain * GELU_STEP / out.step, f"'{name}': the rescaling after GELU")
    return QPointwise(name, source, add, scale, after, *q.limits(name, False))


def _above(name: str, source: str, term: Term, q: Quantising) -> Requantise:
    """`gain * max(scale * (x + shift) - top, 0)`, whose sign the limits keep."""
    read_as, out = q.qparams(source), q.qparams(name)
    scale = _signed(term.gain * term.scale * read_as.scale / out.step, f"'{name}': the rescaling")
    add = round((term.shift - GELU_TOP / term.scale) / read_as.scale) - read_as.zero
    lo, hi = q.limits(name, False)
    lo, hi = (max(lo, out.zero), hi) if term.gain > 0 else (lo, min(hi, out.zero))
    return Requantise(name, source, add, scale, lo, hi)


def _signed(factor: float, what: str) -> Scale:
    scale = fixed_point(min(abs(factor), LARGEST_FACTOR), what)
    return scale if factor > 0 else Scale(-scale.multiplier, scale.shift)


def _sum(name: str, one: str, two: str, q: Quantising) -> QAdd:
    qparams, (unit, fraction) = q.qparams(one), q.unit(name, one, two)
    scale = fixed_point(min(qparams.scale / unit, LARGEST_FACTOR), f"'{name}': the rescaling")
    return QAdd(name, one, -qparams.zero, scale, *q.limits(name, False), q.residual(two, name, unit), fraction)
