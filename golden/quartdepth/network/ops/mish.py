"""Mish: `x tanh(log(1 + e^x))`, as three of the chip's GELUs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import Maps, Observe
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._pointwise import Pointwise, Term, between_convolutions

# least worst error on -10..10: 0.008
TERMS = (Term(-0.38327, 1.04978, 1.08802), Term(0.44099, 0.29325, -0.79605), Term(1.66751, 0.75638, 0.51944))


@dataclass(frozen=True, eq=False)
class Mish(Pointwise):
    """Mish of every value."""

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.mish(maps[self.source])

    @property
    def terms(self) -> Sequence[Term]:
        return TERMS


def capture(c: Capture, node: Node) -> View:
    """aten.mish"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Mish(c.name(node), view.fmap), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    return between_convolutions(rng, nn.Mish())


OPERATION = Operation(
    title="Mish",
    forms="`mish` anywhere",
    widths="any; terms and their sums INT8",
    mapping="three VECTORs of one microword, a GELU each, and two that add them",
    limits="arguments of -10..10: there it is within 0.008",
    cost="5 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten: capture for aten in (torch.ops.aten.mish.default, torch.ops.aten.mish_.default)},
    floats=(Mish,),
)
