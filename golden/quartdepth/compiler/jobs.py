"""Layers as jobs: one affine walk over input and output cells each.

A convolution is one job. A transposed one of stride s is s x s jobs, one for each parity of output rows and columns,
doubling one for each side and one for each edge, and a layer that reads or makes sequences one for each position of the
patch. What the walk does, the engines' address generators do; nothing is moved to make it possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.isa import Format, WeightFormat
from triptych.golden.quartdepth.compiler.geometry import Rect, Tile
from triptych.golden.quartdepth.compiler.lowering import Layout
from triptych.golden.quartdepth.compiler.places import CompileError, Place

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Walk:
    """Cell (origin + step * (y, x)) of a place's storage for grid point (y, x); `dims` points exist.

    down: columns to go right, besides, from grid row to grid row: a map whose rows lie one behind the other in one row
    of the storage.
    """

    place: Place
    origin: Pair
    step: Pair
    dims: Pair
    down: int = 0

    def cell(self, point: Pair) -> Pair:
        """Row and column of the storage that hold a grid point."""
        (y, x), (top, left), (down, right) = point, self.origin, self.step
        return top + down * y, left + right * x + self.down * y

    def cells(self, first: Pair, last: Pair) -> tuple[int, int, int, int]:
        """Rows and columns (half open) of the storage that hold grid points first..last, both included."""
        (r0, c0), (r1, c1) = self.cell(first), self.cell(last)
        return r0, r1 + 1, c0, c1 + 1


@dataclass(frozen=True)
class Weights:
    """What the array multiplies by. values: int8 [channels, taps, inputs], by place. format: that of the layer's
    weights. depthwise: the mode in which a column is a channel, 3x3 taps. banded: inputs are those of the words that
    the output's elements would lie in."""

    values: NDArray[np.int8]
    format: WeightFormat
    depthwise: bool = False
    banded: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """Output points first..grid - 1; point (y, x) reads input points (y*sy + ky - top, x*sx + kx - left).

    neighbour: the second operand of an elementwise layer, in the map of the first. weights: None for an elementwise
    layer. bias: [channels] int64, added to accumulators (zero point folded) or elements, where there are parameters.
    words: microwords that go over the channels. piece: which rectangle of input and output cells the job's share of a
    tile belongs to (jobs of one piece share it).
    """

    source: Walk
    output: Walk
    residual: Walk | None
    grid: Pair
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    weights: Weights | None = None
    bias: NDArray[np.int64] | None = None
    in_piece: int = 0
    out_piece: int = 0
    first: Pair = (0, 0)
    neighbour: Walk | None = None
    words: int = 1

    def check(self, layer: str) -> None:
        """Raises CompileError for what is beyond the chip's fields."""
        for what, values, top in (("kernel", self.kernel, 15), ("stride", self.stride, 7), ("padding", self.pad, 15)):
            if max(values) > top:
                raise CompileError(f"'{layer}': {what} {max(values)} exceeds the chip's {top}")
        for walk in (self.source, self.output):
            if max(walk.place.storage.rows, walk.place.storage.cols) >= 1 << 16:
                raise CompileError(f"'{layer}': maps can have at most 65535 rows and columns")
        wide = self.weights is not None and self.weights.format is WeightFormat.INT8
        if wide and self.source.place.qparams.format is not Format.INT8:
            raise CompileError(f"'{layer}': int8 weights cannot read 4-bit codes: give its input eight bits")
        if self.output.place.elements >= 1 << 13:
            raise CompileError(f"'{layer}': {self.output.place.elements} output channels exceed the chip's 8191")

    def clip(self, tile: Tile) -> Tile | None:
        """The tile's grid points that the job has."""
        y0, x0 = max(tile.y0, self.first[0]), max(tile.x0, self.first[1])
        y1, x1 = min(tile.y1, self.grid[0]), min(tile.x1, self.grid[1])
        return Tile(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def input_span(self, axis: int, first: int, last: int) -> tuple[int, int]:
        """Input rows (axis 0) or columns [lo, hi) that exist and that output points first..last - 1 read."""
        stride, pad, kernel, size = self.stride[axis], self.pad[axis], self.kernel[axis], self.source.dims[axis]
        lo = max(first * stride - pad, 0)
        hi = min((last - 1) * stride - pad + kernel, size)
        if lo >= hi:
            raise CompileError(f"a tile of '{self.output.place.fmap}' reads padding alone")
        return lo, hi

    def input_rect(self, points: Tile) -> Rect:
        """Cells that the grid points read."""
        y0, y1 = self.input_span(0, points.y0, points.y1)
        x0, x1 = self.input_span(1, points.x0, points.x1)
        return Rect(*self.source.cells((y0, x0), (y1 - 1, x1 - 1)))


def expand(weight: NDArray[np.int8], source: Place, output: Place) -> NDArray[np.int8]:
    """[o, i, kh, kw] by channel -> [elements, taps, elements] by place, zero in gaps."""
    o, i, kh, kw = weight.shape
    out = np.zeros((output.elements, kh * kw, source.elements), dtype=np.int8)
    by_tap = weight.transpose(0, 2, 3, 1).reshape(o, kh * kw, i)
    out[np.ix_(output.positions, np.arange(kh * kw), source.positions)] = by_tap
    return out


def spread(values: NDArray[np.generic], output: Place) -> NDArray[np.int64]:
    """Values by channel -> by element, zero in gaps."""
    out = np.zeros(output.elements, dtype=np.int64)
    out[output.positions] = values
    return out


def folded_bias(
    bias: NDArray[np.int32], source: Place, weight: NDArray[np.int8], axes: tuple[int, ...]
) -> NDArray[np.int64]:
    """The bias for accumulators that sum codes instead of codes minus the zero point. axes: of the weight, but for
    that of the outputs."""
    return bias.astype(np.int64) - source.qparams.zero * weight.astype(np.int64).sum(axes)


def alike(layer: str, layout: Layout, output: Place, *sources: str) -> list[Place]:
    """The places of elementwise operands, which lie in their cells as the result does. Raises CompileError."""
    places = [layout.places[name] for name in sources]
    for place in places:
        if not np.array_equal(place.positions, output.positions):
            raise CompileError(f"'{layer}': its input lies in cells with gaps; put a convolution between them")
        if place.patch != output.patch:
            raise CompileError(f"'{layer}': sequences of attention can only pass through linear layers")
    return places


def elementwise(
    output: Place, source: Place, other: Place | None = None, bias: NDArray[np.int64] | None = None, words: int = 1
) -> list[Job]:
    """One job: every cell of the result from the same cell of one or two operands."""
    grid = (output.storage.rows, output.storage.cols)
    walks = [Walk(place, (0, 0), (1, 1), grid) for place in (source, output)]
    second = None if other is None else Walk(other, (0, 0), (1, 1), grid)
    return [Job(walks[0], walks[1], second, grid, bias=bias, words=words)]
