"""Resize by any ratio, bilinear or nearest; and the layer that resizes, pads, crops and pools share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Multiply, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Job, Pair, Walk, alike
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError, Place
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.integers import QMaps, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops._taps import Run, Taps, runs
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
NONE = Scale(0, 0)


@dataclass(frozen=True, eq=False)
class Resample(FloatLayer):
    """Rows (axis 2) or columns (3) that are sums of two rows or columns of another map, or of one each of two."""

    reads = ("source", "other")

    source: str
    axis: int
    taps: Taps
    other: str | None = None

    def output_shape(self, shape: Shape) -> Shape:
        return replace(shape, **{"height" if self.axis == 2 else "width": len(self.taps)})

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return self.taps.apply(maps[self.source], maps[self.other or self.source], self.axis)

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return self.sources

    @property
    def adds(self) -> bool:
        return self.other is not None

    def quantise(self, q: Quantising) -> list[QLayer]:
        return [resampled(self.name, self.source, self.other, self.axis, self.taps, q)]


def resampled(
    name: str, source: str, other: str | None, axis: int, taps: Taps, q: Quantising, largest: bool = False
) -> QResample:
    """Map `name` from one map, or the second position's from another one. largest: instead of their sum."""
    one, two = q.qparams(source), q.qparams(other or source)
    unit, fraction = q.unit(name, source, *([] if other is None else [other]))

    def scale(weight: float, per: float) -> Scale:
        if not weight:
            return NONE
        found = fixed_point(min(abs(weight) * per / unit, LARGEST_FACTOR), f"'{name}': the rescaling")
        return found if weight > 0 else Scale(-found.multiplier, found.shift)

    pairs = list(dict.fromkeys(taps.weights))
    factors = [(scale(near, one.scale), scale(far, two.scale)) for near, far in pairs]
    number = {pair: n for n, pair in enumerate(pairs)}
    fields = [[getattr(f[side], what) for f in factors] for side in (0, 1) for what in ("multiplier", "shift")]
    near_m, near_s, far_m, far_s = (np.array(values, dtype=np.int16) for values in fields)
    lo, hi = q.limits(name, False)
    return QResample(
        name, source, other, axis - 2, np.array(taps.first, dtype=np.int32), np.array(taps.second, dtype=np.int32),
        np.array([number[w] for w in taps.weights], dtype=np.int32), near_m, near_s, far_m, far_s, -one.zero, -two.zero,
        fraction, lo, hi, largest,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class QResample(Lowerable):
    """Position o along rows (axis 0) or columns (axis 1) from positions `first[o]` of the source and `second[o]` of it
    or of another map, with the factors of number p = `pick[o]`:

    `Y = sat32(rs((A + add) * near_m[p], near_s[p]))`, `Z = sat32(Y + sat32(rs((B + other_add) * far_m[p], far_s[p])))`;
    `V = clamp(rs(Z, fraction) + output zero, lo, hi)`, then encoded. Without B where far_m[p] is zero. largest: the
    larger of both instead of their sum.
    """

    alike = True

    reads = ("source", "other")

    source: str
    other: str | None
    axis: int
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    pick: NDArray[np.int32]
    near_m: NDArray[np.int16]
    near_s: NDArray[np.int16]
    far_m: NDArray[np.int16]
    far_s: NDArray[np.int16]
    add: int
    other_add: int
    fraction: int
    lo: int
    hi: int
    largest: bool = False

    def run(self, maps: QMaps) -> Ints:
        a, b = read(maps, self.source) + self.add, read(maps, self.other or self.source) + self.other_add
        shape = (-1, 1, 1) if self.axis == 0 else (1, -1, 1)
        near_m, near_s, far_m, far_s = (
            v[self.pick].astype(np.int64).reshape(shape) for v in (self.near_m, self.near_s, self.far_m, self.far_s)
        )
        near = sat32(rs(a.take(self.first, self.axis) * near_m, near_s))
        far = sat32(rs(b.take(self.second, self.axis) * far_m, far_s))
        z = np.maximum(near, far) if self.largest else sat32(near + far)
        return finish(maps, self.name, z, self.lo, self.hi, fraction=self.fraction)

    def mode(self, layout: Layout) -> str:
        return "vector"

    @cached_property
    def _runs(self) -> list[Run]:
        return runs(self.first, self.second, self.pick)

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        source, other = alike(self.name, layout, output, self.source, self.other or self.source)
        if output.patch != (1, 1):
            raise CompileError(f"'{self.name}': sequences of attention can only pass through linear layers")
        return JobWork(self, [self._job(run, source, other, output) for run in self._runs])

    def _job(self, run: Run, source: Place, other: Place, output: Place) -> Job:
        dims = (output.storage.rows, output.storage.cols)

        def along(value: int, beside: int) -> Pair:
            return (value, beside) if self.axis == 0 else (beside, value)

        grid = along(run.end, dims[1 - self.axis])
        near, far = (
            Walk(place, along(at - step * run.begin, 0), along(step, 1), grid)
            for place, at, step in ((source, run.first, run.first_step), (other, run.second, run.second_step))
        )
        out = Walk(output, along(run.phase, 0), along(run.period, 1), grid)
        both = bool(self.far_m[run.pick])
        residual = far if both and self.other is not None else None
        neighbour = far if both and self.other is None else None
        return Job(near, out, residual, grid, first=along(run.begin, 0), neighbour=neighbour)

    def program_of(self, job: int, maps: FeatureMaps, slots: Slots) -> Program:
        pick = self._runs[job].pick
        word = {
            **microcode.read(maps, self.source, slots),
            "addend": Addend.IMM, "imm_add": self.add, "mul": Multiply.IMM,
            "imm_m": self.near_m[pick], "imm_s": self.near_s[pick],
            "z_s": self.fraction, "out_add": maps[self.name].qparams.zero,
            **microcode.store(maps, self.name, slots, self.lo, self.hi),
        }  # fmt: skip
        if self.far_m[pick]:
            second = self.other or self.source
            word |= {
                "side": Side.MAX_B if self.largest else Side.ADD_B,
                "fmt_b": maps[second].qparams.format, "table_b": slots.get(second, 0),
                "b_add": self.other_add, "b_m": self.far_m[pick], "b_s": self.far_s[pick],
            }  # fmt: skip
        return microcode.program(word)


def along_axes(c: Capture, name: str, source: str, rows: Taps | None, columns: Taps | None) -> View:
    """One layer an axis that changes, the one that makes fewer pixels first; the map itself if none does."""
    shape = c.shapes[source]
    axes = [(axis, taps) for axis, taps in ((3, columns), (2, rows)) if taps is not None]
    axes.sort(key=lambda item: len(item[1]) / (shape.width if item[0] == 3 else shape.height))
    for n, (axis, taps) in enumerate(axes):
        last = n == len(axes) - 1
        own = name if last else f"{name}.{'rows' if axis == 2 else 'columns'}"
        source = c.add(Resample(own, source, axis, taps)).fmap
    return View(source, c.whole(source))


def _sizes(c: Capture, node: Node, shape: Shape, factors_at: int) -> tuple[list[int], list[float | None]]:
    """Output size and, where they were given, factors."""
    size, factors = c.arg(node, 1), c.arg(node, factors_at)
    if size is not None:
        return [int(s) for s in size], [None, None]
    return [int(f * n) for f, n in zip(factors, (shape.height, shape.width), strict=True)], [float(f) for f in factors]


def bilinear(c: Capture, node: Node) -> View:
    """aten.upsample_bilinear2d of any ratio."""
    source = c.whole_map(c.arg(node, 0))
    shape, aligned = c.shapes[source], bool(c.arg(node, 2))
    sizes, factors = _sizes(c, node, shape, 3)
    if not aligned and sizes == [2 * shape.height, 2 * shape.width]:
        raise Declined("to twice the size between pixel centres there is a cheaper layer")
    axes = [
        None if new == old else Taps.bilinear(old, new, aligned, factor)
        for old, new, factor in zip((shape.height, shape.width), sizes, factors, strict=True)
    ]
    return along_axes(c, c.name(node), source, *axes)


def nearest(c: Capture, node: Node) -> View:
    """aten.upsample_nearest2d of any ratio."""
    source = c.whole_map(c.arg(node, 0))
    shape = c.shapes[source]
    sizes, factors = _sizes(c, node, shape, 2)
    axes: list[Taps | None] = []
    for old, new, factor in zip((shape.height, shape.width), sizes, factors, strict=True):
        ratio = old / new if factor is None else 1 / factor
        positions = [min(int(np.float32(o) * np.float32(ratio)), old - 1) for o in range(new)]
        axes.append(None if new == old else Taps.copies(positions))
    return along_axes(c, c.name(node), source, *axes)


class _Resized(nn.Module):
    def __init__(self, channels: int, size: tuple[int, int], mode: str, aligned: bool | None) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1)
        self.terms: dict[str, Any] = dict(size=size, mode=mode, align_corners=aligned)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.last(nn.functional.interpolate(self.first(x), **self.terms))
        return z


