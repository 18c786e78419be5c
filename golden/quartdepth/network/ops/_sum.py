"""The sum of two maps in integers, which several operations are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Walk, alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.ops.requantise import rescaling
from triptych.golden.quartdepth.network.qparams import Residual, Scale


@dataclass(frozen=True, eq=False)
class QAdd(Lowerable):
    """`Y = sat32(rs((A + add) * multiplier, shift))` and the residual in units of `2^-fraction`;
    `V = clamp(rs(sat32(Y + residual), fraction) + output zero, lo, hi)`, then the output's encoder. A residual of one
    pixel is read for every pixel."""

    alike = True

    reads = ("source", "residual")

    source: str
    add: int
    scale: Scale
    lo: int
    hi: int
    residual: Residual
    fraction: int = 0

    def run(self, maps: QMaps) -> Ints:
        y = apply(read(maps, self.source) + self.add, self.scale)
        return finish(maps, self.name, y, self.lo, self.hi, self.residual, self.fraction)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        source, other = alike(self.name, layout, output, self.source, self.residual.source)
        (job,) = elementwise(output, source, other)
        if len(layout.network.maps[self.residual.source].shape) == 1:
            job = replace(job, residual=Walk(other, (0, 0), (0, 0), job.grid))
        return JobWork(self, [job])

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        word = rescaling(maps, slots, self.name, self.source, self.add, self.scale, self.lo, self.hi)
        return microcode.program({**word, **microcode.add(self.residual, self.fraction, maps, slots)})
