"""ReLU: the clamp of the layer before it, or a VECTOR of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.requantise import requantised

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class ReLU(FloatLayer):
    """A ReLU that could not be fused."""

    source: str

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source].relu()

    def into(self, before: FloatLayer) -> FloatLayer | None:
        return before.with_activation(Activation.RELU)

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.source,)

    def quantise(self, q: Quantising) -> list[QLayer]:
        return [requantised(self.name, self.source, q, relu=True)]


def capture(c: Capture, node: Node) -> View:
    """aten.relu, in whatever order its operand shows the pixels."""
    view = c.view(c.arg(node, 0))
    return c.add_alike(ReLU(c.name(node), view.fmap), view)


def example(rng: random.Random) -> Example:
    """Behind a convolution, and of the photo."""
    shape = (rng.choice([1, 3, 9]), rng.randint(1, 9), rng.randint(1, 9))
    return Example(nn.Sequential(nn.ReLU(), nn.Conv2d(shape[0], 7, 1), nn.ReLU()), shape)


OPERATION = Operation(
    title="ReLU",
    forms="`relu` anywhere",
    widths="any",
    mapping="the lower clamp of the layer before it, if nothing else reads that layer's map; else a VECTOR of one "
    "microword that rescales the map (`Requantise`)",
    limits="none",
    cost="none; by itself ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={aten.relu.default: capture, aten.relu_.default: capture},
    floats=(ReLU,),
)
