"""Bilinear resize by two: one axis after the other, each pixel with its two neighbours."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Job, Pair, Walk, alike
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError, Place
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.requantise import rescaling
from triptych.golden.quartdepth.network.qparams import Residual, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Upsample(FloatLayer):
    """Twice the size along one axis (2: rows, 3: columns), bilinear between pixel centres, edges held."""

    source: str
    axis: int

    def output_shape(self, shape: Shape) -> Shape:
        if self.axis == 2:
            return replace(shape, height=2 * shape.height)
        return replace(shape, width=2 * shape.width)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        x = maps[self.source]
        first, last = x.narrow(self.axis, 0, 1), x.narrow(self.axis, -1, 1)
        before = torch.cat([first, x.narrow(self.axis, 0, x.shape[self.axis] - 1)], self.axis)
        after = torch.cat([x.narrow(self.axis, 1, x.shape[self.axis] - 1), last], self.axis)
        pair = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], self.axis + 1)
        return pair.flatten(self.axis, self.axis + 1)

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.source,)

    def quantise(self, q: Quantising) -> list[QLayer]:
        qparams, (unit, fraction) = q.qparams(self.source), q.unit(self.name, self.source)
        near, far = (fixed_point(f * qparams.scale / unit, f"'{self.name}': the rescaling") for f in (0.75, 0.25))
        lo, hi = q.qparams(self.name).clamp
        return [QUpsample(self.name, self.source, self.axis - 2, -qparams.zero, near, far, fraction, lo, hi)]


@dataclass(frozen=True, eq=False)
class QUpsample(Lowerable):
    """Twice the rows (axis 0) or columns (axis 1): every pixel makes one towards each neighbour, edges held.

    `V = clamp(rs(rs((A + add) * near) + rs((B + add) * far), fraction) + output zero, lo, hi)`, A the pixel, B the
    neighbour (at the edge A itself), then encoded.
    """

    alike = True

    source: str
    axis: int
    add: int
    near: Scale
    far: Scale
    fraction: int
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        a = read(maps, self.source) + self.add
        near, far = apply(a, self.near), apply(a, self.far)
        size = a.shape[self.axis]
        before, after = (np.clip(np.arange(size) + step, 0, size - 1) for step in (-1, 1))
        pair = np.stack([near + far.take(i, self.axis) for i in (before, after)], self.axis + 1)
        shape = [2 * n if axis == self.axis else n for axis, n in enumerate(a.shape)]
        return finish(maps, self.name, pair.reshape(shape), self.lo, self.hi, fraction=self.fraction)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        if output.patch != (1, 1):
            raise CompileError(f"'{self.name}': sequences of attention can only pass through linear layers")
        return JobWork(self, self._jobs(source, output))

    def _jobs(self, source: Place, output: Place) -> list[Job]:
        """Pixels on the even and on the odd side of their own, and the two at the edges, whose neighbour is their
        own."""
        dims = (source.storage.rows, source.storage.cols)
        size = dims[self.axis]

        def along(value: int, other: int) -> Pair:
            return (value, other) if self.axis == 0 else (other, value)

        jobs = []
        sides = ((0, -1, 1, size), (1, 1, 0, size - 1), (0, 0, 0, 1), (1, 0, size - 1, size))
        for side, neighbour, first, last in sides:
            if first < last:
                out = Walk(output, along(side, 0), along(2, 1), dims)
                near, far = (Walk(source, along(shift, 0), (1, 1), dims) for shift in (0, neighbour))
                grid = along(last, dims[1 - self.axis])
                jobs.append(Job(near, out, None, grid, first=along(first, 0), neighbour=far))
        return jobs

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        word = rescaling(maps, slots, self.name, self.source, self.add, self.near, self.lo, self.hi)
        far = Residual(self.source, self.add, self.far)
        return microcode.program({**word, **microcode.add(far, self.fraction, maps, slots)})


def capture(c: Capture, node: Node) -> View:
    """aten.upsample_bilinear2d to twice the size, between pixel centres."""
    source = c.whole_map(c.arg(node, 0))
    s, size, factors = c.shapes[source], c.arg(node, 1), c.arg(node, 3)
    wanted = list(size) if size is not None else [f * n for f, n in zip(factors, (s.height, s.width), strict=True)]
    if c.arg(node, 2) or wanted != [2 * s.height, 2 * s.width]:
        raise Declined("this layer resizes by two between pixel centres")
    name = c.name(node)
    columns = c.add(Upsample(f"{name}.columns", source, 3))
    return c.add(Upsample(f"{name}.rows", columns.fmap, 2))


def linear_first(graph: FloatGraph) -> FloatGraph:
    """A 1x1 convolution behind a resize moves in front of it, where there are fewer pixels: the weights of a resize sum
    to one, so both orders are the same map."""
    while True:
        readers = graph.readers()
        made = {layer.name: layer for layer in graph.layers}
        found = [
            (at, layer, before)
            for at, layer in enumerate(graph.layers)
            if isinstance(layer, Conv2d) and layer.pointwise and not layer.depthwise
            if layer.residual is None and layer.regrid is None
            if isinstance(before := made.get(layer.source), Upsample) and readers[before.name] == 1
        ]
        if not found:
            return graph
        at, layer, before = found[0]
        conv, resize = replace(layer, source=before.source), replace(before, source=layer.name)
        rest = [x.rename(lambda name: resize.name if name == conv.name else name) for x in graph.layers[at + 1 :]]  # noqa: B023
        shapes = dict(graph.shapes)
        shapes[conv.name] = conv.output_shape(shapes[conv.source])
        shapes[resize.name] = resize.output_shape(shapes[conv.name])
        layers = [x for x in graph.layers[:at] if x is not before] + [conv, resize, *rest]
        graph = replace(graph.with_outputs({conv.name: resize.name}), layers=layers, shapes=shapes)


class _Resized(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.interpolate(self.first(x), scale_factor=2, mode="bilinear", align_corners=False)
        z: Tensor = self.last(y)
        return z


def example(rng: random.Random) -> Example:
    """Between two linear layers."""
    return Example(_Resized(rng.choice([1, 8, 17])), (3, rng.randint(1, 7), rng.randint(1, 7)))


OPERATION = Operation(
    title="Resize by two",
    forms="`interpolate`, bilinear, to twice the size, `align_corners=False`",
    widths="INT8, UINT4 or TABLE4 into any; rounded once an axis",
    mapping="along columns, then along rows: four elementwise jobs each, pixels of the even and of the odd side, the "
    "second operand being the neighbour in the same map, and the two edges, where it is the pixel itself. A 1x1 "
    "convolution behind it moves in front",
    limits="by two alone; not of attention's sequences",
    cost="3 ceil(channels / C) cycles of the VPU for two output pixels",
    example=example,
    aten={aten.upsample_bilinear2d.vec: capture},
    floats=(Upsample,),
    integers=(QUpsample,),
    rewrites=((Stage.SPLIT, linear_first),),
)
