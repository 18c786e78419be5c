"""From a captured network to the integer one: calibrated min-max ranges, or codes and weights that a method chose.

Weights are int4 in -7..7, symmetric, one scale an output channel. Activations are int8, asymmetric (w4a8), or unsigned
4-bit codes (w4a4). Eight bits stay, in w4a4 too: the photo (it is 8-bit), constants, what LayerNorm reads, what no
product reads (it takes no part in the array), attention's queries, values, scores and weights. Keys take the weights'
side of the array and are int4 in both modes where the layer says so. The output is INT16.
A caller may give any other picture a code of its own, tables (TABLE4) included, and any layer its rounded weights.

The file is over 400 lines because every kind of layer has its few lines here, beside the codes that they all share.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.layers import (
    Add,
    Attention,
    Concat,
    Conv,
    Enlarge,
    FloatGraph,
    FloatLayer,
    Gain,
    LayerNorm,
    Relu,
    Transposed,
)
from triptych.golden.quartdepth.network.network import (
    Attend,
    Code,
    Convolution,
    Double,
    Join,
    Layer,
    Network,
    Normalise,
    Picture,
    Polish,
    Rescale,
    Residual,
    Scale,
)
from triptych.golden.quartdepth.network.widths import Widths

WEIGHT_TOP = 7
MAX_BIAS = 1 << 30
MAX_REDUCTION = 1 << 21  # products an accumulator can take without overflow (docs/numerics.md)
FRACTION = 6  # bits below a code's unit that sums keep until they are rounded, once
HEADROOM = 2.0  # of the 16-bit output over the largest value seen
SPREAD = 1.25  # of LayerNorm's centred values over the largest seen
LARGEST_FACTOR = 32767.0  # of a sum, in units of a value of at most 16 bits
LOG2_E = math.log2(math.e)
GELU_STEP = 2.0**-11  # of the chip's GELU, in and out

Range = tuple[float, float]


class QuantizeError(ValueError):
    """The network cannot be quantised as asked; the message names the layer and says why."""


@dataclass(frozen=True)
class Rounded:
    """Weights of a layer as a method rounded them: `weight ~ codes * scale` by output channel. codes: the shape of the
    layer's weight, whole numbers in -top..top; scale [outputs], positive; bias [outputs]."""

    codes: Tensor
    scale: Tensor
    bias: Tensor


def quantize(
    graph: FloatGraph, images: Sequence[Tensor], widths: Widths = Widths.W4A8, codes: Mapping[str, Code] | None = None,
    *, eight: Collection[str] = (), rounded: Mapping[str, Rounded] | None = None,
) -> Network:  # fmt: skip
    """The integer network, calibrated on images of the graph's input shape, [1,C,H,W] float32 in 0..1.

    codes: codes of chosen pictures instead of the calibrated ones. eight: pictures that stay INT8 in w4a4 and mixed.
    rounded: weights of chosen layers. Raises QuantizeError without images, for images that the input's code does not
    hold, unknown pictures or layers, non-finite values, or a layer whose sums could overflow 32 bits; ValueError for
    unknown widths.
    """
    return quantize_ranges(graph, calibrate(graph, images), widths, codes, eight, rounded)


def quantize_ranges(
    graph: FloatGraph, ranges: Mapping[str, Range], widths: Widths, codes: Mapping[str, Code] | None = None,
    eight: Collection[str] = (), rounded: Mapping[str, Rounded] | None = None,
) -> Network:  # fmt: skip
    """`quantize` with ranges that `calibrate` has already measured."""
    given, known = dict(rounded or {}), {layer.name for layer in graph.layers}
    if unknown := sorted(set(given) - known):
        raise QuantizeError(f"no layer '{unknown[0]}' in the network")
    return _Quantizer(graph, dict(ranges), Widths(widths), dict(codes or {}), set(eight), given).run()


