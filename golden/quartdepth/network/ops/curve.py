"""Functions of single values that the chip has not: roots, reciprocals, logarithms, sines; and quotients of maps."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import Maps, Observe, QLayer, Quantising, Ungained
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._curve import quantised_curve
from triptych.golden.quartdepth.network.ops._operands import matched
from triptych.golden.quartdepth.network.ops.affine import Affine, by_channel
from triptych.golden.quartdepth.network.ops.gather import trimmed
from triptych.golden.quartdepth.network.ops.product import Product
from triptych.golden.quartdepth.network.qparams import QuantizeError

aten = torch.ops.aten
BEYOND = 1.25  # how far values may leave what calibration saw before the curve is flat
POSITIVE = ("sqrt", "rsqrt", "reciprocal", "log", "log2", "log10", "pow")  # have no value at zero, or none beyond it
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "exp": torch.exp, "expm1": torch.expm1,
    "log": torch.log, "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p, "sin": torch.sin,
    "cos": torch.cos, "atan": torch.atan, "abs": torch.abs, "erf": torch.erf,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve(Ungained):
    """A function of every value: `function` of the table, or a power."""

    source: str
    function: str
    exponent: float = 1.0

    def of(self, x: Tensor) -> Tensor:
        """The function."""
        return x**self.exponent if self.function == "pow" else FUNCTIONS[self.function](x)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return self.of(maps[self.source])

    def quantise(self, q: Quantising) -> list[QLayer]:
        def curve(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return self.of(torch.from_numpy(x)).numpy()

        return quantised_curve(self.name, self.source, curve, q, self._reach(*q.ranges[self.source]))

    def _reach(self, low: float, high: float) -> tuple[float, float]:
        if self.function in POSITIVE and low < 0 < high:
            raise QuantizeError(
                f"'{self.name}': {self.function} of values on both sides of zero, {low:.3g}..{high:.3g}"
            )
        more = (BEYOND - 1) * (high - low)
        if self.function not in POSITIVE:
            return low - more, high + more
        return (low / BEYOND, high + more) if low >= 0 else (low - more, high / BEYOND)


def _of(function: str, c: Capture, node: Node) -> View:
    view = c.view(c.arg(node, 0))
    return c.add_alike(Curve(c.name(node), view.fmap, function), view)


def power(c: Capture, node: Node) -> View:
    """aten.pow by a number"""
    view, exponent = c.view(c.arg(node, 0)), c.arg(node, 1)
    if not isinstance(exponent, int | float) or exponent == 2:
        raise Declined("a map can be taken to the power of a number")
    return c.add_alike(Curve(c.name(node), view.fmap, "pow", float(exponent)), view)


def divide(c: Capture, node: Node) -> View:
    """aten.div by a map: a product with its reciprocal."""
    one, two = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(two, View) or c.arg(node, 2) is not None:
        raise Declined("a map can be divided by a map")
    return quotient(c, c.name(node), one, two)


def quotient(c: Capture, name: str, one: View | Tensor | float, two: View) -> View:
    """A map, a number or one a channel over a map, of which the elements that are shown are above zero."""
    with suppress(GraphError):  # some are shown often
        two = trimmed(c, f"{name}.shown", two)
    inverse = View(c.add(Curve(f"{name}.reciprocal", two.fmap, "reciprocal")).fmap, two.index)
    if isinstance(one, View):
        view, a, b = matched(c, one, inverse, name)
        c.add(Product(name, a, b))
        return View(name, view.index)
    gain = by_channel(c, inverse, one)
    return c.add_alike(Affine(name, inverse.fmap, gain, torch.zeros_like(gain)), inverse)


class _Curved(nn.Module):
    def __init__(self, channels: int, function: str) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 4, 1), function

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.function in POSITIVE or self.function in ("divide", "log1p"):
            y = y.sigmoid() + 0.25
        if self.function == "divide":
            y = y / y.sum(1, keepdim=True) + 0.5 / y
        elif self.function == "pow":
            y = y**1.5
        else:
            y = FUNCTIONS[self.function](3 * y if self.function in ("sin", "cos", "atan") else y)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Between two convolutions, of values where the function has one."""
    function = rng.choice([*FUNCTIONS, "pow", "divide", "divide"])
    return Example(_Curved(rng.choice([3, 8, 17]), function), (3, rng.randint(1, 9), rng.randint(1, 9)))


def _aten() -> dict[Any, Callable[[Capture, Node], View]]:
    made: dict[Any, Callable[[Capture, Node], View]] = {
        getattr(aten, name).default: partial(_of, name) for name in FUNCTIONS
    }
    return made | {aten.pow.Tensor_Scalar: power, aten.div.Tensor: divide, aten.div.Tensor_mode: divide}


OPERATION = Operation(
    title="Other functions, quotients of maps",
    forms="`sqrt`, `rsqrt`, `reciprocal`, `exp`, `expm1`, `log`, `log2`, `log10`, `log1p`, `sin`, `cos`, `atan`, "
    "`abs`, `erf`, `pow` by a number; `div` of a map, a number or one a channel by a map",
    widths="INT8 in, any out; ramps and their sums INT8",
    mapping="straight lines between at most 65 knots, more where the function bends more: a VECTOR for each, clamped "
    "at both ends, added in pairs. A quotient is a product with the reciprocal",
    limits="within 1/512 of the function's spread, besides rounding; flat a quarter beyond the values that calibration "
    "saw; roots, logarithms and reciprocals of values of one sign",
    cost="2 x ramps - 1 times ceil(channels / C) cycles of the VPU a pixel",
    example=example,
    aten=_aten(),
    floats=(Curve,),
)
