"""Instructions of convolutions and elementwise layers: portions of a tile, and the fields of MATMUL and VECTOR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import PARAM_BYTES, ActFormat, Format, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter, View
from triptych.golden.quartdepth.compiler.jobs import Job, Walk
from triptych.golden.quartdepth.compiler.layout import Place
from triptych.golden.quartdepth.compiler.microcode import Program, Slots
from triptych.golden.quartdepth.compiler.pack import elements_per_step, paired, weight_format
from triptych.golden.quartdepth.compiler.steps import Group, PieceKey, Step, Tile, clip, input_span
from triptych.golden.quartdepth.network.network import Convolution, Double, Layer, Network, Normalise, Polish, Rescale

ACT_FORMATS = {Format.INT8: ActFormat.INT8, Format.UINT4: ActFormat.UINT4, Format.TABLE4: ActFormat.TABLE4}


@dataclass(frozen=True)
class Portion:
    """Grid points of a step, and output elements [first, last): what one instruction of each job computes.

    clear: there is no channel among the elements, and they must be zero.
    """

    points: Tile
    first: int
    last: int
    clear: bool = False


def portions(step: Step, tile: Tile, group: Group | None, cycles: int, config: ChipConfig) -> Iterator[Portion]:
    """Parts of a tile that take about `cycles` cycles of an engine, whole blocks of pixels where there are so many."""
    layer = step.layer
    heavy = max(step.jobs, key=lambda j: j.kernel[0] * j.kernel[1])
    first, last = (0, heavy.output.place.elements) if group is None else (group.first, group.last)
    lanes, pixel = config.cols, 1  # a unit of channels, and a pixel's cycles in it
    if isinstance(layer, Normalise):
        pixel = 3
    elif isinstance(layer, Convolution) and layer.depthwise:
        lanes, pixel = 2 * config.depth, 6 * layer.stride[1]
    elif isinstance(layer, Convolution):
        inputs = heavy.source.place.elements
        steps = -(-inputs // elements_per_step(heavy.source.place.code.format, config))
        passes = 2 if weight_format(layer.weight) is WeightFormat.INT8 else 1
        pixel = heavy.kernel[0] * heavy.kernel[1] * steps * passes
    units = -(-(last - first) // lanes)
    height, width = tile.y1 - tile.y0, tile.x1 - tile.x0
    most = max(cycles // (pixel * units), 1)  # pixels
    if group is not None:  # whole blocks: accumulators must last while the VPU does something else
        most = max(most // config.rows, 1) * config.rows
    rows = min(height, max(most // width, 1))
    width = -(-width // -(-width // most))
    if group is not None:
        units = min(units, max(cycles // (pixel * width * rows), 1))
    for y in range(tile.y0, tile.y1, rows):
        for x in range(tile.x0, tile.x1, width):
            points = Tile(y, min(y + rows, tile.y1), x, min(x + width, tile.x1))
            for low, high, clear in _runs(heavy.output.place, first, last, lanes):
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


@dataclass(frozen=True)
class Operands:
    """What the jobs of a tile work on. block: address of the weight group. slots: of code tables."""

    views: dict[PieceKey, View]
    group: Group | None
    block: int
    slots: Slots


def emit_portion(emitter: Emitter, step: Step, portion: Portion, operands: Operands) -> None:
    """A portion of every job of the step."""
    for index, job in enumerate(step.jobs):
        points = clip(job, portion.points)
        if points is not None:
            _emit_job(emitter, step.layer, job, index, replace(portion, points=points), operands)


def _emit_job(emitter: Emitter, layer: Layer, job: Job, index: int, portion: Portion, operands: Operands) -> None:
    config, network = emitter.config, emitter.plan.layout.network
    points, views = portion.points, operands.views
    vector = {"h": points.y1 - points.y0, "w": points.x1 - points.x0, "n": portion.last - portion.first}
    vector["block"] = config.rows
    vector |= _stream("d", views[PieceKey("out", job.out_piece)], job.output, points, portion.first)
    if job.residual is not None:
        vector |= _stream("b", views[PieceKey("res", job.out_piece)], job.residual, points, portion.first)
    source = views[PieceKey("in", job.in_piece)]
    if job.neighbour is not None:
        vector |= _stream("b", source, job.neighbour, points, portion.first)
    if portion.clear:
        vector |= {f"a{field[1:]}": value for field, value in vector.items() if field in ("d", "d_row", "d_pix")}
        emitter.compute(microcode.clear(), None, vector)
        return
    group = operands.group
    if group is not None:
        vector["param"] = operands.block + group.params[index] + (portion.first - group.first) * PARAM_BYTES
    if isinstance(layer, Convolution):
        assert group is not None
        if layer.depthwise:
            vector["block"] = config.rows * config.cols // config.depth
        matmul = _matmul(config, layer, job, portion, source)
        tile = config.cols * config.depth
        ahead = (portion.first - group.first) // (config.depth if layer.depthwise else config.cols)
        matmul["wgt"] = operands.block + group.weights[index] + ahead * (tile if layer.depthwise else matmul["wgt_n"])
        matmul["block"], matmul["code_table"] = vector["block"], operands.slots.get(layer.source, 0)
        emitter.compute(microcode.convolution(layer, network, operands.slots), matmul, vector)
        return
    vector |= _stream("a", source, job.source, points, portion.first)
    emitter.compute(_elementwise(layer, network, operands.slots), None, vector)


def _elementwise(layer: Layer, network: Network, slots: Slots) -> Program:
    match layer:
        case Rescale():
            return microcode.rescale(layer, network, slots)
        case Polish():
            return microcode.polish(layer, network, slots)
        case Double():
            return microcode.double(layer, network, slots)
    assert isinstance(layer, Normalise)
    return microcode.normalise(layer, network, slots)


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


def _matmul(config: ChipConfig, layer: Convolution, job: Job, portion: Portion, source: View) -> dict[str, int]:
    """Fields of a MATMUL but for `wgt`, `block` and `code_table`."""
    depth, cols, points = config.depth, config.cols, portion.points
    place, code = job.source.place, job.source.place.code
    count = portion.last - portion.first
    start, last_elems, tiles = 0, depth, 1
    weights = weight_format(layer.weight)
    if layer.depthwise:
        chunks = -(-count // depth)
        start = place.element_bytes(portion.first)
    else:
        width = elements_per_step(code.format, config)
        chunks = -(-place.elements // width)
        rest = place.elements - (chunks - 1) * width
        last_elems = -(-rest // 2) if code.format is Format.UINT4 else rest
        steps = job.kernel[0] * job.kernel[1] * chunks
        tiles = -(-steps // 2) if paired(code.format, weights) else steps
    spans = [input_span(job, axis, points[2 * axis], points[2 * axis + 1]) for axis in range(2)]
    pads = [max(0, job.pad[a] - points[2 * a] * job.stride[a]) for a in range(2)]
    return dict(
        act_format=ACT_FORMATS[code.format],
        weight_format=weights,
        depthwise=int(layer.depthwise),
        pad_value=code.pad * 17 if code.format is Format.UINT4 else code.pad & 0xFF,
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
