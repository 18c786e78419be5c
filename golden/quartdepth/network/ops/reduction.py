"""Sums, means and norms over pixels or channels."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import one_by_one
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.affine import Affine
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.curve import Curve
from triptych.golden.quartdepth.network.ops.pool import Window, both_axes
from triptych.golden.quartdepth.network.ops.product import Product
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
MOST_PARTS = 16


def _axes(view: View, dims: object) -> list[int]:
    ndim = view.index.ndim
    given = [dims] if isinstance(dims, int) else list(dims or range(ndim))  # type: ignore[call-overload]
    return sorted(int(d) % ndim for d in given)


def _reduced(c: Capture, name: str, view: View, axes: Sequence[int], keep: bool, mean: bool) -> View:
    """The sum over some axes, or the mean."""
    ndim, shape = view.index.ndim, c.shapes[view.fmap]
    others = [d for d in range(ndim) if d not in axes]
    kept = [1 if d in axes else n for d, n in enumerate(view.index.shape) if keep or d not in axes]
    rows = view.index.permute(*others, *axes).reshape(math.prod(view.index.shape[d] for d in others), -1)
    pixels, channels = rows // shape.channels, rows % shape.channels
    count = rows.shape[1]
    if count == 1:
        return View(view.fmap, rows.reshape(kept))
    if torch.equal(pixels, pixels[:, :1].expand_as(pixels)):
        sets, number = torch.unique(channels.sort(1).values, dim=0, return_inverse=True)
        weight = torch.zeros(len(sets), shape.channels)
        weight.scatter_add_(1, sets, torch.full(sets.shape, 1.0 / count if mean else 1.0))
        made = c.add(Conv2d(name, view.fmap, weight[:, :, None, None], torch.zeros(len(sets))))
        return View(made.fmap, (pixels[:, 0] * len(sets) + number).reshape(kept))
    alone = torch.equal(channels, channels[:, :1].expand_as(channels))
    windows = _windows(shape, pixels) if alone else None
    if windows is not None:
        down, across, place = windows
        own = name if mean else f"{name}.mean"
        made = both_axes(c, own, view.fmap, _counted(down, shape.height), _counted(across, shape.width))
        if not mean:
            gain = torch.full((shape.channels,), float(count))
            made = c.add(Affine(name, made.fmap, gain, torch.zeros_like(gain)))
        return View(made.fmap, (place * shape.channels + channels[:, 0]).reshape(kept))
    if len(axes) > 1:
        return _in_turns(c, name, view, axes, keep, mean)
    if mean or count > MOST_PARTS:
        raise Declined(
            f"a sum or mean must be over all pixels or over channels of a pixel, a sum over {MOST_PARTS} parts at most"
        )
    made = one_by_one(c, name, view, axes[0], Add)
    return View(made.fmap, made.index.unsqueeze(axes[0])) if keep else made


def _windows(shape: Shape, pixels: Tensor) -> tuple[list[range], list[range], Tensor] | None:
    """Ranges of rows and of columns whose rectangles the sets of pixels are, and the number of each set's."""
    y, x = pixels // shape.width, pixels % shape.width
    spans = [torch.stack([v.min(1).values, v.max(1).values + 1], 1) for v in (y, x)]
    area = (spans[0][:, 1] - spans[0][:, 0]) * (spans[1][:, 1] - spans[1][:, 0])
    distinct = torch.tensor([len(row.unique()) for row in pixels])
    if not torch.equal(area, distinct) or not bool((distinct == pixels.shape[1]).all()):
        return None
    (down, row), (across, column) = (torch.unique(s, dim=0, return_inverse=True) for s in spans)
    ranges = [[range(int(a), int(b)) for a, b in found.tolist()] for found in (down, across)]
    return ranges[0], ranges[1], row * len(across) + column


def _counted(ranges: list[range], size: int) -> tuple[list[Window], list[int]] | None:
    """As average pools take them; None for all positions one by one."""
    if ranges == [range(n, n + 1) for n in range(size)]:
        return None
    return [list(r) for r in ranges], [len(r) for r in ranges]


