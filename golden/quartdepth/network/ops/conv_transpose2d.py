"""Transposed convolution."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional as F

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Job, Pair, Walk, Weights, expand, folded_bias, spread
from triptych.golden.quartdepth.compiler.lowering import Layout
from triptych.golden.quartdepth.compiler.pack import weight_format
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.capture import Capture, View, pair
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import QLayer, Quantising, Weighted
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._product import QProduct, quantised_layers
from triptych.golden.quartdepth.network.qparams import FeatureMap
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(Weighted):
    """Transposed convolution, then ReLU or GELU. weight: [i, o, kh, kw]; extra: output padding."""

    output_axis = 1

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    extra: Pair = (0, 0)

    def output_shape(self, shape: Shape) -> Shape:
        h = (shape.height - 1) * self.stride[0] - 2 * self.padding[0] + self.weight.shape[2] + self.extra[0]
        w = (shape.width - 1) * self.stride[1] - 2 * self.padding[1] + self.weight.shape[3] + self.extra[1]
        return Shape(h, w, self.weight.shape[1])

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv_transpose2d(x, weight, bias, self.stride, self.padding, self.extra)

    @property
    def per_output_pixel(self) -> bool:
        return False

    def to_matrix(self, weight: Tensor) -> Tensor:
        """A transposed convolution is one over a map with zeros between the pixels, its taps turned round."""
        return weight.flip(2, 3).transpose(0, 1).flatten(1)[None]

    def from_matrix(self, matrix: Tensor) -> Tensor:
        i, o, kh, kw = self.weight.shape
        return matrix[0].reshape(o, i, kh, kw).transpose(0, 1).flip(2, 3).contiguous()

    def patches(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[2:]
        b, c, h, w = x.shape
        (sy, sx), (py, px), (ey, ex) = self.stride, self.padding, self.extra
        wide = x.new_zeros(b, c, (h - 1) * sy + 1, (w - 1) * sx + 1)
        wide[:, :, ::sy, ::sx] = x
        top, left = kernel[0] - 1 - py, kernel[1] - 1 - px
        columns = F.unfold(F.pad(wide, (left, left + ex, top, top + ey)), kernel)
        return columns.permute(1, 0, 2).flatten(1)[None]

    def outputs(self, y: Tensor) -> Tensor:
        return y.permute(1, 0, 2, 3).flatten(1)[None]

    def scaled(self, gain: Tensor) -> Tensor:
        return self.weight * gain[:, None, None, None]

    def by_input(self, gain: Tensor) -> Tensor:
        return gain[:, None].expand(-1, self.weight[0, 0].numel()).reshape(1, 1, -1)

    def quantise(self, q: Quantising) -> list[QLayer]:
        made = partial(QConvTranspose2d, stride=self.stride, padding=self.padding, extra=self.extra)
        return quantised_layers(self, q, made)


@dataclass(frozen=True, eq=False)
class QConvTranspose2d(QProduct):
    """weight: [i, o, kh, kw]; extra: output padding."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    extra: Pair = (0, 0)

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv_transpose2d(x, weight, None, self.stride, self.padding, self.extra)

    def macs(self, maps: Mapping[str, FeatureMap]) -> int:
        return len(maps[self.source].shape) * self.weight.size

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        source, output = layout.places[self.source], layout.places[self.name]
        if source.patch != (1, 1) or output.patch != (1, 1):
            raise CompileError(f"'{self.name}': sequences of attention can only pass through linear layers")
        shape, out_shape = (layout.network.maps[n].shape for n in (self.source, self.name))
        kernel = self.weight.shape[2:]
        weight = self.weight.transpose(1, 0, 2, 3)  # [o, i, kh, kw]
        jobs = []
        for y0 in range(self.stride[0]):
            rows, ky, top = _parity(out_shape.height, kernel[0], self.stride[0], self.padding[0], y0)
            for x0 in range(self.stride[1]):
                cols, kx, left = _parity(out_shape.width, kernel[1], self.stride[1], self.padding[1], x0)
                if not rows or not cols:
                    continue
                part = weight[:, :, ky][:, :, :, kx]
                jobs.append(
                    Job(
                        Walk(source, (0, 0), (1, 1), (shape.height, shape.width)),
                        Walk(output, (y0, x0), self.stride, (rows, cols)),
                        None,
                        (rows, cols),
                        (len(ky), len(kx)),
                        (1, 1),
                        (top, left),
                        Weights(expand(part, source, output), weight_format(self.weight)),
                        spread(folded_bias(self.bias, source, part, (1, 2, 3)), output),
                    )
                )
        return JobWork(self, jobs)


def _parity(out_size: int, kernel: int, stride: int, padding: int, first: int) -> tuple[int, list[int], int]:
    """Output rows first, first + stride, ...: their number, the kernel rows they use (in order), padding above.

    Row y sums kernel rows k with (y + padding - k) a multiple of the stride, from input row (y + padding - k) / stride.
    """
    rest, base = (first + padding) % stride, (first + padding) // stride
    taps = list(range(rest, kernel, stride))[::-1]
    return len(range(first, out_size, stride)), taps, len(taps) - 1 - base


def capture(c: Capture, node: Node) -> View:
    """aten.conv_transpose2d"""
    source = c.whole_map(c.arg(node, 0))
    weight, bias = c.constant(node, 1), c.constant(node, 2)
    stride, padding = pair(c.arg(node, 3, [1, 1])), pair(c.arg(node, 4, [0, 0]))
    extra, groups = pair(c.arg(node, 5, [0, 0])), c.arg(node, 6, 1)
    if groups != 1 or pair(c.arg(node, 7, [1, 1])) != (1, 1):
        raise GraphError("transposed convolutions must have one group and no dilation")
    if weight.shape[2] < stride[0] or weight.shape[3] < stride[1]:
        raise GraphError("a transposed kernel must not be smaller than its stride")
    if padding[0] >= weight.shape[2] or padding[1] >= weight.shape[3]:
        raise GraphError("padding must be smaller than the kernel")
    if extra[0] > padding[0] or extra[1] > padding[1]:
        raise GraphError("output padding must not exceed the padding")
    bias = torch.zeros(weight.shape[1]) if bias is None else bias
    return c.add(ConvTranspose2d(c.name(node, 1), source, weight, bias, stride=stride, padding=padding, extra=extra))


def example(rng: random.Random) -> Example:
    """The usual kernels of decoders."""
    kernel, stride, padding, extra = rng.choice([(2, 2, 0, 0), (3, 2, 1, 1), (4, 2, 1, 0), (5, 3, 2, 1), (3, 1, 1, 0)])
    shape = (rng.choice([1, 3, 8, 17]), rng.randint(2, 9), rng.randint(2, 9))
    return Example(nn.ConvTranspose2d(shape[0], rng.choice([1, 5, 16]), kernel, stride, padding, extra), shape)


OPERATION = Operation(
    title="Transposed convolution",
    forms="`conv_transpose2d`, kernel at least the stride, padding below the kernel, output padding at most the "
    "padding; followed by ReLU or GELU at no cost",
    widths="as a convolution",
    mapping="s x s jobs, one for each parity of output rows and columns, with scattered results",
    limits="one group, no dilation; strides to 7",
    cost="as a convolution, once for each input pixel",
    example=example,
    aten={aten.conv_transpose2d.input: capture},
    floats=(ConvTranspose2d,),
    integers=(QConvTranspose2d,),
)
