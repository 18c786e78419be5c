"""Layers as steps: jobs, packed weights in groups of output channels, tiles, and the rectangles that a tile touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format, WeightFormat
from triptych.golden.quartdepth.compiler import pack
from triptych.golden.quartdepth.compiler.jobs import Job, Walk, jobs_of
from triptych.golden.quartdepth.compiler.layout import CompileError, Layout, Place
from triptych.golden.quartdepth.network.network import Attend, Convolution, Join, Layer, Polish


class Rect(NamedTuple):
    """Cells [r0, r1) x [c0, c1) of a storage."""

    r0: int
    r1: int
    c0: int
    c1: int

    def join(self, other: Rect) -> Rect:
        """The smallest rectangle around both."""
        return Rect(min(self.r0, other.r0), max(self.r1, other.r1), min(self.c0, other.c0), max(self.c1, other.c1))

    @property
    def area(self) -> int:
        """Cells."""
        return (self.r1 - self.r0) * (self.c1 - self.c0)


class Tile(NamedTuple):
    """Grid points [y0, y1) x [x0, x1) of every job of a step; attention: sequences [y0, y1), of each the queries in
    token rows [x0, x1), or the queries [x0, x1) where a sequence is one row."""

    y0: int
    y1: int
    x0: int
    x1: int


class PieceKey(NamedTuple):
    """Which operand of a step: its role ("in", "res", "out", "query", ...) and the piece of it."""

    role: str
    piece: int


@dataclass(frozen=True)
class Piece:
    """A rectangle of a place that a tile reads or writes."""

    place: Place
    rect: Rect


@dataclass(frozen=True)
class Group:
    """Output elements [first, last) of all jobs: their weights and parameters, as one block of bytes.

    weights, params: by job, bytes from the start of the block.
    """

    first: int
    last: int
    data: bytes
    weights: tuple[int, ...]
    params: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """A layer that does something; `index` is its place among them. sequences: of attention, their number and the rows
    of each; tokens: of a sequence."""

    index: int
    layer: Layer
    jobs: list[Job]
    groups: list[Group]
    sequences: tuple[int, int] = (0, 0)
    tokens: int = 0

    @property
    def grid(self) -> tuple[int, int]:
        """The largest grid of the jobs; attention: what a `Tile` counts."""
        if isinstance(self.layer, Attend):
            return self.sequences[0], self.tokens if self.sequences[1] == 1 else self.sequences[1]
        return max(j.grid[0] for j in self.jobs), max(j.grid[1] for j in self.jobs)

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest group."""
        return max((len(g.data) for g in self.groups), default=0)

    def pieces(self, tile: Tile, layout: Layout) -> dict[PieceKey, Piece]:
        """What the tile reads and writes."""
        out: dict[PieceKey, Piece] = {}

        def add(role: str, piece: int, place: Place, rect: Rect) -> None:
            key = PieceKey(role, piece)
            out[key] = Piece(place, rect.join(out[key].rect) if key in out else rect)

        if isinstance(self.layer, Attend):
            names = {"query": self.layer.query, "key": self.layer.key, "value": self.layer.value}
            rows = self.sequences[1]
            for role, name in (*names.items(), ("out", self.layer.name)):
                place = layout.places[name]
                rect = Rect(tile.y0 * rows, tile.y1 * rows, 0, place.storage.cols)
                if role not in ("key", "value"):
                    top, bottom = tile.y0 * rows + tile.x0, (tile.y1 - 1) * rows + tile.x1
                    rect = Rect(tile.y0, tile.y1, tile.x0, tile.x1) if rows == 1 else rect._replace(r0=top, r1=bottom)
                add(role, 0, place, rect)
            return out
        for job in self.jobs:
            points = clip(job, tile)
            if points is None:
                continue
            last = (points.y1 - 1, points.x1 - 1)
            first = (points.y0, points.x0)
            add("in", job.in_piece, job.source.place, input_rect(job, points))
            if job.neighbour is not None:
                add("in", job.in_piece, job.source.place, Rect(*job.neighbour.cells(first, last)))
            add("out", job.out_piece, job.output.place, Rect(*job.output.cells(first, last)))
            if job.residual is not None:
                add("res", job.out_piece, job.residual.place, Rect(*job.residual.cells(first, last)))
        return out


