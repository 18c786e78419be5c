"""Average pools: of windows, of parts of a map, of the whole one."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View, pair
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.resize import Resample

aten = torch.ops.aten
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


def parts_of(size: int, outputs: int) -> tuple[list[Window], list[int]] | None:
    """As adaptive pools cut."""
    spans = [range(o * size // outputs, -(-(o + 1) * size // outputs)) for o in range(outputs)]
    return None if outputs == size else ([list(s) for s in spans], [len(s) for s in spans])


def adaptive(c: Capture, node: Node) -> View:
    """aten.adaptive_avg_pool2d"""
    source = c.whole_map(c.arg(node, 0))
    shape, (h, w) = c.shapes[source], pair(c.arg(node, 1))
    if (h, w) == (shape.height, shape.width):
        return View(source, c.whole(source))
    return both_axes(c, c.name(node), source, parts_of(shape.height, h), parts_of(shape.width, w))


def avg_pool1d(c: Capture, node: Node) -> View:
    """aten.avg_pool1d over tokens [1,C,N]: the pixels of a map, row by row, whole rows or parts of one."""
    view, kernel = c.view(c.arg(node, 0)), int(c.arg(node, 1)[0])
    stride, pad = c.arg(node, 2) or [kernel], c.arg(node, 3, [0])
    shape = c.shapes[view.fmap]
    if view.index.ndim != 3 or not torch.equal(view.index, c.whole(view.fmap).flatten(2)):
        raise GraphError("a 1-D average pool must run over all pixels of a map")
    rows, columns = max(kernel // shape.width, 1), min(kernel, shape.width)
    fits = rows * columns == kernel and shape.width % columns == 0 and shape.height % rows == 0
    if list(stride) != [kernel] or list(pad) != [0] or not fits:
        raise GraphError("a 1-D average pool must take whole rows, or equal parts of one, side by side")
    axes = (parts_of(shape.height, shape.height // rows), parts_of(shape.width, shape.width // columns))
    made = both_axes(c, c.name(node), view.fmap, *axes)
    return View(made.fmap, made.index.flatten(2))


class _Pooled(nn.Module):
    def __init__(self, channels: int, pool: nn.Module) -> None:
        super().__init__()
        self.first, self.pool, self.last = nn.Conv2d(3, channels, 1), pool, nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y = _of_tokens(y, self.pool) if isinstance(self.pool, nn.AvgPool1d) else self.pool(y)
        z: Tensor = self.last(y)
        return z


def _of_tokens(y: Tensor, pool: nn.AvgPool1d) -> Tensor:
    """Of parts of a row, or of rows."""
    kernel = int(torch.tensor(pool.kernel_size).max())
    tokens: Tensor = pool(y.flatten(2))
    return tokens.unflatten(2, (-1, max(y.shape[3] // kernel, 1)))


def example(rng: random.Random) -> Example:
    """Windows with pads or without, parts, the whole map, tokens."""
    kernel = (rng.randint(1, 4), rng.randint(1, 4))
    stride, pad = (
        (rng.randint(1, 3), rng.randint(1, 3)),
        (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2)),
    )
    shape, many = (3, rng.randint(4, 11), rng.randint(4, 11)), rng.choice([2, 4, 8])
    pools = (
        nn.AvgPool2d(kernel, stride, pad, rng.random() < 0.5, rng.random() < 0.5),
        nn.AdaptiveAvgPool2d(rng.choice([(1, 1), (2, 3), (3, 1)])), nn.AvgPool1d(many),
    )  # fmt: skip
    pool = rng.choice(pools)
    shape = (3, 2 * rng.randint(1, 4), 4) if isinstance(pool, nn.AvgPool1d) else shape
    return Example(_Pooled(rng.choice([1, 8, 17]), pool), shape)


OPERATION = Operation(
    title="Average pool",
    forms="`avg_pool2d`, `adaptive_avg_pool2d`, `avg_pool1d` over tokens that are rows of a map or equal parts of one",
    widths="INT8, UINT4 or TABLE4 into any; rounded once a stage",
    mapping="an axis after the other, each in stages of a resize that sums two: pairs, then pairs of pairs",
    limits="not of attention's sequences",
    cost="about ceil(channels / C) cycles of the VPU for each pixel of the larger map, an axis",
    example=example,
    aten={
        aten.avg_pool2d.default: avg_pool2d,
        aten.adaptive_avg_pool2d.default: adaptive,
        aten._adaptive_avg_pool2d.default: adaptive,
        aten.avg_pool1d.default: avg_pool1d,
    },
)