def fixed_point(real: float, what: str = "a factor") -> Scale:
    """The nearest `multiplier / 2^shift`, 15 significant bits. Raises QuantizeError for what does not fit."""
    if not 0 < real < 32767.5 or not math.isfinite(real):
        raise QuantizeError(f"{what} of {real:g} cannot be a fixed-point multiplier: it must be in 0..32767")
    shift = min(14 - math.frexp(real)[1] + 1, 47)
    multiplier = round(math.ldexp(real, shift))
    if multiplier > 32767:
        multiplier, shift = (multiplier + 1) >> 1, shift - 1
    return Scale(multiplier, shift)


def uniform_code(low: float, high: float, fmt: Format) -> Code:
    """Asymmetric min-max code of `fmt` for values in low..high (zero is always included, and exact)."""
    low, high = min(low, 0.0), max(high, 0.0)
    first, last = {Format.INT8: (-128, 127), Format.UINT4: (0, 15)}[fmt]
    scale = max((high - low) / (last - first), 1e-9)
    return Code(fmt, scale, int(np.clip(round(first - low / scale), first, last)))


def symmetric_code(low: float, high: float, narrow: bool = False) -> Code:
    """Symmetric int8 code, -127..127 or, narrow, -7..7."""
    return Code(Format.INT8, max(-low, high, 1e-9) / (WEIGHT_TOP if narrow else 127), narrow=narrow)


def check_range(name: str, low: float, high: float, code: Code) -> None:
    """Raises QuantizeError when the code clips values in low..high."""
    least, most = (float(f(code.decode(np.array(code.codes)))) for f in (np.min, np.max))
    if low < least - code.step / 2 or high > most + code.step / 2:
        raise QuantizeError(
            f"images hold {low:.4g}..{high:.4g}, but '{name}' holds {least:.4g}..{most:.4g}: give bytes / 255, and let "
            "the network itself normalise them, for one by a BatchNorm2d in front"
        )


def calibrate(graph: FloatGraph, images: Sequence[Tensor]) -> dict[str, Range]:
    """Smallest and largest value of every picture and inner tensor over all images. Raises QuantizeError."""
    if not images:
        raise QuantizeError("calibration needs at least one image")
    ranges: dict[str, Range] = {}

    def observe(name: str, tensor: Tensor) -> None:
        low, high = (float(v) for v in torch.aminmax(tensor))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise QuantizeError(f"'{name}' holds values that are not finite: check weights and images")
        old = ranges.get(name, (low, high))
        ranges[name] = (min(low, old[0]), max(high, old[1]))

    wanted = graph.shapes[graph.input]
    for image in images:
        if tuple(image.shape) != (1, wanted.channels, wanted.height, wanted.width):
            raise QuantizeError(
                f"calibration images must be [1,{wanted.channels},{wanted.height},{wanted.width}], "
                f"not {list(image.shape)}"
            )
        graph.run(image, observe)
    return ranges


