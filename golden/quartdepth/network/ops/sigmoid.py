"""Sigmoid and tanh, as four of the chip's powers of two."""

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
from triptych.golden.quartdepth.network.ops._pointwise import Pointwise, Term, decay

aten = torch.ops.aten

# 1 / (1 + e^-|x|) - 1/2 ~ a (1 - e^-|x|) + b (1 - e^(-1.5 |x|)): least worst error 0.0032
RATES = ((1.0, 1.05333), (1.5, -0.55642))


def odd_terms(gain: float, rate: float, offset: float) -> tuple[Term, ...]:
    """`gain * (sigmoid(rate x) - 1/2) + offset`. The parts of a pair are odd together, so each lies about zero."""
    out = []
    for n, (k, weight) in enumerate(RATES):
        more = offset if n == 0 else 0.0
        high, low = (
            decay(gain * weight, k * rate, more - gain * weight),
            decay(-gain * weight, -k * rate, gain * weight),
        )
        out += [high, low] if weight > 0 else [low, high]
    return tuple(out)


@dataclass(frozen=True, eq=False)
class Sigmoid(Pointwise):
    """`gain * (sigmoid(rate x) - 1/2) + offset`."""

    gain: float = 1.0
    rate: float = 1.0
    offset: float = 0.5

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return self.gain * ((self.rate * maps[self.source]).sigmoid() - 0.5) + self.offset

    @property
    def terms(self) -> Sequence[Term]:
        return odd_terms(self.gain, self.rate, self.offset)


def sigmoid(c: Capture, node: Node) -> View:
    """aten.sigmoid"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Sigmoid(c.name(node), view.fmap), view)


def tanh(c: Capture, node: Node) -> View:
    """aten.tanh: 2 sigmoid(2 x) - 1"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Sigmoid(c.name(node), view.fmap, 2.0, 2.0, 0.0), view)


def example(rng: random.Random) -> Example:
    """Between two convolutions, or the output."""
    channels, act = rng.choice([3, 8, 17]), rng.choice([nn.Sigmoid(), nn.Tanh()])
    layers = [nn.Conv2d(3, channels, 3, padding=1), act, nn.Conv2d(channels, 4, 1)]
    return Example(nn.Sequential(*layers[: rng.choice([2, 3])]), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Sigmoid, tanh",
    forms="`sigmoid`, `tanh` anywhere",
    widths="any; terms and their sums INT8",
    mapping="four VECTORs of one microword, a power of two each, and three that add them",
    limits="sigmoid within 0.0033, tanh within 0.0065, besides rounding",
    cost="7 ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={
        aten.sigmoid.default: sigmoid,
        aten.sigmoid_.default: sigmoid,
        aten.tanh.default: tanh,
        aten.tanh_.default: tanh,
    },
    floats=(Sigmoid,),
)
