"""Max pools: the larger of two positions, one after the other, along an axis and then the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.capture import Capture, View, pair
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.pool import outputs_of
from triptych.golden.quartdepth.network.ops.resize import resampled
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class MaxPool(FloatLayer):
    """Rows (axis 2) or columns (3) that are the largest of several of another map. windows: their positions, as many
    for each output."""

    source: str
    axis: int
    windows: tuple[tuple[int, ...], ...]

    def output_shape(self, shape: Shape) -> Shape:
        return replace(shape, **{"height" if self.axis == 2 else "width": len(self.windows)})

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        x = maps[self.source]
        at = torch.tensor(self.windows, device=x.device)
        return x.index_select(self.axis, at.flatten()).unflatten(self.axis, at.shape).amax(self.axis + 1)

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name

    def quantise(self, q: Quantising) -> list[QLayer]:
        """Position after position, exact in the source's unit; the last one takes the map's own code."""
        source = q.qparams(self.source)
        here = tuple(range(len(self.windows)))
        layers: list[QLayer] = []
        largest, before = "", tuple(w[0] for w in self.windows)
        last = len(self.windows[0]) - 1
        for n in range(1, last + 1):
            own = self.name if n == last else f"{self.name}.{n}"
            if n < last:
                q.maps[own] = FeatureMap(q.maps[self.name].shape, QParams(Format.INT8, source.scale, source.zero))
            both = Taps(before, tuple(w[n] for w in self.windows), ((1.0, 1.0),) * len(here))
            other = self.source if largest else None
            layers.append(resampled(own, largest or self.source, other, self.axis, both, q, largest=True))
            largest, before = own, here
        return layers


def windows(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> tuple[tuple[int, ...], ...]:
    """Positions of each output's window; those outside are replaced by one inside."""
    count = outputs_of(size, (kernel - 1) * dilation + 1, stride, pad, ceil)
    out = []
    for o in range(count):
        span = range(o * stride - pad, o * stride - pad + (kernel - 1) * dilation + 1, dilation)
        inside = [at for at in span if 0 <= at < size]
        out.append(tuple(min(max(at, inside[0]), inside[-1]) for at in span))
    return tuple(out)


def pooled(
    c: Capture, name: str, source: str, rows: Sequence[tuple[int, ...]], columns: Sequence[tuple[int, ...]]
) -> View:
    """Columns, then rows; an axis whose windows are single positions in order stays as it is."""
    shape = c.shapes[source]
    wanted = [(3, columns, shape.width), (2, rows, shape.height)]
    axes = [(axis, tuple(w)) for axis, w, size in wanted if list(w) != [(i,) for i in range(size)]]
    for n, (axis, found) in enumerate(axes):
        own = name if n == len(axes) - 1 else f"{name}.columns"
        twice = found if len(found[0]) > 1 else tuple((at[0], at[0]) for at in found)
        source = c.add(MaxPool(own, source, axis, twice)).fmap
    return View(source, c.whole(source))


def capture(c: Capture, node: Node) -> View:
    """aten.max_pool2d"""
    source = c.whole_map(c.arg(node, 0))
    kernel = pair(c.arg(node, 1))
    stride, pad = pair(c.arg(node, 2) or kernel), pair(c.arg(node, 3, [0, 0]))
    dilation, ceil = pair(c.arg(node, 4, [1, 1])), bool(c.arg(node, 5, False))
    shape = c.shapes[source]
    columns, rows = (
        windows(size, kernel[a], stride[a], pad[a], dilation[a], ceil)
        for a, size in ((1, shape.width), (0, shape.height))
    )
    return pooled(c, c.name(node), source, rows, columns)


def capture_with_indices(c: Capture, node: Node) -> list[View]:
    """aten.max_pool2d_with_indices, of which only the map is used."""
    return [capture(c, node)]


def adaptive(c: Capture, node: Node) -> list[View]:
    """aten.adaptive_max_pool2d to a divisor of the size."""
    source = c.whole_map(c.arg(node, 0))
    shape, (h, w) = c.shapes[source], pair(c.arg(node, 1))
    if shape.height % h or shape.width % w:
        raise GraphError("an adaptive max pool must make a divisor of its operand's size")
    rows, columns = (
        windows(size, size // n, size // n, 0, 1, False) for size, n in ((shape.height, h), (shape.width, w))
    )
    return [pooled(c, c.name(node), source, rows, columns)]


class _Pooled(nn.Module):
    def __init__(self, channels: int, pool: nn.Module) -> None:
        super().__init__()
        self.first, self.pool, self.last = nn.Conv2d(3, channels, 1), pool, nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.last(self.pool(self.first(x)))
        return z


def example(rng: random.Random) -> Example:
    """As stems have it, and odd ones."""
    kernel = (rng.randint(1, 4), rng.randint(1, 4))
    stride, pad = (rng.randint(1, 3), rng.randint(1, 3)), (kernel[0] // 2, rng.randint(0, kernel[1] // 2))
    pools = (nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.MaxPool2d(kernel, stride, pad, 1, ceil_mode=rng.random() < 0.5))
    return Example(_Pooled(rng.choice([1, 8, 17]), rng.choice(pools)), (3, rng.randint(4, 11), rng.randint(4, 11)))


OPERATION = Operation(
    title="Max pool",
    forms="`max_pool2d` of any window, stride, padding and dilation; `adaptive_max_pool2d` to a divisor of the size",
    widths="INT8, UINT4 or TABLE4 into any; exact until the last sum rounds into the map's code",
    mapping="an axis after the other: an elementwise layer (`QResample`, the larger of two) for each position of the "
    "window but the first",
    limits="not of attention's sequences",
    cost="(kernel - 1) ceil(channels / C) cycles of the VPU a pixel made, an axis",
    example=example,
    aten={
        aten.max_pool2d.default: capture,
        aten.max_pool2d_with_indices.default: capture_with_indices,
        aten.adaptive_max_pool2d.default: adaptive,
    },
    floats=(MaxPool,),
)
