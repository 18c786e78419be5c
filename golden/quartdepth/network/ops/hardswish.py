"""Hardswish, exact, of a square: `(clamp(x, -3, 3) + 1.5)^2 / 6 - 3/8 + max(x - 3, 0)`."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.product import QSquare, unit_of_square
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams, fixed_point

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Hardswish(FloatLayer):
    """`x clamp(x + 3, 0, 6) / 6`."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.hardswish(maps[self.source])

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        """What is squared reaches from -1.5 to 4.5; what lies above 3 is added, less 3/8."""
        source, out = q.qparams(self.source), q.qparams(self.name)
        unit, shifts = unit_of_square(6 * out.step, 4.5 / 127)
        shape = q.maps[self.name].shape
        squared, above = f"{self.name}.squared", f"{self.name}.above"
        step, zero = max(q.ranges[self.source][1] - 3.0, 1.0) / 255, -128
        q.maps[squared] = FeatureMap(shape, QParams(Format.INT8, unit))
        q.maps[above] = FeatureMap(shape, QParams(Format.INT8, step, zero))
        ends = round(-1.5 / unit), min(round(4.5 / unit), 127)
        inner = fixed_point(source.scale / unit, f"'{self.name}': the rescaling")
        outer = fixed_point(source.scale / step, f"'{self.name}': the rescaling")
        residual = q.residual(above, self.name, out.step * 2.0**-shifts.fraction)
        residual = replace(residual, add=residual.add - round(0.375 / step))
        return [
            Requantise(squared, self.source, round(1.5 / source.scale) - source.zero, inner, *ends),
            Requantise(above, self.source, round(-3.0 / source.scale) - source.zero, outer, zero, 127),
            QSquare(
                self.name, squared, shifts.left, shifts.right, *q.limits(self.name, False), residual, shifts.fraction
            ),
        ]


def capture(c: Capture, node: Node) -> View:
    """aten.hardswish"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Hardswish(c.name(node), view.fmap), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions, over all three parts of the function."""
    channels = rng.choice([3, 8, 17])
    first = nn.Conv2d(3, channels, 3, padding=1)
    with torch.no_grad():
        first.weight.mul_(rng.choice([1.0, 6.0]))
    return Example(
        nn.Sequential(first, nn.Hardswish(), nn.Conv2d(channels, 4, 1)), (3, rng.randint(1, 9), rng.randint(1, 9))
    )


OPERATION = Operation(
    title="Hardswish",
    forms="`hardswish` anywhere",
    widths="any; what is squared and what is added INT8",
    mapping="three VECTORs of one microword: the clamp, the ramp above 3, and the square of the one and the other",
    limits="none",
    cost="3 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten.hardswish.default: capture, aten.hardswish_.default: capture},
    floats=(Hardswish,),
)
