"""Layers as jobs: one affine walk over input and output cells each.

A convolution is one job. A transposed one of stride s is s x s jobs, one for each parity of output rows and columns,
doubling one for each side and one for each edge, and a layer that reads or makes sequences one for each position of the
patch. What the walk does, the engines' address generators do; nothing is moved to make it possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.compiler.fold import Fold
from triptych.golden.quartdepth.compiler.layout import CompileError, Layout, Place, Storage
from triptych.golden.quartdepth.network.layers import Regrid
from triptych.golden.quartdepth.network.network import Convolution, Double, Layer, Normalise, Polish, Rescale

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
        row, col = (o + s * p for o, s, p in zip(self.origin, self.step, point, strict=True))
        return row, col + self.down * point[0]

    def cells(self, first: Pair, last: Pair) -> tuple[int, int, int, int]:
        """Rows and columns (half open) of the storage that hold grid points first..last, both included."""
        (r0, c0), (r1, c1) = self.cell(first), self.cell(last)
        return r0, r1 + 1, c0, c1 + 1


@dataclass(frozen=True, eq=False)
class Job:
    """Output points first..grid - 1; point (y, x) reads input points (y*sy + ky - top, x*sx + kx - left).

    neighbour: the second operand of an elementwise layer, in the picture of the first.
    weight: [channels, taps, inputs] int8 and bias: [channels] int64, zero point folded; the bias of
    elementwise layers, where they have one, is what is added to every element.
    piece: which rectangle of input and output cells the job's share of a tile belongs to (jobs of one piece share it).
    """

    source: Walk
    output: Walk
    residual: Walk | None
    grid: Pair
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    weight: NDArray[np.int8] | None = None
    bias: NDArray[np.int64] | None = None
    in_piece: int = 0
    out_piece: int = 0
    first: Pair = (0, 0)
    neighbour: Walk | None = None


def jobs_of(layer: Layer, layout: Layout) -> list[Job]:
    """The jobs of a convolution or elementwise layer. Raises CompileError where its pictures' places do not fit."""
    places = layout.places
    if isinstance(layer, Convolution):
        if layout.fold is not None and layout.fold.layer == layer.name:
            return [_folded_job(layer, layout, layout.fold)]
        if layer.transposed:
            return _transposed(layer, layout)
        return _convolution(layer, layout)
    assert isinstance(layer, Rescale | Polish | Double | Normalise)
    source, output = places[layer.source], places[layer.name]
    residual = None if not isinstance(layer, Rescale) or layer.residual is None else places[layer.residual.source]
    gaps = isinstance(layer, Normalise) and source.elements != len(source.positions)
    for other in (source, residual):
        if gaps or (other is not None and not np.array_equal(other.positions, output.positions)):
            raise CompileError(f"'{layer.name}': its input lies in cells with gaps; put a convolution between them")
        sequences = isinstance(layer, Double) and output.patch != (1, 1)
        if other is not None and (other.patch != output.patch or sequences):
            raise CompileError(f"'{layer.name}': sequences of attention can only pass through linear layers")
    if isinstance(layer, Double):
        return _doubled(layer.axis, source, output)
    grid = (output.storage.rows, output.storage.cols)
    walk = [None if p is None else Walk(p, (0, 0), (1, 1), grid) for p in (source, output, residual)]
    assert walk[0] is not None
    assert walk[1] is not None
    bias = None if not isinstance(layer, Polish) else np.full(output.elements, layer.add, dtype=np.int64)
    return [Job(walk[0], walk[1], walk[2], grid, bias=bias)]


def _doubled(axis: int, source: Place, output: Place) -> list[Job]:
    """Pixels on the even and on the odd side of their own, and the two at the edges, whose neighbour is their own."""
    dims = (source.storage.rows, source.storage.cols)
    size = dims[axis]

    def along(value: int, other: int) -> Pair:
        return (value, other) if axis == 0 else (other, value)

    jobs = []
    for side, neighbour, first, last in ((0, -1, 1, size), (1, 1, 0, size - 1), (0, 0, 0, 1), (1, 0, size - 1, size)):
        if first < last:
            out = Walk(output, along(side, 0), along(2, 1), dims)
            near, far = (Walk(source, along(shift, 0), (1, 1), dims) for shift in (0, neighbour))
            grid = along(last, dims[1 - axis])
            jobs.append(Job(near, out, None, grid, first=along(first, 0), neighbour=far))
    return jobs


