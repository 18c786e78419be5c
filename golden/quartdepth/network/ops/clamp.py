"""Clamps: ReLU6, hardtanh, hardsigmoid, clamp to constants; into the layer before, or a VECTOR of its own."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, fixed_point

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Clamp(FloatLayer):
    """`clamp(gain x + offset, low, high)`, a gain above zero; without limits they are infinite."""

    source: str
    low: float
    high: float
    gain: float = 1.0
    offset: float = 0.0

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return (self.gain * maps[self.source] + self.offset).clamp(self.low, self.high)

    def into(self, before: FloatLayer) -> FloatLayer | None:
        plain = (self.low, self.gain, self.offset) == (0.0, 1.0, 0.0)
        if plain and math.isinf(self.high):
            return before.with_activation(Activation.RELU)
        return before.with_ceiling(self.high) if plain else None

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        source, out = q.qparams(self.source), q.qparams(self.name)
        scale = fixed_point(min(self.gain * source.scale / out.step, LARGEST_FACTOR), f"'{self.name}': the rescaling")
        add = round(self.offset / (self.gain * source.scale)) - source.zero
        lo, hi = q.limits(self.name, False)
        low, high = (
            out.zero + round(v / out.step) if math.isfinite(v) else (lo if v < 0 else hi) for v in (self.low, self.high)
        )
        lo, hi = min(max(lo, low), hi), max(min(hi, high), lo)
        return [Requantise(self.name, self.source, int(np.clip(add, -(1 << 31), (1 << 31) - 1)), scale, lo, hi)]


def _limit(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    if not isinstance(value, int | float):
        raise Declined("a clamp's limits must be numbers")
    return float(value)


def clamp(c: Capture, node: Node) -> View:
    """aten.clamp, aten.hardtanh, aten.relu6"""
    view = c.view(c.arg(node, 0))
    ends: dict[Any, tuple[float, float]] = {
        aten.hardtanh.default: (-1.0, 1.0),
        aten.hardtanh_.default: (-1.0, 1.0),
        aten.relu6.default: (0.0, 6.0),
        aten.relu6_.default: (0.0, 6.0),
    }
    low, high = ends.get(node.target, (-math.inf, math.inf))
    return c.add_alike(Clamp(c.name(node), view.fmap, _limit(c.arg(node, 1), low), _limit(c.arg(node, 2), high)), view)


def clamp_min(c: Capture, node: Node) -> View:
    """aten.clamp_min, aten.maximum with a number"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Clamp(c.name(node), view.fmap, _limit(c.arg(node, 1), 0.0), math.inf), view)


def clamp_max(c: Capture, node: Node) -> View:
    """aten.clamp_max, aten.minimum with a number"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Clamp(c.name(node), view.fmap, -math.inf, _limit(c.arg(node, 1), 0.0)), view)


def hardsigmoid(c: Capture, node: Node) -> View:
    """aten.hardsigmoid: clamp(x / 6 + 1 / 2, 0, 1)"""
    view = c.view(c.arg(node, 0))
    return c.add_alike(Clamp(c.name(node), view.fmap, 0.0, 1.0, 1 / 6, 0.5), view)


class _AtLeast(nn.Module):
    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_min(self.least)


class _Clamped(nn.Module):
    def __init__(self, channels: int, act: nn.Module, beside: bool) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Conv2d(3, channels, 3, padding=1), act, nn.Conv2d(channels, 4, 1)
        self.beside = beside
        with torch.no_grad():
            self.first.weight.mul_(6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z: Tensor = self.last(self.act(y) + y if self.beside else self.act(y))
        return z


def example(rng: random.Random) -> Example:
    """Behind a convolution, or of a map that something else reads too."""
    acts = (
        nn.ReLU6(), nn.Hardtanh(), nn.Hardtanh(-0.5, 2.0), nn.Hardsigmoid(), nn.Hardtanh(0.0, 0.25), _AtLeast(0.0),
        _AtLeast(0.5),
    )  # fmt: skip
    module = _Clamped(rng.choice([3, 8, 17]), rng.choice(acts), rng.random() < 0.4)
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Clamp",
    forms="`relu6`, `hardtanh`, `clamp` to numbers, `hardsigmoid` anywhere",
    widths="any",
    mapping="from zero on, the clamp of the layer before it, if nothing else reads that layer's map; else a VECTOR of "
    "one microword that rescales the map (`Requantise`)",
    limits="limits are numbers",
    cost="none; by itself ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten={
        **dict.fromkeys(
            (aten.clamp.default, aten.clamp_.default, aten.hardtanh.default, aten.hardtanh_.default,
             aten.relu6.default, aten.relu6_.default), clamp,
        ),
        aten.clamp_min.default: clamp_min,
        aten.clamp_max.default: clamp_max,
        aten.hardsigmoid.default: hardsigmoid,
        aten.hardsigmoid_.default: hardsigmoid,
    },
    floats=(Clamp,),
)  # fmt: skip
