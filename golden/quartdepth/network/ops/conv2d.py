"""Convolution: dense, depthwise or, 1x1, a linear layer over the channels of a pixel; others are made dense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node
from torch.nn import functional as F

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import WeightFormat
from triptych.golden.quartdepth.compiler.fold import Fold, Plain
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Job, Pair, Walk, Weights, expand, folded_bias, spread
from triptych.golden.quartdepth.compiler.lowering import Layout
from triptych.golden.quartdepth.compiler.pack import elements_of_words, tile_bytes, tile_room, weight_format
from triptych.golden.quartdepth.compiler.places import CompileError, Place, Storage
from triptych.golden.quartdepth.network.capture import Capture, View, pair
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer, QLayer, Quantising, Turns, Weighted
from triptych.golden.quartdepth.network.operation import Operation, Stage
from triptych.golden.quartdepth.network.ops._conv2d_example import example
from triptych.golden.quartdepth.network.ops._kernels import larger_than_padding, with_dilation, with_groups
from triptych.golden.quartdepth.network.ops._product import QProduct, quantised_layers
from triptych.golden.quartdepth.network.qparams import FeatureMap
from triptych.golden.quartdepth.network.shapes import Regrid, Shape

aten = torch.ops.aten
MOST_STRIDE = 7  # of the chip


@dataclass(frozen=True, eq=False)
class Conv2d(Weighted):
    """`W * x + b`, then `+ residual`, then ReLU or GELU. weight: [o, i, kh, kw]; depthwise [c, 1, kh, kw].

    regrid: a linear layer's input is rearranged before.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    depthwise: bool = False
    regrid: Regrid | None = None

    @property
    def pointwise(self) -> bool:
        """A linear layer over the channels of a pixel."""
        return self.weight.shape[2:] == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0)

    def output_shape(self, shape: Shape) -> Shape:
        if self.regrid is not None:
            return Shape(self.regrid.height, self.regrid.width, self.weight.shape[0])
        h = (shape.height + 2 * self.padding[0] - self.weight.shape[2]) // self.stride[0] + 1
        w = (shape.width + 2 * self.padding[1] - self.weight.shape[3]) // self.stride[1] + 1
        return Shape(h, w, self.weight.shape[0])

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        groups = self.weight.shape[0] if self.depthwise else 1
        x = x if self.regrid is None else self.regrid.apply(x)
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=groups)

    def with_residual(self, source: str) -> Conv2d | None:
        free = self.activation is Activation.NONE and self.residual is None
        return replace(self, residual=source) if free else None

    def with_input_affine(self, gain: Tensor, offset: Tensor) -> Conv2d | None:
        if self.depthwise or (self.padding != (0, 0) and bool((offset != 0).any())):
            return None
        bias = self.bias + (self.weight.sum((2, 3)) @ offset)
        return replace(self, weight=self.weight * gain[None, :, None, None], bias=bias)

    @property
    def turns(self) -> tuple[Turns, ...]:
        return () if self.depthwise else super().turns

    def to_matrix(self, weight: Tensor) -> Tensor:
        return weight.flatten(1)[:, None] if self.depthwise else weight.flatten(1)[None]

    def from_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.reshape(self.weight.shape)

    def patches(self, x: Tensor) -> Tensor:
        x = x if self.regrid is None else self.regrid.apply(x)
        columns = F.unfold(x, self.weight.shape[2:], padding=self.padding, stride=self.stride)
        if self.depthwise:
            c = x.shape[1]
            return columns.unflatten(1, (c, -1)).permute(1, 2, 0, 3).flatten(2)
        return columns.permute(1, 0, 2).flatten(1)[None]

    def outputs(self, y: Tensor) -> Tensor:
        rows = y.permute(1, 0, 2, 3).flatten(1)
        return rows[:, None] if self.depthwise else rows[None]

    def scaled(self, gain: Tensor) -> Tensor:
        gain = gain[:, None] if self.depthwise else gain[None, :]
        return self.weight * gain[:, :, None, None]

    def by_input(self, gain: Tensor) -> Tensor:
        each = gain[:, None].expand(-1, self.weight[0, 0].numel())
        return each[:, None] if self.depthwise else each.reshape(1, 1, -1)

    def quantise(self, q: Quantising) -> list[QLayer]:
        made = partial(QConv2d, stride=self.stride, padding=self.padding, depthwise=self.depthwise, regrid=self.regrid)
        return quantised_layers(self, q, made)