def _expand(weight: NDArray[np.int8], source: Place, output: Place) -> NDArray[np.int8]:
    """[o, i, kh, kw] by channel -> [elements, taps, elements] by place, zero in gaps."""
    o, i, kh, kw = weight.shape
    out = np.zeros((output.elements, kh * kw, source.elements), dtype=np.int8)
    by_tap = weight.transpose(0, 2, 3, 1).reshape(o, kh * kw, i)
    out[np.ix_(output.positions, np.arange(kh * kw), source.positions)] = by_tap
    return out


def _spread(values: NDArray[np.generic], output: Place) -> NDArray[np.int64]:
    out = np.zeros(output.elements, dtype=np.int64)
    out[output.positions] = values
    return out


def _bias(layer: Convolution, source: Place, weight: NDArray[np.int8], axes: tuple[int, ...]) -> NDArray[np.int64]:
    """The bias for accumulators that sum codes instead of codes minus the zero point."""
    return layer.bias.astype(np.int64) - source.code.zero * weight.astype(np.int64).sum(axes)


def _residual(layer: Convolution, layout: Layout, output: Place) -> Place | None:
    if layer.residual is None:
        return None
    place = layout.places[layer.residual.source]
    if not np.array_equal(place.positions, output.positions) or place.patch != output.patch:
        raise CompileError(f"'{layer.name}': the residual '{place.picture}' lies in other channels of its cells")
    return place


def _convolution(layer: Convolution, layout: Layout) -> list[Job]:
    source, output = layout.places[layer.source], layout.places[layer.name]
    residual = _residual(layer, layout, output)
    if residual is not None and layer.gelu is not None:
        raise CompileError(f"'{layer.name}': GELU cannot take a residual: both need the second operand")
    if layer.depthwise:
        if not np.array_equal(source.positions, output.positions) or source.elements != len(source.positions):
            raise CompileError(f"'{layer.name}': a depthwise convolution cannot read or make cells with gaps")
        weight = np.ascontiguousarray(layer.weight.reshape(-1, 9, 1))
    else:
        weight = _expand(layer.weight, source, output)
    bias = _spread(_bias(layer, source, layer.weight, (1, 2, 3)), output)
    kernel = (layer.weight.shape[2], layer.weight.shape[3])
    shape = layout.network.pictures[layer.source].shape
    walk = Walk(source, (0, 0), (1, 1), (shape.height, shape.width))
    if layer.regrid is not None:
        walk = _regridded(layer, layer.regrid, source)
    out_shape = layout.network.pictures[layer.name].shape
    out_dims = (out_shape.height, out_shape.width)
    if source.patch != (1, 1) and source.patch == output.patch and kernel == (1, 1):
        grid = (output.storage.rows, output.storage.cols)
        walks = [None if p is None else Walk(p, (0, 0), (1, 1), grid) for p in (source, output, residual)]
        assert walks[0] is not None
        assert walks[1] is not None
        return [Job(walks[0], walks[1], walks[2], grid, weight=weight, bias=bias)]
    if source.patch != (1, 1):
        if output.patch != (1, 1) or kernel != (1, 1) or layer.stride != (1, 1):
            raise CompileError(f"'{layer.name}': attention's result can only be read by a linear layer")
        return _from_sequences(source, output, residual, weight, bias, walk.dims)
    return _to_sequences(layer, walk, output, residual, weight, bias, out_dims, kernel)


def _regridded(layer: Convolution, regrid: Regrid, source: Place) -> Walk:
    """A map whose rows lie in one row of the storage, behind `skip` other pixels."""
    linear = layer.weight.shape[2:] == (1, 1) and layer.stride == (1, 1) and layer.padding == (0, 0)
    if source.storage.rows != 1 or not linear or layer.depthwise:
        raise CompileError(f"'{layer.name}': only a linear layer can rearrange pixels, and only those of one row")
    return Walk(source, (0, regrid.skip), (0, 1), (regrid.height, regrid.width), down=regrid.width)


