"""Leaky ReLU and PReLU: the map and its ramp, weighted."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._pointwise import new_map, weighted_sum
from triptych.golden.quartdepth.network.ops.requantise import requantised

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class LeakyReLU(FloatLayer):
    """`x` above zero, `slope x` below; a slope in 0..1."""

    source: str
    slope: float

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.leaky_relu(maps[self.source], self.slope)

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def adds(self) -> bool:
        return True

    def quantise(self, q: Quantising) -> list[QLayer]:
        """`slope x + (1 - slope) max(x, 0)`"""
        ramp = f"{self.name}.ramp"
        new_map(q, ramp, self.name, 0.0, max(q.ranges[self.source][1], 0.0))
        above = requantised(ramp, self.source, q, relu=True)
        return [above, weighted_sum(self.name, ramp, 1.0 - self.slope, self.source, self.slope, q)]


def capture(c: Capture, node: Node) -> View:
    """aten.leaky_relu, or aten.prelu with one slope."""
    view, slope = c.view(c.arg(node, 0)), c.arg(node, 1, 0.01)
    if isinstance(slope, Tensor):
        if slope.numel() > 1 and not bool((slope == slope.flatten()[0]).all()):
            raise GraphError("a PReLU must have one slope for all channels")
        slope = float(slope.flatten()[0])
    if not 0 < slope < 1:
        raise GraphError(f"the slope of a leaky ReLU must be in 0..1, not {slope:g}")
    return c.add_alike(
        LeakyReLU(c.name(node, 1 if node.target is aten.prelu.default else None), view.fmap, slope), view
    )


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    channels = rng.choice([3, 8, 17])
    act = rng.choice([nn.LeakyReLU(0.2), nn.LeakyReLU(0.01), nn.PReLU()])
    module = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), act, nn.Conv2d(channels, 4, 1))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Leaky ReLU",
    forms="`leaky_relu` anywhere; `prelu` with one slope",
    widths="any; the ramp INT8",
    mapping="`slope x + (1 - slope) max(x, 0)`: two VECTORs of one microword",
    limits="a slope in 0..1, one for all channels",
    cost="2 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten.leaky_relu.default: capture, aten.leaky_relu_.default: capture, aten.prelu.default: capture},
    floats=(LeakyReLU,),
)