@dataclass(frozen=True, eq=False)
class QConv2d(QProduct):
    """weight: [o, i, kh, kw]; depthwise [c, 1, kh, kw]. regrid: of a linear layer's input."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    depthwise: bool = False
    regrid: Regrid | None = None

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        x = x if self.regrid is None else self.regrid.apply(x)
        return F.conv2d(x, weight, None, self.stride, self.padding, groups=len(weight) if self.depthwise else 1)

    def macs(self, maps: Mapping[str, FeatureMap]) -> int:
        return len(maps[self.name].shape) * self.weight.size

    @property
    def linear(self) -> bool:
        """A 1x1 convolution of every pixel."""
        return self.weight.shape[2:] == (1, 1) and self.stride == (1, 1) and not self.depthwise

    def follows(self, source: str) -> bool:
        beside = self.residual is not None and self.residual.source == source
        return self.linear and self.regrid is None and not beside

    @property
    def plain(self) -> Plain | None:
        if self.depthwise or self.regrid is not None:
            return None
        return Plain(self.weight, self.stride, self.padding)

    def as_plain(self, plain: Plain) -> QConv2d:
        return replace(self, weight=plain.weight, stride=plain.stride, padding=plain.padding)

    @property
    def aligned(self) -> tuple[str, ...]:
        return (self.name, *self.sources) if self.depthwise else super().aligned

    def _own_mode(self, source: Place, output: Place) -> bool:
        """The array's mode for depthwise convolutions takes it: 3x3, int4, channels of both maps lie alike."""
        small = self.weight.shape[2:] == (3, 3) and max(self.padding) < 3
        alike = np.array_equal(source.positions, output.positions)
        return self.depthwise and small and alike and weight_format(self.weight) is WeightFormat.INT4

    def mode(self, layout: Layout) -> str:
        own = self._own_mode(layout.places[self.source], layout.places[self.name])
        return "depthwise" if own else super().mode(layout)

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        if layout.fold is not None and layout.fold.layer == self.name:
            return JobWork(self, [self._folded_job(layout, layout.fold)])
        return JobWork(self, self._jobs(layout, config))

    def _jobs(self, layout: Layout, config: ChipConfig) -> list[Job]:
        source, output = layout.places[self.source], layout.places[self.name]
        residual = self._residual(layout, output)
        if residual is not None and self.gelu is not None:
            raise CompileError(f"'{self.name}': GELU cannot take a residual: both need the second operand")
        weights = self._weights(source, output, config)
        bias = spread(folded_bias(self.bias, source, self.weight, (1, 2, 3)), output)
        kernel = (self.weight.shape[2], self.weight.shape[3])
        shape = layout.network.maps[self.source].shape
        walk = Walk(source, (0, 0), (1, 1), (shape.height, shape.width))
        if self.regrid is not None:
            walk = self._regridded(self.regrid, source)
        out_shape = layout.network.maps[self.name].shape
        if source.patch != (1, 1) and source.patch == output.patch and kernel == (1, 1):
            grid = (output.storage.rows, output.storage.cols)
            walks = [Walk(p, (0, 0), (1, 1), grid) for p in (source, output)]
            second = None if residual is None else Walk(residual, (0, 0), (1, 1), grid)
            return [Job(walks[0], walks[1], second, grid, weights=weights, bias=bias)]
        if source.patch != (1, 1):
            if output.patch != (1, 1) or kernel != (1, 1) or self.stride != (1, 1):
                raise CompileError(f"'{self.name}': attention's result can only be read by a linear layer")
            return _from_sequences(source, output, residual, weights, bias, walk.dims)
        return self._to_sequences(walk, output, residual, weights, bias, (out_shape.height, out_shape.width), kernel)

    def _weights(self, source: Place, output: Place, config: ChipConfig) -> Weights:
        """By place. A channel that makes one channel stays within the words that hold it, if both lie alike and the
        weights of so many channels have room; else it is dense."""
        fmt = weight_format(self.weight)
        if not self.depthwise:
            return Weights(expand(self.weight, source, output), fmt)
        taps = self.weight[:, 0].reshape(len(self.weight), -1)
        if self._own_mode(source, output):
            values = np.zeros((output.elements, 9, 1), dtype=np.int8)
            values[output.positions, :, 0] = taps
            return Weights(values, fmt, depthwise=True)
        alike = np.array_equal(source.positions, output.positions)
        band, source_fmt = elements_of_words(source.qparams.format, config), source.qparams.format
        room = tile_bytes(taps.shape[1], band, source_fmt, fmt, config) * (band // config.cols) <= tile_room(config)
        banded = alike and room
        inputs = band if banded else source.elements
        values = np.zeros((output.elements, taps.shape[1], inputs), dtype=np.int8)
        values[output.positions, :, source.positions % inputs] = taps
        return Weights(values, fmt, banded=banded)

    def _residual(self, layout: Layout, output: Place) -> Place | None:
        if self.residual is None:
            return None
        place = layout.places[self.residual.source]
        if not np.array_equal(place.positions, output.positions) or place.patch != output.patch:
            raise CompileError(f"'{self.name}': the residual '{place.fmap}' lies in other channels of its cells")
        return place

    def _regridded(self, regrid: Regrid, source: Place) -> Walk:
        """A map whose rows lie in one row of the storage, behind `skip` other pixels."""
        if source.storage.rows != 1 or not self.linear or self.padding != (0, 0):
            raise CompileError(f"'{self.name}': only a linear layer can rearrange pixels, and only those of one row")
        return Walk(source, (0, regrid.skip), (0, 1), (regrid.height, regrid.width), down=regrid.width)

    def _to_sequences(
        self, source: Walk, output: Place, residual: Place | None, weights: Weights, bias: NDArray[np.int64],
        out_dims: Pair, kernel: Pair,
    ) -> list[Job]:  # fmt: skip
        """One job for each position of the output's patch; a plain map has one position."""
        py, px = output.patch
        grid = (out_dims[0] // py, out_dims[1] // px)
        stride = (self.stride[0] * py, self.stride[1] * px)
        jobs = []
        for p in range(py):
            for q in range(px):
                pad = (self.padding[0] - p * self.stride[0], self.padding[1] - q * self.stride[1])
                s = p * px + q
                out = Walk(output, (s * grid[0], 0), (1, 1), grid)
                res = None if residual is None else Walk(residual, (s * grid[0], 0), (1, 1), grid)
                jobs.append(Job(source, out, res, grid, kernel, stride, pad, weights, bias, out_piece=s))
        return jobs

    def _folded_job(self, layout: Layout, fold: Fold) -> Job:
        """Several output pixels a step (see `compiler/fold.py`)."""
        source, output = layout.places[self.source], layout.places[self.name]
        storage = source.storage
        cells = storage.cols // fold.per_cell
        wide = Storage(storage.name, storage.rows, cells, storage.cell * fold.per_cell)
        elements = np.arange(fold.per_cell * fold.pitch)
        place = Place(source.fmap, wide, source.qparams, elements, 0, wide.cell, (1, 1), fold=fold.per_cell)
        grid = (output.storage.rows, output.storage.cols)
        values = fold.weight(Plain(self.weight, self.stride, self.padding))
        return Job(
            Walk(place, (0, 0), (1, 1), (storage.rows, cells)),
            Walk(output, (0, 0), (1, 1), grid),
            None,
            grid,
            (self.weight.shape[2], fold.reach),
            (self.stride[0], fold.step),
            (self.padding[0], fold.left),
            Weights(values, weight_format(self.weight)),
            np.tile(folded_bias(self.bias, source, self.weight, (1, 2, 3)), fold.count),
        )


def _from_sequences(
    source: Place, output: Place, residual: Place | None, weights: Weights, bias: NDArray[np.int64], dims: Pair
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
            jobs.append(Job(walk, out, res, grid, weights=weights, bias=bias, in_piece=s))
    return jobs


def capture(c: Capture, node: Node) -> View:
    """aten.conv2d"""
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    stride, padding = pair(c.arg(node, 3, [1, 1])), c.arg(node, 4, [0, 0])
    dilation, groups = pair(c.arg(node, 5, [1, 1])), c.arg(node, 6, 1)
    kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if isinstance(padding, str):
        padding = [0, 0] if padding == "valid" else [k // 2 for k in kernel]
        if node.args[4] == "same" and any(k % 2 == 0 for k in kernel):
            raise GraphError("padding='same' of an even kernel pads one side more: pad before the convolution")
    padding = pair(padding)
    view = c.view(c.arg(node, 0))
    if view.index.shape[0] > 1:
        return _of_several(c, node, view, weight, bias, stride, (padding, dilation, groups))
    one = tuple(weight.shape[2:]) == (1, 1) and stride == (1, 1) and padding == (0, 0) and groups == 1
    grid = regrid(c, view) if one else None
    source = c.whole_map(view) if grid is None else view.fmap
    shape = c.shapes[source]
    weight = with_dilation(weight, dilation)
    single = groups > 1 and groups == shape.channels == weight.shape[0]
    single = single and max(stride) <= MOST_STRIDE
    if groups > 1 and not single:
        weight = with_groups(weight, groups)
    if padding[0] >= weight.shape[2] or padding[1] >= weight.shape[3]:
        weight, padding = larger_than_padding(weight, padding)
    bias = torch.zeros(len(weight)) if bias is None else bias
    layer = Conv2d(c.name(node, 1), source, weight, bias, stride=stride, padding=padding, depthwise=single, regrid=grid)
    return c.add(layer)


def _of_several(
    c: Capture, node: Node, view: View, weight: Tensor, bias: Tensor | None, stride: Pair,
    others: tuple[Pair, Pair, int],
) -> View:  # fmt: skip
    """Several images, one below the other in a map, if no window reaches beyond its own."""
    count, channels, height, width = view.index.shape
    apart = tuple(weight.shape[2:]) == stride and height % stride[0] == 0 and width % stride[1] == 0
    if not apart or others != ((0, 0), (1, 1), 1):
        raise GraphError("a convolution of several images must take squares side by side: its kernel is its stride")
    stacked = view.index.transpose(0, 1).reshape(1, channels, count * height, width)
    source = c.whole_map(View(view.fmap, stacked))
    bias = torch.zeros(len(weight)) if bias is None else bias
    made = c.add(Conv2d(c.name(node, 1), source, weight, bias, stride=stride))
    return View(made.fmap, made.index[0].unflatten(1, (count, -1)).transpose(0, 1))


def in_turns(stride: int) -> tuple[int, int] | None:
    """Two strides that the chip has, one after the other; None if there are none."""
    found = (a for a in range(1, MOST_STRIDE + 1) if stride % a == 0 and stride // a <= MOST_STRIDE)
    return next(((a, stride // a) for a in found), None)


def in_two(graph: FloatGraph) -> FloatGraph:
    """A stride beyond the chip's as two: squares of pixels become channels, then the rest of it. The photo's own
    convolution reads windows (`InputWindows`)."""
    layers: list[FloatLayer] = []
    shapes = dict(graph.shapes)
    for layer in graph.layers:
        wide = isinstance(layer, Conv2d) and max(layer.stride) > MOST_STRIDE and layer.source != graph.input
        if wide and isinstance(layer, Conv2d) and not layer.depthwise and layer.padding == (0, 0):
            by = [(in_turns(s) or (1, s))[0] for s in layer.stride]
            o, i, kh, kw = layer.weight.shape
            if kh % by[0] == 0 and kw % by[1] == 0:  # else the compiler says what is too large
                channels = i * by[0] * by[1]
                eye = torch.eye(channels).reshape(channels, i, *by)
                name, zeros = f"{layer.name}.squares", torch.zeros(channels)
                squares = Conv2d(name, layer.source, eye, zeros, stride=(by[0], by[1]))
                shapes[squares.name] = squares.output_shape(shapes[layer.source])
                cells = layer.weight.reshape(o, i, kh // by[0], by[0], kw // by[1], by[1]).permute(0, 1, 3, 5, 2, 4)
                stride = (layer.stride[0] // by[0], layer.stride[1] // by[1])
                weight = cells.flatten(1, 3).contiguous()
                layers.append(squares)
                layer = replace(layer, source=squares.name, weight=weight, stride=stride)
        layers.append(layer)
    return replace(graph, layers=layers, shapes=shapes)


def regrid(c: Capture, view: View) -> Regrid | None:
    """The map that pixels of a row, but for the first, make; None if the view is none."""
    shape = c.shapes[view.fmap]
    if view.index.ndim != 4 or view.index.shape[1] != shape.channels or shape.height != 1:
        return None
    _, channels, height, width = view.index.shape
    skip = int(view.index[0, 0, 0, 0]) // channels
    wanted = (skip * channels + torch.arange(height * width * channels)).reshape(1, height, width, channels)
    shown = torch.equal(view.index, wanted.permute(0, 3, 1, 2))
    return Regrid(skip, height, width) if shown and (skip, height, width) != (0, 1, shape.width) else None


OPERATION = Operation(
    title="Convolution",
    forms="`conv2d` of any kernel, stride, padding, dilation and number of groups; followed by a sum with another map, "
    "ReLU or GELU at no cost; 1x1 over tokens that a row of pixels holds (`regrid`)",
    widths="weights int4 (int8 in two passes), input INT8, UINT4 or TABLE4, any output",
    mapping="one job: MATMUL, and a VECTOR of one microword that adds the bias, multiplies by channel, adds the second "
    "map, rounds, clamps and encodes. The photo lies in the first convolution's windows (`InputWindows`), a few "
    "output channels share the array's columns among neighbouring pixels (`compiler/fold.py`), depthwise ones "
    "of 3x3 and int4 take the array's own mode, others multiply the channels of a step by a band of zeros with one "
    "diagonal; what makes or reads attention's sequences is one job for each position of the patch. Other groups are "
    "dense, zero between them; "
    "dilated kernels have zeros between their taps",
    limits="kernels to 15 with their dilation, strides to 7, 8,191 output channels, one column tile of weights in "
    "the scratchpad",
    cost="kernel x ceil(channels / step) cycles a pixel and column tile; a step takes D channels of INT8, 2 D of "
    "4-bit codes; int8 weights twice that; depthwise 3x3 3 stride_x cycles a pixel and D channels, otherwise "
    "kernel cycles a pixel and C channels",
    example=example,
    aten={aten.conv2d.default: capture, aten.conv2d.padding: capture},
    floats=(Conv2d,),
    integers=(QConv2d,),
    rewrites=((Stage.SPLIT, in_two),),
)
