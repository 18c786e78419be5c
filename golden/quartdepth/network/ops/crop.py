"""Parts of a map as maps of their own: crops, strided slices, flips, ranges and permutations of channels."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d, in_turns, regrid
from triptych.golden.quartdepth.network.ops.conv_transpose2d import ConvTranspose2d
from triptych.golden.quartdepth.network.ops.resize import along_axes

MOST_SIDE = 8  # of squares that one transposed convolution lays out


def shows(c: Capture, view: View) -> str | None:
    """The map of what a view shows: rows, columns and channels chosen apart."""
    if view.index.ndim != 4 or view.index.shape[0] != 1:
        return None
    shape = c.shapes[view.fmap]
    pixels, channels = view.index[0] // shape.channels, view.index[0] % shape.channels
    rows, columns = pixels // shape.width, pixels % shape.width
    chosen = channels[:, :1, :1], rows[:1, :, :1], columns[:1, :1, :]
    if not all(
        torch.equal(one.expand_as(channels), whole)
        for one, whole in zip(chosen, (channels, rows, columns), strict=True)
    ):
        return _woven(c, view.fmap, channels, rows, columns) or _regridded(c, view)
    source = view.fmap
    kept, y, x = (one.flatten().tolist() for one in chosen)
    name = _name(c, source)
    sizes = ((y, shape.height), (x, shape.width))
    axes = [None if at == list(range(size)) else Taps.copies(at) for at, size in sizes]
    whole = kept == list(range(shape.channels))
    source = along_axes(c, name if whole else f"{name}.pixels", source, *axes).fmap
    if whole:
        return source
    weight = torch.zeros(len(kept), shape.channels, 1, 1)
    weight[torch.arange(len(kept)), torch.tensor(kept)] = 1.0
    return c.add(Conv2d(name, source, weight, torch.zeros(len(kept)))).fmap


def _woven(c: Capture, source: str, channels: Tensor, rows: Tensor, columns: Tensor) -> str | None:
    """Channels laid out as squares of pixels, or squares of pixels as channels; None if it is neither."""
    shape = c.shapes[source]
    out, height, width = channels.shape
    if height % shape.height == 0 and width % shape.width == 0:
        ry, rx = height // shape.height, width // shape.width
        y, x = torch.arange(height)[:, None] // ry, torch.arange(width) // rx
        cells = channels.unflatten(2, (shape.width, rx)).unflatten(1, (shape.height, ry)).transpose(2, 3)
        first = cells[:, :1, :1]
        if ((rows == y).all() and (columns == x).all()) and torch.equal(first.expand_as(cells), cells):
            return _squares(c, source, first[:, 0, 0])
    if shape.height % height == 0 and shape.width % width == 0:
        ry, rx = shape.height // height, shape.width // width
        dy, dx = rows - ry * torch.arange(height)[:, None], columns - rx * torch.arange(width)
        inside = (dy >= 0) & (dy < ry) & (dx >= 0) & (dx < rx)
        same = all(torch.equal(v[:, :1, :1].expand_as(v), v) for v in (channels, dy, dx))
        if inside.all() and same and all(in_turns(r) for r in (ry, rx)):
            weight = torch.zeros(out, shape.channels, ry, rx)
            weight[torch.arange(out), channels[:, 0, 0], dy[:, 0, 0], dx[:, 0, 0]] = 1.0
            return c.add(Conv2d(_name(c, source), source, weight, torch.zeros(out), stride=(ry, rx))).fmap
    return None


def _squares(c: Capture, source: str, chosen: Tensor) -> str:
    """Channel chosen[o, i, j] of each pixel as channel o of the pixel at (i, j) of its square; large squares in two
    turns, for every place in one has weights of its own."""
    out, ry, rx = chosen.shape
    (above, below), (left, right) = ((n // _part(n), _part(n)) for n in (ry, rx))
    if (below, right) != (1, 1):
        inner = chosen.reshape(out, above, below, left, right).permute(0, 2, 4, 1, 3).flatten(0, 2)
        source = _squares(c, source, inner)
        chosen = torch.arange(len(inner)).reshape(out, below, right)
    channels = c.shapes[source].channels
    weight = torch.zeros(channels, out, *chosen.shape[1:])
    o, i, j = torch.meshgrid(*(torch.arange(n) for n in chosen.shape), indexing="ij")
    weight[chosen, o, i, j] = 1.0
    return c.add(
        ConvTranspose2d(_name(c, source), source, weight, torch.zeros(out), stride=(chosen.shape[1], chosen.shape[2]))
    ).fmap


def _part(side: int) -> int:
    """The side that squares of a second turn have: 1 where one turn will do."""
    divisors = [n for n in range(1, side + 1) if side % n == 0]
    return 1 if side <= MOST_SIDE else min(divisors, key=lambda n: max(n, side // n))


def _regridded(c: Capture, view: View) -> str | None:
    """Pixels of one row as a map of several."""
    grid, channels = regrid(c, view), c.shapes[view.fmap].channels
    if grid is None:
        return None
    weight = torch.eye(channels)[:, :, None, None]
    return c.add(Conv2d(_name(c, view.fmap), view.fmap, weight, torch.zeros(channels), regrid=grid)).fmap


def _name(c: Capture, source: str) -> str:
    return f"{source}.part{sum(name.startswith(f'{source}.part') for name in c.shapes)}"


class _Parts(nn.Module):
    def __init__(self, kind: int, channels: int) -> None:
        super().__init__()
        self.kind, self.first = kind, nn.Conv2d(3, channels, 3, padding=1)
        self.last = nn.LazyConv2d(4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.kind == 0:
            y = y[:, :, 1:, : y.shape[3] - 1]
        elif self.kind == 1:
            y = torch.cat([y[:, :, ::2, ::2], y[:, :, 1::2, 1::2]], 1)
        elif self.kind == 2:
            one, two = y.chunk(2, 1)
            y = one.relu() + two
        elif self.kind == 3:
            y = y.flip(3)
        elif self.kind == 5:
            y = y.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 3, 5, 1, 2, 4).flatten(1, 3)
        elif self.kind == 7:
            side = int(y.shape[1] ** 0.5)
            y = y.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2).flatten(3).flatten(1, 2)[:, None]
        elif self.kind == 6:
            y = y.unflatten(1, (2, -1)).permute(0, 2, 3, 4, 1).flatten(3)
        else:
            y = y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Cropped, strided, chunked, flipped, channels shuffled, squares of pixels as channels and back."""
    shape = (3, 2 * rng.randint(1, 4), 2 * rng.randint(1, 4))
    kind = rng.randrange(8)
    module = _Parts(kind, rng.choice([3, 9]) ** 2 if kind == 7 else 2 * rng.choice([1, 4, 9]))
    with torch.no_grad():
        module(torch.zeros(1, *shape))
    return Example(module, shape)


OPERATION = Operation(
    title="Parts of a map",
    forms="`slice`, `chunk`, `split`, `flip`, `roll` of rows, columns or channels, and permutations of channels, where "
    "a map is needed",
    widths="INT8, UINT4 or TABLE4 into any",
    mapping="rows and columns as a resize that copies; channels as a 1x1 convolution with one weight an output; "
    "squares of pixels that become channels, or channels that become squares, as a convolution of their size",
    limits="rows, columns and channels are chosen apart from one another: nothing turned; not of attention's sequences",
    cost="as a resize; as a 1x1 convolution",
    example=example,
    shows=shows,
)
