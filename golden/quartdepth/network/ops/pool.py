"""Average pools: of windows, of parts of a map, of the whole one."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View, pair
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._operands import matched
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.resize import Resample

aten = torch.ops.aten
MOST_PARTS = 16
Window = Sequence[int | None]  # positions; None: zero


def windows(size: int, kernel: int, stride: int, pad: int, outputs: int) -> list[Window]:
    """Of each output; positions outside are None."""
    spans = (range(o * stride - pad, o * stride - pad + kernel) for o in range(outputs))
    return [[at if 0 <= at < size else None for at in span] for span in spans]


def outputs_of(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    """Output size of a pool."""
    count = (size + 2 * pad - kernel + (stride - 1 if ceil else 0)) // stride + 1
    return count - 1 if ceil and (count - 1) * stride >= size + pad else count


def average(c: Capture, name: str, source: str, axis: int, parts: Sequence[Window], counts: Sequence[int]) -> str:
    """A map whose rows or columns are sums over windows, each over its count: pairs, then pairs of pairs."""
    size = max(len(part) for part in parts)
    parts = [[*part, *[None] * (size - len(part))] for part in parts]
    stages = max((size - 1).bit_length(), 1)
    for stage in range(stages):
        width, last = -(-size // 2), stage == stages - 1
        first, second, weights = [], [], []
        for o, part in enumerate(parts):
            for at in range(width):
                two = [part[i] if i < size else None for i in (2 * at, 2 * at + 1)]
                factor = 0.5 if not last else 2.0 ** (stages - 1) / counts[o]
                first.append(two[0] or 0)
                second.append(two[1] or 0)
                weights.append((0.0 if two[0] is None else factor, 0.0 if two[1] is None else factor))
        own = name if last else f"{name}.{stage}"
        source = c.add(Resample(own, source, axis, Taps(tuple(first), tuple(second), tuple(weights)))).fmap
        parts, size = [list(range(o * width, (o + 1) * width)) for o in range(len(parts))], width
    return source


def both_axes(
    c: Capture,
    name: str,
    source: str,
    rows: tuple[list[Window], list[int]] | None,
    columns: tuple[list[Window], list[int]] | None,
) -> View:
    """Columns, then rows; None: as they are."""
    if columns is not None:
        source = average(c, name if rows is None else f"{name}.columns", source, 3, *columns)
    if rows is not None:
        source = average(c, name, source, 2, *rows)
    return View(source, c.whole(source))


def avg_pool2d(c: Capture, node: Node) -> View:
    """aten.avg_pool2d"""
    source = c.whole_map(c.arg(node, 0))
    kernel = pair(c.arg(node, 1))
    stride = pair(c.arg(node, 2) or kernel)
    pad = pair(c.arg(node, 3, [0, 0]))
    ceil, padded, divisor = bool(c.arg(node, 4, False)), bool(c.arg(node, 5, True)), c.arg(node, 6)
    shape = c.shapes[source]
    axes = []
    for size, k, s, p in zip((shape.height, shape.width), kernel, stride, pad, strict=True):
        count = outputs_of(size, k, s, p, ceil)
        parts = windows(size, k, s, p, count)
        within = [len([i for i in part if i is not None]) for part in parts]
        reach = [min(k, size + p - (o * s - p)) for o in range(count)]
        axes.append((parts, reach if padded else within) if (k, s, p) != (1, 1, 0) else None)
    if divisor is not None:
        raise GraphError("an average pool divides by the number of its pixels: divisor_override=None")
    if axes == [None, None]:
        return View(source, c.whole(source))
    return both_axes(c, c.name(node), source, *axes)


def _parts(size: int, outputs: int) -> tuple[list[Window], list[int]] | None:
    """As adaptive pools cut."""
    spans = [range(o * size // outputs, -(-(o + 1) * size // outputs)) for o in range(outputs)]
    return None if outputs == size else ([list(s) for s in spans], [len(s) for s in spans])


def adaptive(c: Capture, node: Node) -> View:
    """aten.adaptive_avg_pool2d"""
    source = c.whole_map(c.arg(node, 0))
    shape, (h, w) = c.shapes[source], pair(c.arg(node, 1))
    if (h, w) == (shape.height, shape.width):
        return View(source, c.whole(source))
    return both_axes(c, c.name(node), source, _parts(shape.height, h), _parts(shape.width, w))


def mean(c: Capture, node: Node) -> View:
    """aten.mean over all pixels, or over all channels of each."""
    view = c.view(c.arg(node, 0))
    dims, keep = c.arg(node, 1), bool(c.arg(node, 2, False))
    if not dims:
        raise Declined("a mean must be over pixels or over channels")
    shape, ndim = c.shapes[view.fmap], view.index.ndim
    axes = sorted(int(d) % ndim for d in dims)
    others = [d for d in range(ndim) if d not in axes]
    rows = view.index.permute(*others, *axes).reshape(
        -1, view.index.numel() // max(view.index[(0,) * len(axes)].numel(), 1)
    )
    rows = view.index.permute(*others, *axes).flatten(len(others)).reshape(-1, _product(view.index.shape, axes))
    kept = (
        [1 if d in axes else view.index.shape[d] for d in range(ndim)]
        if keep
        else [view.index.shape[d] for d in others]
    )
    if rows.shape[1] == len(shape):
        channels = rows[:, :1] % shape.channels
        wanted = channels + torch.arange(len(shape)) * shape.channels
        if torch.equal(rows.sort(1).values, wanted):
            made = both_axes(c, c.name(node), view.fmap, _parts(shape.height, 1), _parts(shape.width, 1))
            return View(made.fmap, channels.reshape(kept))
    if rows.shape[1] == shape.channels:
        pixels = rows.min(1, keepdim=True).values
        if torch.equal(rows.sort(1).values, pixels + torch.arange(shape.channels)) and not bool(
            (pixels % shape.channels).any()
        ):
            weight = torch.full((1, shape.channels, 1, 1), 1.0 / shape.channels)
            made = c.add(Conv2d(c.name(node), view.fmap, weight, torch.zeros(1)))
            return View(made.fmap, (pixels // shape.channels).reshape(kept))
    raise Declined("a mean must be over all pixels, or over all channels of a pixel")


def total(c: Capture, node: Node) -> View:
    """aten.sum over all channels of a pixel, or over a few parts of a tensor, one after the other."""
    view = c.view(c.arg(node, 0))
    dims, keep = c.arg(node, 1), bool(c.arg(node, 2, False))
    ndim = view.index.ndim
    if not dims or len(dims) != 1:
        raise Declined("a sum must be over one axis")
    axis, name = int(dims[0]) % ndim, c.name(node)
    parts = view.index.unbind(axis)
    shape = c.shapes[view.fmap]
    ordered = torch.arange(shape.channels).reshape([-1 if d == axis else 1 for d in range(ndim)])
    pixels = view.index.narrow(axis, 0, 1)
    if (
        len(parts) == shape.channels
        and torch.equal(pixels + ordered, view.index)
        and bool((pixels % shape.channels == 0).all())
    ):
        made = c.add(Conv2d(name, view.fmap, torch.ones(1, shape.channels, 1, 1), torch.zeros(1)))
        index = pixels // shape.channels
        return View(made.fmap, index if keep else index.squeeze(axis))
    if len(parts) > MOST_PARTS:
        raise Declined(f"a sum must be over the channels of a pixel, or over at most {MOST_PARTS} parts")
    made = View(view.fmap, parts[0])
    for n, part in enumerate(parts[1:], 1):
        own = name if n == len(parts) - 1 else f"{name}.{n}"
        shown, one, two = matched(c, made, View(view.fmap, part), own)
        c.add(Add(own, one, two))
        made = View(own, shown.index)
    return View(made.fmap, made.index.unsqueeze(axis)) if keep else made


def _product(shape: Sequence[int], axes: Sequence[int]) -> int:
    out = 1
    for axis in axes:
        out *= shape[axis]
    return out


class _Pooled(nn.Module):
    def __init__(self, channels: int, pool: nn.Module | None) -> None:
        super().__init__()
        self.first, self.pool = nn.Conv2d(3, channels, 1), pool
        self.last = nn.Conv2d(channels if pool is not None or channels % 2 else 2 + channels // 2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.pool is not None:
            y = self.pool(y)
        elif y.shape[1] % 2:
            y = y.mean((2, 3), keepdim=True)
        else:
            y = torch.cat([y.mean(1, keepdim=True), y.sum(1, keepdim=True), y.unflatten(1, (2, -1)).sum(1)], 1)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Windows with pads or without, parts, the whole map."""
    kernel = (rng.randint(1, 4), rng.randint(1, 4))
    stride, pad = (
        (rng.randint(1, 3), rng.randint(1, 3)),
        (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2)),
    )
    pools = (
        nn.AvgPool2d(kernel, stride, pad, rng.random() < 0.5, rng.random() < 0.5),
        nn.AdaptiveAvgPool2d(rng.choice([(1, 1), (2, 3), (3, 1)])), None,
    )  # fmt: skip
    return Example(_Pooled(rng.choice([1, 8, 17]), rng.choice(pools)), (3, rng.randint(4, 11), rng.randint(4, 11)))


OPERATION = Operation(
    title="Average pool, sums",
    forms="`avg_pool2d`, `adaptive_avg_pool2d`, `mean` over all pixels or over the channels of each, `sum` over the "
    "channels of each or over a few parts",
    widths="INT8, UINT4 or TABLE4 into any; rounded once a stage",
    mapping="an axis after the other, each in stages of a resize that sums two: pairs, then pairs of pairs; a mean of "
    "channels is a 1x1 convolution",
    limits="not of attention's sequences",
    cost="about ceil(channels / C) cycles of the VPU for each pixel of the larger map, an axis",
    example=example,
    aten={
        aten.avg_pool2d.default: avg_pool2d,
        aten.adaptive_avg_pool2d.default: adaptive,
        aten._adaptive_avg_pool2d.default: adaptive,
        aten.mean.dim: mean,
        aten.sum.dim_IntList: total,
    },
)
