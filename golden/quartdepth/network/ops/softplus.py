"""Softplus: the ramp and four of the chip's powers of two."""

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

# log(1 + e^-|x|) ~ a e^(-1.05 |x|) + b e^(-1.4 |x|): least worst error 0.00061. e^-|x| = e^min(x, 0) + e^min(-x, 0) - 1
RATES = ((1.05, 1.37347), (1.4, -0.68092))
TERMS = (
    ramp(1.0),
    *(decay(weight, side * rate, -weight / 2) for rate, weight in RATES for side in (1.0, -1.0)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Softplus(Pointwise):
    """`log(1 + e^x)`."""

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.softplus(maps[self.source])

    @property
    def terms(self) -> Sequence[Term]:
        return TERMS


def capture(c: Capture, node: Node) -> View:
    """aten.softplus"""
    if float(c.arg(node, 1, 1.0)) != 1.0:
        raise GraphError("the chip's softplus has beta = 1")
    view = c.view(c.arg(node, 0))
    return c.add_alike(Softplus(c.name(node), view.fmap), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    return between_convolutions(rng, nn.Softplus())


OPERATION = Operation(
    title="Softplus",
    forms="`softplus` with beta 1 anywhere",
    widths="any; terms and their sums INT8",
    mapping="five VECTORs of one microword, a ramp and four powers of two, and four that add them",
    limits="within 0.00061, besides rounding",
    cost="9 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={torch.ops.aten.softplus.default: capture},
    floats=(Softplus,),
)