def _in_turns(c: Capture, name: str, view: View, axes: Sequence[int], keep: bool, mean: bool) -> View:
    """The first axis whose elements lie in one pixel, then the others."""
    channels = c.shapes[view.fmap].channels
    for axis in axes:
        pixels = view.index // channels
        if torch.equal(pixels.narrow(axis, 0, 1).expand_as(pixels), pixels):
            inner = _reduced(c, f"{name}.channels", view, [axis], True, mean)
            made = _reduced(c, name, inner, [a for a in axes if a != axis], True, mean)
            return made if keep else View(made.fmap, made.index.squeeze(tuple(axes)))
    raise Declined("a sum or a mean must be over all pixels, over channels of a pixel, or over both")


def _over(mean: bool, c: Capture, node: Node) -> View:
    view = c.view(c.arg(node, 0))
    return _reduced(c, c.name(node), view, _axes(view, c.arg(node, 1)), bool(c.arg(node, 2, False)), mean)


def _over_all(mean: bool, c: Capture, node: Node) -> View:
    view = c.view(c.arg(node, 0))
    return _reduced(c, c.name(node), view, _axes(view, None), False, mean)


def norm(c: Capture, node: Node) -> View:
    """aten.linalg_vector_norm"""
    view, order = c.view(c.arg(node, 0)), c.arg(node, 1, 2)
    return norm_over(c, c.name(node), view, c.arg(node, 2), bool(c.arg(node, 3, False)), order)


def norm_over(c: Capture, name: str, view: View, dims: object, keep: bool, order: float = 2) -> View:
    """The Euclidean norm over some axes, or the sum of absolute values. Raises Declined."""
    if order not in (1, 2):
        raise Declined(f"a norm must be Euclidean or the sum of absolute values, not of order {order}")
    own = f"{name}.squares"
    c.add(Product(own, view.fmap, view.fmap) if order == 2 else Curve(own, view.fmap, "abs"))
    whole = order == 1
    sums = _reduced(c, name if whole else f"{name}.sum", View(own, view.index), _axes(view, dims), keep, False)
    return sums if whole else c.add_alike(Curve(name, sums.fmap, "sqrt"), sums)


class _Reduced(nn.Module):
    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Conv2d(3, channels, 3, padding=1), nn.LazyConv2d(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        made: tuple[Callable[[Tensor], Tensor], ...] = (
            lambda y: y.mean((2, 3), keepdim=True),
            lambda y: torch.cat([y.mean(1, keepdim=True), y.sum(1, keepdim=True), y.unflatten(1, (2, -1)).sum(1)], 1),
            lambda y: nn.functional.normalize(y, dim=1),
            lambda y: y * y.norm(dim=(2, 3), keepdim=True),
            lambda y: y.relu() - y.sum((2, 3), keepdim=True) / 16,
            lambda y: y * y.mean((1, 2, 3), keepdim=True) + y.norm(p=1, dim=1, keepdim=True),
            lambda y: y.unflatten(2, (2, -1)).sum(2),
            lambda y: (
                y * y.unflatten(2, (2, -1)).sum((3, 4), keepdim=True).expand_as(y.unflatten(2, (2, -1))).flatten(2, 3)
            ),
        )
        z: Tensor = self.last(made[self.kind](y))
        return z


def example(rng: random.Random) -> Example:
    """Over pixels, channels, both, groups of channels, halves of the map."""
    module = _Reduced(rng.choice([2, 8, 18]), rng.randrange(8))
    shape = (3, 2 * rng.randint(1, 5), rng.randint(1, 9))
    with torch.no_grad():
        module(torch.zeros(1, *shape))
    return Example(module, shape)


OPERATION = Operation(
    title="Sums, means, norms",
    forms="`sum` and `mean` over all pixels or rectangles of them, over channels of a pixel, or both; `sum` over a few "
    "parts; `linalg_vector_norm` of order 1 and 2 over the same",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="over channels a 1x1 convolution; over pixels an average pool, times their number; of parts a sum for each "
    "but the first. A norm is the squares' sum and a curve",
    limits=f"a sum over at most {MOST_PARTS} parts; not of attention's sequences",
    cost="that of what it is made of",
    example=example,
    aten={
        aten.mean.dim: partial(_over, True),
        aten.sum.dim_IntList: partial(_over, False),
        aten.mean.default: partial(_over_all, True),
        aten.sum.default: partial(_over_all, False),
        aten.linalg_vector_norm.default: norm,
    },
)