class _Quantizer:
    def __init__(
        self, graph: FloatGraph, ranges: dict[str, Range], widths: Widths, codes: dict[str, Code],
        eight: set[str], rounded: dict[str, Rounded],
    ) -> None:  # fmt: skip
        self.graph, self.ranges, self.widths, self.given = graph, ranges, widths, codes
        self.eight, self.rounded = eight, rounded
        self.layers: list[Layer] = []
        self.pictures: dict[str, Picture] = {}
        if unknown := sorted((set(codes) | eight) - set(graph.shapes)):
            raise QuantizeError(f"no picture '{unknown[0]}' in the network")

    def run(self) -> Network:
        self._choose_codes()
        for layer in self.graph.layers:
            self.layers.extend(self._quantize(layer))
        constants = {}
        for name, value in self.graph.constants.items():
            constants[name] = self.code(name).encode(value[0].permute(1, 2, 0).double().numpy())
        return Network(self.graph.input, self.graph.output, self.pictures, self.layers, constants, self.graph.patches)

    def code(self, name: str) -> Code:
        return self.pictures[name].code

    def _choose_codes(self) -> None:
        graph = self.graph
        products = {layer.source for layer in graph.layers if isinstance(layer, Conv | Transposed)}
        parts = {part for layer in graph.layers if isinstance(layer, Concat) for part in layer.parts}
        eight = {graph.input, *self.eight, *(set(graph.shapes) - products - parts)}
        symmetric: set[str] = set()
        keys: set[str] = set()
        readers: dict[str, list[FloatLayer]] = {name: [] for name in graph.shapes}
        for layer in graph.layers:
            for source in layer.sources:
                readers[source].append(layer)
            if isinstance(layer, LayerNorm):
                eight.add(layer.source)
            elif isinstance(layer, Attention):
                symmetric.update(layer.sources)
                if layer.narrow:
                    keys.add(layer.key)
        for name in [graph.input, *graph.constants, *(layer.name for layer in graph.layers)]:
            low, high = (0.0, 1.0) if name == graph.input else self.ranges[name]
            if name in self.given:
                code = self.given[name]
            elif name == graph.output:
                code = Code(Format.INT16, max(-low, high, 1e-9) * HEADROOM / 32767)
            elif name in symmetric:
                code = symmetric_code(low, high, name in keys)
            else:
                narrow = self.widths.narrow and name not in eight
                code = uniform_code(low, high, Format.UINT4 if narrow else Format.INT8)
            self.pictures[name] = Picture(graph.shapes[name], code)
        check_range(graph.input, *self.ranges[graph.input], self.code(graph.input))
        for layer in graph.layers:
            if isinstance(layer, Concat):  # what only this layer reads is made in its code, the rest is converted
                for part in set(layer.parts):
                    free = len(readers[part]) == 1 and layer.parts.count(part) == 1
                    if free and part not in (graph.input, graph.output):
                        self.pictures[part] = Picture(graph.shapes[part], self.code(layer.name))

    def _quantize(self, layer: FloatLayer) -> list[Layer]:
        match layer:
            case Conv():
                return [self._convolution(layer, layer.weight, 0, layer.stride, layer.padding)]
            case Transposed():
                return [self._convolution(layer, layer.weight, 1, layer.stride, layer.padding)]
            case Gain():
                return [self._polish(layer)]
            case Enlarge():
                return [self._double(layer)]
            case Relu():
                return [self._rescale(layer.name, layer.source, None, True)]
            case Add():
                return [self._rescale(layer.name, layer.source, layer.other, layer.relu)]
            case Concat():
                return self._join(layer)
            case LayerNorm():
                return [self._normalise(layer)]
            case Attention():
                return [self._attend(layer)]
        raise QuantizeError(f"layer '{layer.name}' of type {type(layer).__name__} cannot be quantised")

    def _limits(self, name: str, relu: bool) -> tuple[int, int]:
        code = self.code(name)
        lo, hi = code.clamp
        return (max(lo, code.zero) if relu else lo), hi

    def _residual(self, source: str | None, name: str, unit: float) -> Residual | None:
        if source is None:
            return None
        code = self.code(source)
        scale = fixed_point(code.scale / unit, f"'{name}': the residual's rescaling")
        return Residual(source, -code.zero, scale)

    def _unit(self, name: str, *operands: str) -> tuple[float, int]:
        """Unit of a sum of pictures, and bits that it is finer than what its code is made from: tables have a fine
        unit. One that was zero on all images has a tiny one, for which factors are too large: with the least that they
        can take what is not zero saturates, as it should."""
        code = self.code(name)
        fraction = FRACTION if code.format in (Format.INT8, Format.UINT4) else 0
        return max(code.step / 2**fraction, *(self.code(n).scale / LARGEST_FACTOR for n in operands)), fraction

    def _convolution(
        self, layer: Conv | Transposed, weight: Tensor, out_axis: int,
        stride: tuple[int, int], padding: tuple[int, int],
    ) -> Convolution:  # fmt: skip
        w = weight.double().numpy()
        bias = layer.bias.double().numpy()
        products = w.size // w.shape[out_axis]
        if products >= MAX_REDUCTION:
            raise QuantizeError(f"'{layer.name}' sums {products} products; 32 bits hold {MAX_REDUCTION - 1}")
        source, step, fraction = self.code(layer.source), self.code(layer.name).step, 0
        axes = tuple(a for a in range(w.ndim) if a != out_axis)
        # a channel of tiny weights takes a coarser scale, so that its bias fits
        smallest = np.maximum(np.abs(bias) / (source.scale * MAX_BIAS / 2), 1e-12)
        scale = np.maximum(np.abs(w).max(axes) / self.widths.weight_top, smallest)
        shaped = scale.reshape([-1 if a == out_axis else 1 for a in range(w.ndim)])
        q = np.rint(w / shaped)
        if (given := self.rounded.get(layer.name)) is not None:
            q, bias = given.codes.double().numpy(), given.bias.double().numpy()
            scale = given.scale.double().numpy()
            if q.shape != w.shape or np.abs(q).max() > self.widths.weight_top or not (scale > 0).all():
                raise QuantizeError(f"'{layer.name}': the given weights are no codes of this layer")
            fine = scale
            scale = np.maximum(fine, np.abs(bias) / (source.scale * MAX_BIAS / 2))
            q = np.rint(q * (fine / scale).reshape(shaped.shape))
        gelu = None
        added = layer.residual if isinstance(layer, Conv) else None
        if added is not None:
            step, fraction = self._unit(layer.name, added)
        if isinstance(layer, Conv) and layer.gelu:
            if layer.residual is not None:
                raise QuantizeError(f"'{layer.name}': GELU cannot take a residual")
            gelu = fixed_point(min(GELU_STEP / step, LARGEST_FACTOR), f"'{layer.name}': the rescaling after GELU")
            step = GELU_STEP
        # a channel whose smallest sum fills the output's range saturates at any factor: the largest one does
        real = np.minimum(source.scale * scale / step, LARGEST_FACTOR)
        factors = [fixed_point(f, f"'{layer.name}': the output rescaling") for f in real]
        lo, hi = self._limits(layer.name, layer.relu)
        return Convolution(
            layer.name,
            layer.source,
            q.astype(np.int8),
            np.rint(bias / (source.scale * scale)).astype(np.int32),
            np.array([f.multiplier for f in factors], dtype=np.int16),
            np.array([f.shift for f in factors], dtype=np.uint8),
            lo,
            hi,
            stride,
            padding,
            depthwise=isinstance(layer, Conv) and layer.depthwise,
            transposed=isinstance(layer, Transposed),
            extra=layer.extra if isinstance(layer, Transposed) else (0, 0),
            residual=self._residual(added, layer.name, step),
            fraction=fraction,
            gelu=gelu,
            regrid=layer.regrid if isinstance(layer, Conv) else None,
        )

    def _polish(self, layer: Gain) -> Polish:
        code, out = self.code(layer.source), self.code(layer.name)
        real = np.minimum(code.scale * layer.gain.double().numpy() / out.step, LARGEST_FACTOR)
        factors = [fixed_point(float(f), f"'{layer.name}': the gain") for f in real]
        multiplier = np.array([f.multiplier for f in factors], dtype=np.int16)
        shift = np.array([f.shift for f in factors], dtype=np.uint8)
        return Polish(layer.name, layer.source, -code.zero, multiplier, shift, *out.clamp)

    def _double(self, layer: Enlarge) -> Double:
        code, (unit, fraction) = self.code(layer.source), self._unit(layer.name, layer.source)
        near, far = (fixed_point(f * code.scale / unit, f"'{layer.name}': the rescaling") for f in (0.75, 0.25))
        clamp = self.code(layer.name).clamp
        return Double(layer.name, layer.source, layer.axis - 2, -code.zero, near, far, fraction, *clamp)

    def _rescale(self, name: str, source: str, other: str | None, relu: bool) -> Rescale:
        code = self.code(source)
        unit, fraction = self._unit(name, source, other) if other is not None else (self.code(name).step, 0)
        scale = fixed_point(min(code.scale / unit, LARGEST_FACTOR), f"'{name}': the rescaling")
        lo, hi = self._limits(name, relu)
        return Rescale(name, source, -code.zero, scale, lo, hi, self._residual(other, name, unit), fraction)

    def _join(self, layer: Concat) -> list[Layer]:
        code = self.code(layer.name)
        out: list[Layer] = []
        parts = []
        for i, part in enumerate(layer.parts):
            if self.code(part) is not code:
                name = f"{layer.name}.{i}"
                self.pictures[name] = Picture(self.graph.shapes[part], code)
                out.append(self._rescale(name, part, None, False))
                part = name
            parts.append(part)
        return [*out, Join(layer.name, tuple(parts))]

    def _normalise(self, layer: LayerNorm) -> Normalise:
        source, out = self.code(layer.source), self.code(layer.name)
        n = self.graph.shapes[layer.name].channels
        low, high = self.ranges[f"{layer.name}/centred"]
        peak = 64 * min(SPREAD * max(-low, high) / source.scale, 255.0)
        square_shift = max(0, math.ceil(math.log2(max(peak, 1.0) ** 2 / 32767)))
        unit = 4096 / (source.scale**2 * 2.0**square_shift)  # of `total` by squared input
        fraction = math.ceil(square_shift / 2) - 14
        factor = 2.0**fraction * math.sqrt(n / 2.0**square_shift) / out.step
        lo, hi = out.clamp
        return Normalise(
            layer.name, layer.source, fixed_point(64 / n), square_shift, min(round(n * layer.eps * unit), 1 << 30),
            fraction, fixed_point(min(factor, LARGEST_FACTOR), f"'{layer.name}': the output rescaling"), lo, hi,
        )  # fmt: skip

    def _attend(self, layer: Attention) -> Attend:
        q, k, v, out = (self.code(n) for n in (layer.query, layer.key, layer.value, layer.name))
        if (
            q.format is not Format.INT8
            or k.format is not Format.INT8
            or v.format is not Format.INT8
            or q.zero
            or k.zero
        ):
            raise QuantizeError(f"'{layer.name}': queries, keys and values must be INT8, the first two symmetric")
        low, high = self.ranges[f"{layer.name}/scores"]
        step = max((high - low) / 255, 1e-6)
        fraction = -7  # a weighted mean of int8 values in Q7 fits in 16 bits
        # what is added at the end has 16 bits
        unit = max(out.step, v.scale * max(abs(v.zero), 1) / 32000)
        lo, hi = out.clamp
        return Attend(
            layer.name, layer.query, layer.key, layer.value, layer.heads, layer.head_dim, layer.patch,
            score=fixed_point(q.scale * k.scale * layer.scale / step, f"'{layer.name}': the scores' rescaling"),
            score_zero=int(np.clip(round(-128 - low / step), -32768, 32767)),
            exponent=fixed_point(step * LOG2_E * 1024, f"'{layer.name}': the exponent"),
            weight=Scale(127 << 7, 22),
            fraction=fraction,
            out=fixed_point(v.scale * 2.0**fraction / unit, f"'{layer.name}': the output rescaling"),
            zero=round(out.zero - v.zero * v.scale / unit),
            lo=lo, hi=hi,
        )  # fmt: skip


def image_codes(network: Network, image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Input codes [h, w, c] of an 8-bit image of the network's size: exact, `q = pixel - 128`; arranged in patches
    where the network's input is.

    Raises QuantizeError for another size.
    """
    picture, patches = network.pictures[network.input], network.patches
    wanted = image_shape(network)
    if image.dtype != np.uint8 or image.shape != wanted:
        raise QuantizeError(f"the image must be uint8 {' x '.join(map(str, wanted))}, not {image.dtype} {image.shape}")
    codes = picture.code.encode(image.astype(np.float64) / 255)
    if patches is None:
        return codes
    maps = torch.from_numpy(codes.astype(np.float64)).permute(2, 0, 1)[None]
    arranged = patches.arrange(maps, picture.code.pad)[0].permute(1, 2, 0)
    return arranged.numpy().astype(np.int64)


def image_shape(network: Network) -> tuple[int, int, int]:
    """Rows, columns and channels of the photos that the network takes."""
    shape, patches = network.pictures[network.input].shape, network.patches
    if patches is None:
        return shape.height, shape.width, shape.channels
    return patches.rows * patches.size, patches.cols * patches.size, shape.channels // patches.size**2