def example(rng: random.Random) -> Example:
    """Between two linear layers, to any size."""
    mode, aligned = rng.choice([("bilinear", True), ("bilinear", False), ("nearest", None)])
    old, times = (rng.randint(2, 7), rng.randint(2, 7)), rng.randint(2, 4)
    sizes: Sequence[tuple[int, int]] = (
        (times * old[0], times * old[1]), (2 * old[0], 3 * old[1] - 1), (rng.randint(1, 15), rng.randint(1, 15)),
    )  # fmt: skip
    return Example(_Resized(rng.choice([1, 8, 17]), rng.choice(sizes), mode, aligned), (3, *old))


OPERATION = Operation(
    title="Resize",
    forms="`interpolate`, bilinear with `align_corners` or without, or nearest, to any size; also what pads, crops and "
    "pools are made of",
    widths="INT8, UINT4 or TABLE4 into any; rounded once an axis",
    mapping="one axis after the other. Output positions that repeat with a period of at most 8 are one elementwise job "
    "for each place in it; others are a job a row or column, each with its own factors in a microword of its own",
    limits="not of attention's sequences",
    cost="ceil(channels / C) cycles of the VPU a pixel of each of the two maps made; a microword is loaded for each "
    "pair of factors",
    example=example,
    aten={
        aten.upsample_bilinear2d.vec: bilinear,
        aten.upsample_nearest2d.vec: nearest,
    },
    floats=(Resample,),
    integers=(QResample,),
)
