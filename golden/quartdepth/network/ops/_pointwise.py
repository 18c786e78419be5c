"""Functions of single values, as sums of the chip's GELU at other scales: what GELU, SiLU and their like share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from triptych.golden.quartdepth.network.ops._product import GELU_STEP, warn_saturation
from triptych.golden.quartdepth.network.ops.add import QAdd
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, Scale, fixed_point, uniform_qparams


@dataclass(frozen=True)
class Term:
    """`gain * GELU(scale * (x + shift))`."""

    gain: float
    scale: float
    shift: float = 0.0

    def of(self, x: Tensor) -> Tensor:
        """The term in floats."""
        return self.gain * torch.nn.functional.gelu(self.scale * (x + self.shift))


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


def quantised_terms(name: str, source: str, terms: Sequence[Term], q: Quantising) -> list[QLayer]:
    """Map `name` as a sum of terms of map `source`: each a map of its own, added one after the other."""
    layers: list[QLayer] = []
    total = ""
    low, high = q.ranges[source]
    for number, term in enumerate(terms):
        own = name if len(terms) == 1 else f"{name}.term{number}"
        if own != name:
            _new_map(q, own, name, term.of(torch.linspace(low, high, 1025)))
        layers.append(_term(own, source, term, q))
        if number:
            both = name if number == len(terms) - 1 else f"{name}.sum{number}"
            if both != name:
                x = torch.linspace(low, high, 1025)
                _new_map(q, both, name, torch.stack([t.of(x) for t in terms[: number + 1]]).sum(0))
            layers.append(_sum(both, total, own, q))
            own = both
        total = own
    return layers


def _new_map(q: Quantising, name: str, like: str, values: Tensor) -> None:
    qparams = uniform_qparams(float(values.min()), float(values.max()), Format.INT8)
    q.maps[name] = FeatureMap(q.maps[like].shape, qparams)


def _term(name: str, source: str, term: Term, q: Quantising) -> QPointwise:
    read_as, out = q.qparams(source), q.qparams(name)
    scale = fixed_point(
        min(read_as.scale * term.scale / GELU_STEP, LARGEST_FACTOR), f"'{name}': the function's argument"
    )
    add = round(term.shift / read_as.scale) - read_as.zero
    warn_saturation(name, max(term.scale * x + term.shift for x in q.ranges[source]))
    after = fixed_point(
        min(abs(term.gain) * GELU_STEP / out.step, LARGEST_FACTOR), f"'{name}': the rescaling after GELU"
    )
    after = after if term.gain > 0 else Scale(-after.multiplier, after.shift)
    return QPointwise(name, source, add, scale, after, *q.limits(name, False))


def _sum(name: str, one: str, two: str, q: Quantising) -> QAdd:
    qparams, (unit, fraction) = q.qparams(one), q.unit(name, one, two)
    scale = fixed_point(min(qparams.scale / unit, LARGEST_FACTOR), f"'{name}': the rescaling")
    return QAdd(name, one, -qparams.zero, scale, *q.limits(name, False), q.residual(two, name, unit), fraction)
