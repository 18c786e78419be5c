"""`input + one * two`, as global response normalisation has it."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import matched
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.affine import Affine, by_channel
from triptych.golden.quartdepth.network.ops.product import Product

aten = torch.ops.aten


def capture(c: Capture, node: Node) -> View:
    """aten.addcmul of maps, and of constants by channel."""
    offset, factors, name = c.arg(node, 0), [c.arg(node, 1), c.arg(node, 2)], c.name(node)
    if node.kwargs.get("value", 1) != 1:
        raise Declined("a product must not be weighted")
    views = [f for f in factors if isinstance(f, View)]
    plain = not isinstance(offset, View)
    if len(views) == 2:
        own = f"{name}.product"
        view, one, two = matched(c, views[0], views[1], own)
        c.add(Product(own, one, two))
        view = View(own, view.index)
        gain = torch.ones(c.shapes[own].channels)
    elif views:
        view = views[0]
        gain = by_channel(c, view, next(f for f in factors if not isinstance(f, View)))
    else:
        raise Declined("one of the factors must be a map")
    if plain:
        return c.add_alike(Affine(name, view.fmap, gain, by_channel(c, view, offset)), view)
    scaled = view if len(views) == 2 else c.add_alike(Affine(f"{name}.scaled", view.fmap, gain, 0 * gain), view)
    shown, one, two = matched(c, offset, scaled, name)
    c.add(Add(name, one, two))
    return View(name, shown.index)


class _Responding(nn.Module):
    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 4, 1)
        self.gamma, self.beta = (nn.Parameter(torch.rand(1, channels, 1, 1) + 0.5) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.kind == 0:
            y = torch.addcmul(self.beta, self.gamma, y * y.mean((2, 3), keepdim=True))
        elif self.kind == 1:
            y = torch.addcmul(y.relu(), y, self.gamma)
        else:
            y = torch.addcmul(y, y.relu(), y)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Constants by channel, or maps."""
    module = _Responding(rng.choice([3, 8, 17]), rng.randrange(3))
    return Example(module, (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Sum with a product",
    forms="`addcmul` of maps and of constants by channel",
    widths="as a product and a sum",
    mapping="a product and a sum of maps; what is constant is a factor or an offset by channel",
    limits="constants by channel",
    cost="those of product and sum",
    example=example,
    aten={aten.addcmul.default: capture},
)
