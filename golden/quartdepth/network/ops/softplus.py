"""Softplus: the ramp and four of the chip's powers of two."""

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
from triptych.golden.quartdepth.network.ops._pointwise import decay, quantised_terms, ramp

# log(1 + e^-|x|) ~ a e^(-1.05 |x|) + b e^(-1.4 |x|): least worst error 0.0006. e^-|x| = e^min(x, 0) + e^min(-x, 0) - 1
RATES = ((1.05, 1.37347), (1.4, -0.68092))
TERMS = (
    ramp(1.0),
    *(decay(weight, side * rate, -weight / 2) for rate, weight in RATES for side in (1.0, -1.0)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Softplus(FloatLayer):
    """`log(1 + e^x)`."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.softplus(maps[self.source])

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        return quantised_terms(self.name, self.source, TERMS, q)


def capture(c: Capture, node: Node) -> View:
    """aten.softplus"""
    if float(c.arg(node, 1, 1.0)) != 1.0:
        raise GraphError("the chip's softplus has beta = 1")
    view = c.view(c.arg(node, 0))
    return c.add_alike(Softplus(c.name(node), view.fmap), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    channels = rng.choice([3, 8, 17])
    module = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Softplus(), nn.Conv2d(channels, 4, 1))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Softplus",
    forms="`softplus` with beta 1 anywhere",
    widths="any; terms and their sums INT8",
    mapping="five VECTORs of one microword, a ramp and four powers of two, and four that add them",
    limits="within 0.0006, besides rounding",
    cost="9 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={torch.ops.aten.softplus.default: capture},
    floats=(Softplus,),
)