def clip(job: Job, tile: Tile) -> Tile | None:
    """The tile's grid points that the job has."""
    y0, x0 = max(tile.y0, job.first[0]), max(tile.x0, job.first[1])
    y1, x1 = min(tile.y1, job.grid[0]), min(tile.x1, job.grid[1])
    return Tile(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None


def input_span(job: Job, axis: int, first: int, last: int) -> tuple[int, int]:
    """Input rows (axis 0) or columns [lo, hi) that exist and that output points first..last - 1 read."""
    stride, pad, kernel, size = job.stride[axis], job.pad[axis], job.kernel[axis], job.source.dims[axis]
    lo = max(first * stride - pad, 0)
    hi = min((last - 1) * stride - pad + kernel, size)
    if lo >= hi:
        raise CompileError(f"a tile of '{job.output.place.picture}' reads padding alone")
    return lo, hi


def input_rect(job: Job, points: Tile) -> Rect:
    """Cells that the grid points read."""
    y0, y1 = input_span(job, 0, points.y0, points.y1)
    x0, x1 = input_span(job, 1, points.x0, points.x1)
    return Rect(*job.source.cells((y0, x0), (y1 - 1, x1 - 1)))


def make_steps(layout: Layout, config: ChipConfig, group_bytes: int, least_bytes: int) -> list[Step]:
    """Steps of all layers; weights are split into groups of at most `group_bytes`, or of one column tile if that takes
    no more than `least_bytes`. Raises CompileError for layers beyond the chip's fields or memory."""
    steps: list[Step] = []
    for layer in layout.network.layers:
        if isinstance(layer, Join):
            continue
        for source in layer.sources:
            if layout.places[source].code.format is Format.INT16:
                raise CompileError(f"'{layer.name}' reads '{source}': INT16 is for the output alone")
        jobs = [] if isinstance(layer, Attend) else jobs_of(layer, layout)
        for job in jobs:
            _check(layer, job)
        groups: list[Group] = []
        if isinstance(layer, Convolution | Polish):
            groups = _groups(layer, jobs, layout, config, group_bytes, least_bytes)
        sequences, tokens = (0, 0), 0
        if isinstance(layer, Attend):
            count, storage = layer.patch[0] * layer.patch[1], layout.places[layer.query].storage
            sequences, tokens = (count, storage.rows // count), storage.rows // count * storage.cols
        steps.append(Step(len(steps), layer, jobs, groups, sequences, tokens))
    return steps


def _check(layer: Layer, job: Job) -> None:
    for what, values, top in (("kernel", job.kernel, 15), ("stride", job.stride, 7), ("padding", job.pad, 15)):
        if max(values) > top:
            raise CompileError(f"'{layer.name}': {what} {max(values)} exceeds the chip's {top}")
    for walk in (job.source, job.output):
        if max(walk.place.storage.rows, walk.place.storage.cols) >= 1 << 16:
            raise CompileError(f"'{layer.name}': pictures can have at most 65535 rows and columns")
    wide = isinstance(layer, Convolution) and pack.weight_format(layer.weight) is WeightFormat.INT8
    if wide and job.source.place.code.format is Format.UINT4:
        raise CompileError(f"'{layer.name}': int8 weights cannot read UINT4 codes: give its input a code table")
    if job.output.place.elements >= 1 << 13:
        raise CompileError(f"'{layer.name}': {job.output.place.elements} output channels exceed the chip's 8191")


def _groups(
    layer: Convolution | Polish, jobs: list[Job], layout: Layout, config: ChipConfig, group_bytes: int, least_bytes: int
) -> list[Group]:
    elements = jobs[0].output.place.elements
    fmt = jobs[0].source.place.code.format
    unit = config.cols
    if isinstance(layer, Convolution) and layer.depthwise:
        # a depthwise group reads whole words of input, and a word may hold two groups of D codes
        unit = config.depth * (1 if fmt is Format.INT8 else 2)
    units = -(-elements // unit)
    multiplier = np.zeros(elements, dtype=np.int64)
    shift = np.zeros(elements, dtype=np.int64)
    positions = jobs[0].output.place.positions
    count = jobs[0].output.place.fold
    multiplier[positions], shift[positions] = np.tile(layer.multiplier, count), np.tile(layer.shift, count)
    scales = (multiplier, shift, layout.places[layer.name].code.zero)
    # count first, pack once: every unit of channels takes the same number of bytes
    size = len(_group(layer, jobs, fmt, config, 0, min(unit, elements), scales).data)
    if size > least_bytes:
        raise CompileError(
            f"'{layer.name}': the weights of {unit} output channels take {size} bytes; "
            f"'{config.name}' has room for {least_bytes}"
        )
    each = max(1, group_bytes // size)
    count = -(-units // each)
    each = -(-units // count) * unit
    return [
        _group(layer, jobs, fmt, config, first, min(first + each, elements), scales)
        for first in range(0, elements, each)
    ]


def _group(
    layer: Convolution | Polish, jobs: list[Job], fmt: Format, config: ChipConfig, first: int, last: int,
    scales: tuple[np.ndarray, np.ndarray, int],
) -> Group:  # fmt: skip
    """Weights and parameters of one range of output elements; an elementwise layer has parameters alone."""
    multiplier, shift, zero = scales
    data = bytearray()
    weights: list[int] = []
    params: list[int] = []
    known: dict[int, tuple[int, int]] = {}
    for job in jobs:
        assert job.bias is not None
        if id(job.weight) not in known:
            at = len(data)
            if isinstance(layer, Convolution):
                assert job.weight is not None
                part = job.weight[first:last]
                if layer.depthwise:
                    data += pack.depthwise_weights(part, config)
                else:
                    data += pack.dense_weights(part, fmt, pack.weight_format(layer.weight), config)
            place = len(data)
            record = slice(first, last)
            data += pack.parameters(job.bias[record], multiplier[record], shift[record], zero, config)
            data += bytes(-len(data) % config.depth)
            known[id(job.weight)] = (at, place)
        at, place = known[id(job.weight)]
        weights.append(at)
        params.append(place)
    return Group(first, last, bytes(data), tuple(weights), tuple(params))


__all__ = ["Group", "Piece", "PieceKey", "Rect", "Step", "Tile", "Walk", "clip", "input_span", "make_steps"]
