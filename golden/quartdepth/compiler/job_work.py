"""Jobs as work: the pieces that a tile touches, and its MATMULs and VECTORs in portions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import PARAM_BYTES, ActFormat, Format, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter, View
from triptych.golden.quartdepth.compiler.estimate import LOADING, TILE
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey, Rect, Tile, even_block
from triptych.golden.quartdepth.compiler.groups import make_groups
from triptych.golden.quartdepth.compiler.jobs import Job, Walk
from triptych.golden.quartdepth.compiler.lowering import Lowerable
from triptych.golden.quartdepth.compiler.microcode import Program
from triptych.golden.quartdepth.compiler.pack import elements_of_words, elements_per_step, paired
from triptych.golden.quartdepth.compiler.places import Place
from triptych.golden.quartdepth.compiler.work import AtHand, Group, Pair, PieceTable, Work

STRETCH = 2.25  # of what a portion should take where its blocks then are longer
ACT_FORMATS = {Format.INT8: ActFormat.INT8, Format.UINT4: ActFormat.UINT4, Format.TABLE4: ActFormat.TABLE4}


@dataclass(frozen=True, eq=False)
class JobWork(Work):
    """A layer that is jobs. Raises CompileError for a job beyond the chip's fields."""

    layer: Lowerable
    jobs: list[Job]
    _pieces: dict[Tile, dict[PieceKey, Piece]] = field(default_factory=dict)  # of the tiles asked about

    def __post_init__(self) -> None:
        for job in self.jobs:
            job.check(self.layer.name)

    @property
    def grid(self) -> Pair:
        return max(j.grid[0] for j in self.jobs), max(j.grid[1] for j in self.jobs)

    @property
    def overlap(self) -> int:
        return max(j.kernel[0] - j.stride[0] for j in self.jobs)

    def groups(self, config: ChipConfig, group_bytes: int, least_bytes: int) -> list[Group]:
        factors = self.layer.factors
        if factors is None:
            return []
        return make_groups(self.layer.name, factors, self.jobs, config, group_bytes, least_bytes)

    def pieces(self, tile: Tile) -> dict[PieceKey, Piece]:
        if tile not in self._pieces:
            self._pieces[tile] = self._of_tile(tile)
        return self._pieces[tile]

    def _of_tile(self, tile: Tile) -> dict[PieceKey, Piece]:
        table = PieceTable({})
        for job in self.jobs:
            points = job.clip(tile)
            if points is None:
                continue
            last = (points.y1 - 1, points.x1 - 1)
            first = (points.y0, points.x0)
            table.add("in", job.in_piece, Piece(job.source.place, job.input_rect(points)))
            if job.neighbour is not None:
                table.add("in", job.in_piece, Piece(job.source.place, Rect(*job.neighbour.cells(first, last))))
            table.add("out", job.out_piece, Piece(job.output.place, Rect(*job.output.cells(first, last))))
            if job.residual is not None:
                table.add("res", job.out_piece, Piece(job.residual.place, Rect(*job.residual.cells(first, last))))
        return table.pieces

    def emit(self, emitter: Emitter, tile: Tile, at_hand: AtHand) -> None:
        programs: dict[int, Program] = {}
        for index, portion in self._parts(tile, at_hand.group, at_hand.cycles, emitter.config):
            if index not in programs:
                programs[index] = self.layer.program_of(index, at_hand.maps, at_hand.slots)
            _emit_job(emitter, programs[index], self.jobs[index], index, portion, at_hand)

    def least_vectors(self, tile: Tile, group: Group | None, cycles: int, config: ChipConfig) -> int:
        return sum(1 for _ in self._parts(tile, group, cycles, config))

    def _parts(self, tile: Tile, group: Group | None, cycles: int, config: ChipConfig) -> Iterator[tuple[int, Portion]]:
        """Jobs by number, and what one instruction of each computes, in order."""
        # a layer that leads has parameters, but no products whose blocks it would have to keep to
        fine = group is None or self.layer.leads
        together = [[n] for n in range(len(self.jobs))] if self._thin else [list(range(len(self.jobs)))]
        for indices in together:
            jobs = [self.jobs[n] for n in indices]
            part = jobs[0].clip(tile) if self._thin else tile
            if part is None:
                continue
            for portion in portions(jobs, part, group, cycles, config, fine):
                for index, job in zip(indices, jobs, strict=True):
                    points = job.clip(portion.points)
                    if points is not None:
                        yield index, portion._replace(points=points)

    def keeps_vpu(self, config: ChipConfig) -> bool:
        group = config.cols // config.full_lanes  # cycles that the VPU takes for one of columns
        return all(job.weights is not None and _cost(job, config)[1] < group for job in self.jobs)

    @cached_property
    def _thin(self) -> bool:
        """No job makes as much as half of the grid: single rows or columns, which portions of the whole grid would cut
        into pixels."""
        points = self.grid[0] * self.grid[1]
        areas = [(j.grid[0] - j.first[0]) * (j.grid[1] - j.first[1]) for j in self.jobs]
        return all(j.weights is None for j in self.jobs) and 2 * max(areas) < points


