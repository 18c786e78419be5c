"""Hardswish: a map times a gate, both made of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.product import multiplied
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, QParams, fixed_point

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
        source, gate = q.qparams(self.source), f"{self.name}.gate"
        code = QParams(Format.INT8, 1 / 255, -128)
        q.maps[gate] = FeatureMap(q.maps[self.name].shape, code)
        scale = fixed_point(min(source.scale / 6 / code.scale, LARGEST_FACTOR), f"'{self.name}': the rescaling")
        clamped = Requantise(gate, self.source, round(3.0 / source.scale) - source.zero, scale, *code.limits)
        return [clamped, multiplied(self.name, self.source, gate, q)]


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
    widths="any; the gate INT8",
    mapping="two VECTORs of one microword: the gate, clamped to 0..1, and the product",
    limits="none",
    cost="2 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten.hardswish.default: capture, aten.hardswish_.default: capture},
    floats=(Hardswish,),
)
