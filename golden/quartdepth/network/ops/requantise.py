"""Requantisation: a map in another code."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Multiply
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation, Stage
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, Scale, fixed_point


@dataclass(frozen=True, eq=False)
class Copy(FloatLayer):
    """The same values: an output of the module that its other layers read too."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source]

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.source,)

    def quantise(self, q: Quantising) -> list[QLayer]:
        return [requantised(self.name, self.source, q)]


def outputs_apart(graph: FloatGraph) -> FloatGraph:
    """Each output is a map of its own that nothing else reads: it has 16 bits, which no layer can read."""
    names = graph.outputs
    taken = {graph.input, *graph.constants, *(s for layer in graph.layers for s in layer.sources)}
    taken |= {name for name in names if names.count(name) > 1}
    copies = {n: Copy(f"{name}.output{n}", name) for n, name in enumerate(names) if name in taken}
    made = [copies[n].name if n in copies else name for n, name in enumerate(names)]
    shapes = {**graph.shapes, **{copy.name: graph.shapes[copy.source] for copy in copies.values()}}
    further = dict(zip(graph.further, made[1:], strict=True))
    layers = [*graph.layers, *copies.values()]
    return replace(graph, output=made[0], further=further, layers=layers, shapes=shapes)


@dataclass(frozen=True, eq=False)
class Requantise(Lowerable):
    """`Y = sat32(rs((A + add) * multiplier, shift))`; `V = clamp(Y + output zero, lo, hi)`, then encoded."""

    alike = True

    source: str
    add: int
    scale: Scale
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        y = apply(read(maps, self.source) + self.add, self.scale)
        return finish(maps, self.name, y, self.lo, self.hi)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        return JobWork(self, elementwise(output, source))

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        return microcode.program(rescaling(maps, slots, self.name, self.source, self.add, self.scale, self.lo, self.hi))


def rescaling(
    maps: FeatureMaps, slots: Slots, name: str, source: str, add: int, scale: Scale, lo: int, hi: int
) -> dict[str, int]:
    """The microword of a map with one factor and offset."""
    return {
        **microcode.read(maps, source, slots),
        "addend": Addend.IMM,
        "imm_add": add,
        "mul": Multiply.IMM,
        "imm_m": scale.multiplier,
        "imm_s": scale.shift,
        "out_add": maps[name].qparams.zero,
        **microcode.store(maps, name, slots, lo, hi),
    }


def requantised(name: str, source: str, q: Quantising, relu: bool = False) -> Requantise:
    """Map `source` as map `name`."""
    qparams = q.qparams(source)
    factor = min(qparams.scale / q.qparams(name).step, LARGEST_FACTOR)
    scale = fixed_point(factor, f"'{name}': the rescaling")
    return Requantise(name, source, -qparams.zero, scale, *q.limits(name, relu))


class _Beside(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.joined = nn.Conv2d(3, channels, 1), nn.Conv2d(channels + 3, 4, 1)
        self.beside = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z: Tensor = self.joined(torch.cat([y, x], 1)) + self.beside(y.relu())
        return z


def example(rng: random.Random) -> Example:
    """A part of a concatenation that something else reads too."""
    return Example(_Beside(rng.choice([3, 8, 17])), (3, rng.randint(1, 7), rng.randint(1, 7)))


OPERATION = Operation(
    title="Requantisation",
    forms="made by the quantiser: a part of a concatenation or an output of the module that others read too, a ReLU "
    "of its own",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="a VECTOR of one microword",
    limits="both maps lie in their cells alike: neither reads a concatenation with gaps",
    cost="ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    floats=(Copy,),
    integers=(Requantise,),
    rewrites=((Stage.AFFINE, outputs_apart),),
)
