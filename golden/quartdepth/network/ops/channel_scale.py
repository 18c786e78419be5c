"""A factor by channel: where LogNP polishing finds no linear layer to fold it into (behind LayerNorm and GELU)."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Multiply
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Factors, Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.integers import QMaps, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising, Turns
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, fixed_point


@dataclass(frozen=True, eq=False)
class ChannelScale(FloatLayer):
    """A factor by channel."""

    source: str
    gain: Tensor  # [c]

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source] * self.gain[:, None, None]

    def regained(self, source: Tensor, own: Tensor) -> ChannelScale:
        return replace(self, gain=self.gain * (source / own))

    @property
    def turns(self) -> tuple[Turns, ...]:
        return (Turns((self.source, self.name)),) if bool((self.gain == self.gain[0]).all()) else ()

    def quantise(self, q: Quantising) -> list[QLayer]:
        qparams, out = q.qparams(self.source), q.qparams(self.name)
        real = np.minimum(qparams.scale * self.gain.double().numpy() / out.step, LARGEST_FACTOR)
        factors = [fixed_point(float(f), f"'{self.name}': the gain") for f in real]
        multiplier = np.array([f.multiplier for f in factors], dtype=np.int16)
        shift = np.array([f.shift for f in factors], dtype=np.uint8)
        return [QChannelScale(self.name, self.source, -qparams.zero, multiplier, shift, *out.clamp)]


@dataclass(frozen=True, eq=False)
class QChannelScale(Lowerable):
    """By channel `V = clamp(sat32(rs((A + add) * multiplier, shift)) + output zero, lo, hi)`, then encoded."""

    alike = True

    source: str
    add: int
    multiplier: NDArray[np.int16]
    shift: NDArray[np.uint8]
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        a = read(maps, self.source)
        y = sat32(rs((a + self.add) * self.multiplier.astype(np.int64), self.shift))
        return finish(maps, self.name, y, self.lo, self.hi)

    @property
    def factors(self) -> Factors:
        return Factors(self.multiplier, self.shift)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        bias = np.full(output.elements, self.add, dtype=np.int64)
        return JobWork(self, elementwise(output, source, bias=bias))

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        word = {
            **microcode.read(maps, self.source, slots),
            "addend": Addend.BIAS,
            "mul": Multiply.PARAM,
            "zp_param": 1,
        }
        return microcode.program({**word, **microcode.store(maps, self.name, slots, self.lo, self.hi)})


def example(rng: random.Random) -> Example:
    """Behind GELU, where the method puts it."""
    channels = rng.choice([3, 8, 17])
    module = nn.Sequential(nn.Conv2d(3, channels, 1), nn.GELU(), nn.Conv2d(channels, 4, 1))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Factor by channel",
    forms="made by LogNP polishing behind LayerNorm and GELU",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="a VECTOR that reads the map instead of accumulators, with the parameters of a convolution and no weights",
    limits="as requantisation",
    cost="ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    floats=(ChannelScale,),
    integers=(QChannelScale,),
)
