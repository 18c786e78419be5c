"""ELU: the ramp and a power of two."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import Maps, Observe
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._pointwise import Pointwise, Term, between_convolutions, decay, ramp

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class ELU(Pointwise):
    """`x` above zero, `alpha (e^x - 1)` below."""

    alpha: float

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.elu(maps[self.source], self.alpha)

    @property
    def terms(self) -> Sequence[Term]:
        return ramp(1.0), decay(self.alpha, 1.0, -self.alpha)


def capture(c: Capture, node: Node) -> View:
    """aten.elu"""
    alpha, scale, inner = (float(c.arg(node, i, 1.0)) for i in (1, 2, 3))
    if (scale, inner) != (1.0, 1.0) or alpha <= 0:
        raise GraphError("an ELU must have alpha above zero and no scales")
    view = c.view(c.arg(node, 0))
    return c.add_alike(ELU(c.name(node), view.fmap, alpha), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    return between_convolutions(rng, nn.ELU(rng.choice([1.0, 0.5])))


OPERATION = Operation(
    title="ELU",
    forms="`elu` anywhere",
    widths="any; its two parts INT8",
    mapping="`max(x, 0)`, `alpha (e^min(x, 0) - 1)` by the chip's power of two, and their sum: three VECTORs of one "
    "microword",
    limits="alpha above zero",
    cost="3 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten.elu.default: capture, aten.elu_.default: capture},
    floats=(ELU,),
)
