"""Padding as a layer of its own: zeros, reflection, replication, any side."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.gather import joined, trimmed
from triptych.golden.quartdepth.network.ops.resize import along_axes

aten = torch.ops.aten
MODES: dict[Any, str] = {aten.reflection_pad2d.default: "reflect", aten.replication_pad2d.default: "replicate"}


def positions(size: int, before: int, after: int, mode: str) -> list[int | None]:
    """Of the input, for each output; None: zero."""
    out: list[int | None] = []
    for at in range(-before, size + after):
        if mode == "reflect" and not 0 <= at < size:
            at = -at if at < 0 else 2 * (size - 1) - at
        elif mode == "replicate":
            at = min(max(at, 0), size - 1)
        out.append(at if 0 <= at < size else None)
    return out


def capture(c: Capture, node: Node) -> View:
    """aten.pad of rows and columns."""
    sides = [int(s) for s in c.arg(node, 1)]
    mode = MODES.get(node.target) or c.arg(node, 2, "constant")
    value = c.arg(node, 3 if node.target is aten.pad.default else 2, 0.0)
    if mode not in ("constant", "reflect", "replicate"):
        raise GraphError(f"the chip pads with zeros, by reflection or by replication, not in mode '{mode}'")
    if mode == "constant" and len(sides) == 2 and sides[0] == 0 and isinstance(c.arg(node, 0), View):
        made = _channels(c, c.name(node), c.arg(node, 0), sides[1], float(value or 0.0))
        if made is not None:
            return made
    if mode == "constant" and isinstance(value, int | float) and value:
        raise GraphError(f"the chip pads with zeros, not with {value}")
    view = c.view(c.arg(node, 0))
    if mode == "constant" and view.index.ndim == 3 and not any(sides[2:]) and min(sides) >= 0:
        return _tokens(c, c.name(node), view, sides)
    channels_last = view.index.ndim == 4 and sides[:2] == [0, 0] and len(sides) > 4
    if channels_last:
        view, sides = View(view.fmap, view.index.permute(0, 3, 1, 2)), sides[2:]
    if len(sides) > 4 and any(sides[4:]):
        raise GraphError("rows and columns can be padded, not channels")
    sides += [0] * (4 - len(sides))
    if min(sides[:4]) < 0:
        raise GraphError("a negative pad is a crop: write it as a slice")
    source = c.whole_map(view)
    shape = c.shapes[source]
    axes = [
        Taps.copies(positions(size, before, after, mode)) if before or after else None
        for size, (before, after) in ((shape.height, sides[2:4]), (shape.width, sides[:2]))
    ]
    made = along_axes(c, c.name(node), source, *axes)
    return View(made.fmap, made.index.permute(0, 2, 3, 1)) if channels_last else made


def _tokens(c: Capture, name: str, view: View, sides: list[int]) -> View:
    """Zeros in front of tokens [1,C,N] and behind them, as pixels of their own."""
    tokens = View(view.fmap, view.index.transpose(1, 2))
    before, after = (torch.zeros(1, n, tokens.index.shape[2]) for n in sides[:2])
    made = joined(c, name, [before, tokens, after], 1)
    return View(made.fmap, made.index.transpose(1, 2))


def _channels(c: Capture, name: str, view: View, more: int, value: float) -> View | None:
    """Constant channels behind those of each head; None if the last axis is no channels of pixels."""
    try:
        view = trimmed(c, name, view)
    except GraphError:
        return None
    channels, count = c.shapes[view.fmap].channels, view.index.shape[-1]
    rows = view.index.reshape(-1, count)
    first, pixel = rows[:, 0] % channels, rows[:, 0] // channels
    split = count > 1 and channels % count == 0 and not bool((first % count).any())
    if not split or not torch.equal(rows, rows[:, :1] + torch.arange(count)):
        return None
    heads, each = channels // count, count + more
    weight, bias = torch.zeros(heads, each, channels, 1, 1), torch.full((heads, each), value)
    bias[:, :count] = 0.0
    head, within = torch.meshgrid(torch.arange(heads), torch.arange(count), indexing="ij")
    weight[head, within, head * count + within] = 1.0
    made = c.add(Conv2d(name, view.fmap, weight.flatten(0, 1), bias.flatten()))
    index = (pixel * heads * each + first // count * each)[:, None] + torch.arange(each)
    return View(made.fmap, index.reshape(*view.index.shape[:-1], each))


class _Padded(nn.Module):
    def __init__(self, mode: str, sides: tuple[int, int, int, int], channels: int) -> None:
        super().__init__()
        self.mode, self.sides = mode, sides
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.mode == "tokens":
            z: Tensor = self.last(nn.functional.pad(y.flatten(2), self.sides[:2])[:, :, None])
        else:
            z = self.last(nn.functional.pad(y, self.sides, self.mode))
        return z


class _Heads(nn.Module):
    """A channel of ones behind those of each head, as linear attention sums its weights."""

    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.heads, self.first = heads, nn.Conv2d(3, heads * size, 1)
        self.last = nn.Conv2d(heads * (size + 1), 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        y = nn.functional.pad(y, (0, 1), value=1.0).transpose(2, 3).flatten(1, 2)
        z: Tensor = self.last(y.unflatten(2, x.shape[2:]))
        return z


def example(rng: random.Random) -> Example:
    """Each mode, sides of their own; ones as channels."""
    if rng.random() < 0.2:
        return Example(_Heads(rng.choice([1, 2, 3]), rng.choice([2, 8, 9])), (3, rng.randint(1, 6), rng.randint(1, 6)))
    sides = (rng.randint(0, 2), rng.randint(0, 2), rng.randint(0, 2), rng.randint(0, 2))
    module = _Padded(rng.choice(["constant", "reflect", "replicate", "tokens"]), sides, rng.choice([1, 8, 17]))
    return Example(module, (3, rng.randint(3, 9), rng.randint(3, 9)))


OPERATION = Operation(
    title="Padding",
    forms="`pad` with zeros, `reflect` or `replicate`, each side of its own; zeros beside tokens; any number behind "
    "the channels of each head",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="as a resize that copies, an axis after the other; a row or column of zeros is one times zero",
    limits="rows and columns with zeros; not circular",
    cost="as a resize",
    example=example,
    aten={
        aten.pad.default: capture,
        aten.constant_pad_nd.default: capture,
        aten.reflection_pad2d.default: capture,
        aten.replication_pad2d.default: capture,
    },
)