class Portion(NamedTuple):
    """Grid points of a step, and output elements [first, last): what one instruction of each job computes.

    clear: there is no channel among the elements, and they must be zero.
    """

    points: Tile
    first: int
    last: int
    clear: bool = False


def _cost(job: Job, config: ChipConfig) -> Pair:
    """Output channels of a unit, and cycles that a pixel takes in it."""
    if job.weights is None:
        return config.cols, job.words
    if job.weights.depthwise:
        return 2 * config.depth, 6 * job.stride[1]
    place = job.source.place
    width = elements_per_step(place.qparams.format, config)
    cycles = job.kernel[0] * job.kernel[1] * (2 if job.weights.format is WeightFormat.INT8 else 1)
    if job.weights.banded:
        band = elements_of_words(place.qparams.format, config)
        return band, cycles * (band // width) * -(-band // config.cols)
    return config.cols, cycles * -(-place.elements // width)


def _load_time(job: Job, config: ChipConfig) -> float:
    """Pixels that a block should have at least: the cycles that the next tile of weights takes, over those that a pixel
    takes of this one."""
    weights = job.weights
    if weights is None or weights.depthwise:
        return 0.0
    fmt = job.source.place.qparams.format
    passes = 2 if weights.format is WeightFormat.INT8 or paired(fmt, weights.format) else 1
    return (config.cols * LOADING + TILE) / passes


def _best_cut(height: int, width: int, most: int, load: float, config: ChipConfig) -> Pair:
    """Rows and columns of portions of about `most` pixels, or up to twice as many, of which the blocks take the least
    time."""

    def time(pixels: int) -> float:
        block = even_block(pixels, config.rows)
        full, rest = divmod(pixels, block)
        return full * max(block, load) + (max(rest, load) if rest else 0)

    def total(rows: int, cols: int) -> float:
        (down, below), (across, beside) = divmod(height, rows), divmod(width, cols)
        return sum(
            count * time(points)
            for count, points in (
                (down * across, rows * cols), (across, below * cols), (down, rows * beside), (1, below * beside)
            ) if count and points
        )  # fmt: skip

    limit = int(STRETCH * most)
    cuts = [(rows, width) for rows in range(1, max(min(limit // width, height), 1) + 1)]
    cuts += [(1, even_block(width, parts)) for parts in range(config.rows, min(width, limit), config.rows)]
    fitting = [cut for cut in cuts if cut[0] * cut[1] <= limit] or [(1, even_block(width, most))]
    return min(fitting, key=lambda cut: (total(*cut), abs(cut[0] * cut[1] - most)))


def portions(
    jobs: list[Job], tile: Tile, group: Group | None, cycles: int, config: ChipConfig, fine: bool
) -> Iterator[Portion]:
    """Parts of a tile that take about `cycles` cycles of an engine, whole blocks of pixels, unless they are `fine`,
    where there are so many."""
    heavy = max(jobs, key=lambda j: j.kernel[0] * j.kernel[1])
    first, last = (0, heavy.output.place.elements) if group is None else (group.first, group.last)
    lanes, pixel = _cost(heavy, config)
    units = -(-(last - first) // lanes)
    height, width = tile.y1 - tile.y0, tile.x1 - tile.x0
    most = max(cycles // (pixel * units), 1)  # pixels
    if fine:
        rows = even_block(height, min(height, max(most // width, 1)))
        width = even_block(width, most)
    else:
        # whole blocks: accumulators must last while the VPU does something else
        most = max(most // config.rows, 1) * config.rows
        rows, width = _best_cut(height, width, most, _load_time(heavy, config), config)
        units = min(units, max(cycles // (pixel * width * rows), 1))
    if heavy.weights is not None and heavy.weights.banded:
        units = 1  # what one step reads
    ranges = list(_runs(heavy.output.place, first, last, lanes))
    for y in range(tile.y0, tile.y1, rows):
        for x in range(tile.x0, tile.x1, width):
            points = Tile(y, min(y + rows, tile.y1), x, min(x + width, tile.x1))
            for low, high, clear in ranges:
                for start in range(low, high, units * lanes):
                    yield Portion(points, start, min(start + units * lanes, high), clear)


def _runs(place: Place, first: int, last: int, lanes: int) -> Iterator[tuple[int, int, bool]]:
    """Ranges of output elements, in units of `lanes`, that hold channels; between them, where they must be zero, those
    that hold none (True)."""
    used = np.zeros(-(-(last - first) // lanes), dtype=bool)
    inside = (place.positions >= first) & (place.positions < last)
    used[(place.positions[inside] - first) // lanes] = True
    edges = [0, *(np.flatnonzero(np.diff(used)) + 1).tolist(), len(used)]
    for low, high in pairwise(edges):
        if used[low] or place.clear:
            yield first + low * lanes, min(first + high * lanes, last), not used[low]


def _emit_job(
    emitter: Emitter, program: microcode.Program, job: Job, index: int, portion: Portion, at_hand: AtHand
) -> None:
    config, points, views = emitter.config, portion.points, at_hand.views
    vector = {"h": points.y1 - points.y0, "w": points.x1 - points.x0, "n": portion.last - portion.first}
    depthwise = job.weights is not None and job.weights.depthwise
    rows = config.rows * config.cols // config.depth if depthwise else config.rows
    vector["block"] = even_block(vector["h"] * vector["w"], rows)
    vector |= _stream("d", views[PieceKey("out", job.out_piece)], job.output, points, portion.first)
    if job.residual is not None:
        vector |= _stream("b", views[PieceKey("res", job.out_piece)], job.residual, points, portion.first)
    source = views[PieceKey("in", job.in_piece)]
    if job.neighbour is not None:
        vector |= _stream("b", source, job.neighbour, points, portion.first)
    if portion.clear:
        vector |= {f"a{field[1:]}": value for field, value in vector.items() if field in ("d", "d_row", "d_pix")}
        emitter.compute(microcode.clear(job.output.place.qparams), None, vector)
        return
    group = at_hand.group
    if group is not None:
        vector["param"] = at_hand.block + group.params[index] + (portion.first - group.first) * PARAM_BYTES
    if job.weights is None:
        vector |= _stream("a", source, job.source, points, portion.first)
        emitter.compute(program, None, vector)
        return
    assert group is not None
    matmul = _matmul(config, job, portion, source)
    tile = config.cols * config.depth
    ahead = (portion.first - group.first) // (config.depth if depthwise else config.cols)
    matmul["wgt"] = at_hand.block + group.weights[index] + ahead * (tile if depthwise else matmul["wgt_n"])
    matmul["block"], matmul["code_table"] = vector["block"], at_hand.slots.get(job.source.place.fmap, 0)
    emitter.compute(program, matmul, vector)


def _stream(which: str, view: View, walk: Walk, points: Tile, first: int) -> dict[str, int]:
    """Address and steps of a VPU stream from element `first` on."""
    return {
        which: view.address(*walk.cell((points.y0, points.x0))) + walk.place.element_bytes(first),
        f"{which}_row": _row_pitch(view, walk),
        f"{which}_pix": view.cell * walk.step[1],
    }


def _row_pitch(view: View, walk: Walk) -> int:
    """Bytes from grid row to grid row."""
    return view.pitch * walk.step[0] + view.cell * walk.down


def _matmul(config: ChipConfig, job: Job, portion: Portion, source: View) -> dict[str, int]:
    """Fields of a MATMUL but for `wgt`, `block` and `code_table`."""
    depth, cols, points = config.depth, config.cols, portion.points
    place, qparams = job.source.place, job.source.place.qparams
    count = portion.last - portion.first
    start, last_elems, tiles = 0, depth, 1
    weights = job.weights
    assert weights is not None
    if weights.depthwise:
        chunks = -(-count // depth)
        start = place.element_bytes(portion.first)
    else:
        width = elements_per_step(qparams.format, config)
        first, elements = 0, place.elements
        if weights.banded:
            elements = elements_of_words(qparams.format, config)  # behind the last channel weights are zero
            first = portion.first // elements * elements
        start, chunks = place.element_bytes(first), -(-elements // width)
        rest = elements - (chunks - 1) * width
        last_elems = rest if qparams.format is Format.INT8 else -(-rest // 2)
        steps = job.kernel[0] * job.kernel[1] * chunks
        tiles = -(-steps // 2) if paired(qparams.format, weights.format) else steps
    spans = [job.input_span(axis, points[2 * axis], points[2 * axis + 1]) for axis in range(2)]
    pads = [max(0, job.pad[a] - points[2 * a] * job.stride[a]) for a in range(2)]
    return dict(
        act_format=ACT_FORMATS[qparams.format],
        weight_format=weights.format,
        depthwise=int(weights.depthwise),
        pad_value=qparams.pad & 0xFF,
        act=source.address(*job.source.cell((spans[0][0], spans[1][0]))) + start,
        act_row=_row_pitch(source, job.source),
        act_pix=source.cell * job.source.step[1],
        in_h=spans[0][1] - spans[0][0],
        in_w=spans[1][1] - spans[1][0],
        pad_top=pads[0],
        pad_left=pads[1],
        kernel_h=job.kernel[0],
        kernel_w=job.kernel[1],
        stride_y=job.stride[0],
        stride_x=job.stride[1],
        chunks=chunks,
        last_elems=last_elems,
        out_h=points.y1 - points.y0,
        out_w=points.x1 - points.x0,
        n=count,
        wgt_n=tiles * cols * depth,
        wgt_t=cols * depth,
        wgt_c=depth,
    )
