"""GELU: a function of the VPU on the sum of the layer before it, or a VECTOR of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._pointwise import GELU_TERMS, QPointwise, quantised_terms

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class GELU(FloatLayer):
    """A GELU that could not be fused."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return nn.functional.gelu(maps[self.source])

    def into(self, before: FloatLayer) -> FloatLayer | None:
        return before.with_activation(Activation.GELU)

    @property
    def no_gain(self) -> tuple[str, ...]:
        return (self.source, self.name)

    @property
    def wants_gain_behind(self) -> bool:
        return True

    def quantise(self, q: Quantising) -> list[QLayer]:
        return quantised_terms(self.name, self.source, GELU_TERMS, q)


def capture(c: Capture, node: Node) -> View:
    """aten.gelu; the tanh form is within 0.0005 of it."""
    view = c.view(c.arg(node, 0))
    return c.add_alike(GELU(c.name(node), view.fmap), view)


class _Twice(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z: Tensor = self.last(nn.functional.gelu(y) + y)
        return nn.functional.gelu(z)


def example(rng: random.Random) -> Example:
    """Fused, and of a map that something else reads too."""
    return Example(_Twice(rng.choice([3, 8, 17])), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="GELU",
    forms="`gelu` anywhere; the tanh form becomes the exact one, within 0.0005 of it",
    widths="any; the function itself in Q4.11",
    mapping="behind a convolution or linear layer that takes no residual: the same microword takes GELU of the 16-bit "
    "value and multiplies once more; else a VECTOR of one microword",
    limits="not together with a residual in one microword; where the argument leaves the function's 16 bits on the "
    "images (16 and more), GELU of the stored sum and what lies above are added: three VECTORs more",
    cost="none; by itself ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten.gelu.default: capture},
    floats=(GELU,),
    integers=(QPointwise,),
)
