"""SiLU, as two of the chip's GELUs."""

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

# least worst error on -10..10: 0.0051
TERMS = (Term(0.99734, 0.70908, -0.01818), Term(0.73741, 0.39652, 0.04734))


@dataclass(frozen=True, eq=False)
class SiLU(Pointwise):
    """`x sigmoid(x)`."""

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.silu(maps[self.source])

    @property
    def terms(self) -> Sequence[Term]:
        return TERMS


def capture(c: Capture, node: Node) -> View:
    """aten.silu"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(SiLU(c.name(node), view.fmap), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions."""
    return between_convolutions(rng, nn.SiLU())


OPERATION = Operation(
    title="SiLU",
    forms="`silu` (swish) anywhere",
    widths="any; terms INT8",
    mapping="two VECTORs of one microword, a GELU each, and one that adds them",
    limits="arguments of -10..10: there it is within 0.0052",
    cost="3 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten: capture for aten in (torch.ops.aten.silu.default, torch.ops.aten.silu_.default)},
    floats=(SiLU,),
)