def _to_sequences(
    layer: Convolution, source: Walk, output: Place, residual: Place | None, weight: NDArray[np.int8],
    bias: NDArray[np.int64], out_dims: Pair, kernel: Pair,
) -> list[Job]:  # fmt: skip
    """One job for each position of the output's patch; a plain picture has one position."""
    py, px = output.patch
    grid = (out_dims[0] // py, out_dims[1] // px)
    stride = (layer.stride[0] * py, layer.stride[1] * px)
    jobs = []
    for p in range(py):
        for q in range(px):
            pad = (layer.padding[0] - p * layer.stride[0], layer.padding[1] - q * layer.stride[1])
            s = p * px + q
            out = Walk(output, (s * grid[0], 0), (1, 1), grid)
            res = None if residual is None else Walk(residual, (s * grid[0], 0), (1, 1), grid)
            jobs.append(Job(source, out, res, grid, kernel, stride, pad, weight, bias, out_piece=s))
    return jobs


def _from_sequences(
    source: Place, output: Place, residual: Place | None, weight: NDArray[np.int8], bias: NDArray[np.int64], dims: Pair
) -> list[Job]:
    py, px = source.patch
    grid = (dims[0] // py, dims[1] // px)
    jobs = []
    for p in range(py):
        for q in range(px):
            s = p * px + q
            out = Walk(output, (p, q), (py, px), grid)
            res = None if residual is None else Walk(residual, (p, q), (py, px), grid)
            walk = Walk(source, (s * grid[0], 0), (1, 1), grid)
            jobs.append(Job(walk, out, res, grid, weight=weight, bias=bias, in_piece=s))
    return jobs


def _folded_job(layer: Convolution, layout: Layout, fold: Fold) -> Job:
    """The last convolution, several output pixels a step (see `fold`)."""
    source, output = layout.places[layer.source], layout.places[layer.name]
    storage = source.storage
    cells = storage.cols // fold.per_cell
    wide = Storage(storage.name, storage.rows, cells, storage.cell * fold.per_cell)
    elements = np.arange(fold.per_cell * fold.pitch)
    place = Place(source.picture, wide, source.code, elements, 0, wide.cell, (1, 1), fold=fold.per_cell)
    grid = (output.storage.rows, output.storage.cols)
    return Job(
        Walk(place, (0, 0), (1, 1), (storage.rows, cells)),
        Walk(output, (0, 0), (1, 1), grid),
        None,
        grid,
        (layer.weight.shape[2], fold.reach),
        (layer.stride[0], fold.step),
        (layer.padding[0], fold.left),
        fold.weight(layer),
        np.tile(_bias(layer, source, layer.weight, (1, 2, 3)), fold.count),
    )


def _parity(out_size: int, kernel: int, stride: int, padding: int, first: int) -> tuple[int, list[int], int]:
    """Output rows first, first + stride, ...: their number, the kernel rows they use (in order), padding above.

    Row y sums kernel rows k with (y + padding - k) a multiple of the stride, from input row (y + padding - k) / stride.
    """
    rest, base = (first + padding) % stride, (first + padding) // stride
    taps = list(range(rest, kernel, stride))[::-1]
    return len(range(first, out_size, stride)), taps, len(taps) - 1 - base


def _transposed(layer: Convolution, layout: Layout) -> list[Job]:
    source, output = layout.places[layer.source], layout.places[layer.name]
    if source.patch != (1, 1) or output.patch != (1, 1):
        raise CompileError(f"'{layer.name}': sequences of attention can only pass through linear layers")
    shape, out_shape = (layout.network.pictures[n].shape for n in (layer.source, layer.name))
    kernel = layer.weight.shape[2:]
    weight = layer.weight.transpose(1, 0, 2, 3)  # [o, i, kh, kw]
    jobs = []
    for y0 in range(layer.stride[0]):
        rows, ky, top = _parity(out_shape.height, kernel[0], layer.stride[0], layer.padding[0], y0)
        for x0 in range(layer.stride[1]):
            cols, kx, left = _parity(out_shape.width, kernel[1], layer.stride[1], layer.padding[1], x0)
            if not rows or not cols:
                continue
            part = weight[:, :, ky][:, :, :, kx]
            jobs.append(
                Job(
                    Walk(source, (0, 0), (1, 1), (shape.height, shape.width)),
                    Walk(output, (y0, x0), layer.stride, (rows, cols)),
                    None,
                    (rows, cols),
                    (len(ky), len(kx)),
                    (1, 1),
                    (top, left),
                    _expand(part, source, output),
                    _spread(_bias(layer, source, part, (1, 2, 3)), output),
                )
            )
    return jobs
