"""From a captured network to the integer one: calibrated min-max ranges, or codes and weights that a method chose.

Weights are int4 in -7..7, symmetric, one scale an output channel. Activations are int8, asymmetric (w4a8), or unsigned
4-bit codes (w4a4). Eight bits stay, in w4a4 too: the photo (it is 8-bit), constants, what LayerNorm reads, what no
product reads (it takes no part in the array), attention's queries, values, scores and weights. Keys take the weights'
side of the array and are int4 in both modes where the layer says so. The output is INT16.
A caller may give any other map a code of its own, tables (TABLE4) included, and any layer its rounded weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer, Need, QLayer, Range, Rounded
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import (
    LARGEST_FACTOR,
    FeatureMap,
    QParams,
    QuantizeError,
    Residual,
    fixed_point,
    symmetric_qparams,
    uniform_qparams,
)
from triptych.golden.quartdepth.network.widths import Widths

FRACTION = 6  # bits below a code's unit that sums keep until they are rounded, once
HEADROOM = 2.0  # of the 16-bit output over the largest value seen


def quantize(
    graph: FloatGraph, images: Sequence[Tensor], widths: Widths = Widths.W4A8,
    codes: Mapping[str, QParams] | None = None,
    *, eight: Collection[str] = (), rounded: Mapping[str, Rounded] | None = None,
) -> Network:  # fmt: skip
    """The integer network, calibrated on images of the graph's input shape, [1,C,H,W] float32 in 0..1.

    codes: codes of chosen maps instead of the calibrated ones. eight: maps that stay INT8 in w4a4 and mixed.
    rounded: weights of chosen layers. Raises QuantizeError without images, for images that the input's code does not
    hold, unknown maps or layers, non-finite values, or a layer whose sums could overflow 32 bits; ValueError for
    unknown widths.
    """
    return quantize_ranges(graph, calibrate(graph, images), widths, codes, eight, rounded)


def quantize_ranges(
    graph: FloatGraph, ranges: Mapping[str, Range], widths: Widths, codes: Mapping[str, QParams] | None = None,
    eight: Collection[str] = (), rounded: Mapping[str, Rounded] | None = None,
) -> Network:  # fmt: skip
    """`quantize` with ranges that `calibrate` has already measured."""
    given, known = dict(rounded or {}), {layer.name for layer in graph.layers}
    if unknown := sorted(set(given) - known):
        raise QuantizeError(f"no layer '{unknown[0]}' in the network")
    return Quantizer(graph, dict(ranges), Widths(widths), dict(codes or {}), set(eight), given).run()


def check_range(name: str, low: float, high: float, qparams: QParams) -> None:
    """Raises QuantizeError when the code clips values in low..high."""
    least, most = (float(f(qparams.decode(np.array(qparams.codes)))) for f in (np.min, np.max))
    if low < least - qparams.step / 2 or high > most + qparams.step / 2:
        raise QuantizeError(
            f"images hold {low:.4g}..{high:.4g}, but '{name}' holds {least:.4g}..{most:.4g}: give bytes / 255, and let "
            "the network itself normalise them, for one by a BatchNorm2d in front"
        )


def calibrate(graph: FloatGraph, images: Sequence[Tensor]) -> dict[str, Range]:
    """Smallest and largest value of every map and inner tensor over all images. Raises QuantizeError."""
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


@dataclass
class Quantizer:
    """What a layer asks while it is quantised (`layer.Quantising`): the codes of all maps, chosen before."""

    graph: FloatGraph
    ranges: Mapping[str, Range]
    widths: Widths
    given: Mapping[str, QParams]
    eight: Collection[str]
    weights: Mapping[str, Rounded]
    maps: dict[str, FeatureMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted({*self.given, *self.eight} - set(self.graph.shapes)):
            raise QuantizeError(f"no map '{unknown[0]}' in the network")
        for name in [self.graph.input, *self.graph.constants, *(layer.name for layer in self.graph.layers)]:
            self.maps[name] = FeatureMap(self.graph.shapes[name], self._choose(name))
        check_range(self.graph.input, *self.ranges[self.graph.input], self.qparams(self.graph.input))
        self._join()

    def run(self) -> Network:
        """All layers in integers."""
        graph = self.graph
        layers: list[QLayer] = [made for layer in graph.layers for made in layer.quantise(self)]
        constants = {}
        for name, value in graph.constants.items():
            constants[name] = self.qparams(name).encode(value[0].permute(1, 2, 0).double().numpy())
        return Network(graph.input, graph.output, self.maps, layers, constants, graph.patches, graph.further)

    @property
    def weight_top(self) -> int:
        """Largest weight code."""
        return self.widths.weight_top

    def _readers(self, name: str) -> list[FloatLayer]:
        return [layer for layer in self.graph.layers for source in layer.sources if source == name]

    def _copied(self, name: str) -> list[str]:
        """The map, and those that are made of its values, but for the output."""
        copying = [layer for layer in self._readers(name) if name in layer.copies and not layer.joins]
        copies = dict.fromkeys(layer.name for layer in copying if layer.name not in self.graph.outputs)
        return [name, *(further for copy in copies for further in self._copied(copy))]

    def _choose(self, name: str) -> QParams:
        graph = self.graph
        low, high = (0.0, 1.0) if name == graph.input else self.ranges[name]
        if name in self.given:
            return self.given[name]
        if name in graph.outputs:
            return QParams(Format.INT16, max(-low, high, 1e-9) * HEADROOM / 32767)
        readers = [(reader, source) for source in self._copied(name) for reader in self._readers(source)]
        needs = {layer.need(source) for layer, source in readers}
        if needs & {Need.SYMMETRIC, Need.NARROW}:
            return symmetric_qparams(low, high, Need.NARROW in needs and self.widths is not Widths.W8A8)
        used = any(source in layer.products or source in layer.joins for layer, source in readers)
        eight = name == graph.input or name in self.eight or not used or Need.EIGHT_BITS in needs
        narrow = self.widths.narrow and not eight
        return uniform_qparams(low, high, Format.UINT4 if narrow else Format.INT8)

    def _join(self) -> None:
        """What only a layer that copies it reads is made in the code of the copy, the rest is converted."""
        for layer in self.graph.layers[::-1]:
            for part in set(layer.copies):
                free = len(self._readers(part)) == 1 and part not in (self.graph.input, *self.graph.outputs)
                if free and (layer.joins or layer.name not in self.graph.outputs):
                    self.maps[part] = FeatureMap(self.graph.shapes[part], self.qparams(layer.name))

    def qparams(self, name: str) -> QParams:
        """Of a map."""
        return self.maps[name].qparams

    def rounded(self, name: str) -> Rounded | None:
        """Weights that a method has rounded for a layer."""
        return self.weights.get(name)

    def limits(self, name: str, relu: bool, ceiling: float | None = None) -> tuple[int, int]:
        """Of the value that a layer hands to the encoder of map `name`; from zero on with `relu`, up to a ceiling."""
        qparams = self.qparams(name)
        lo, hi = qparams.clamp
        lo = max(lo, qparams.zero) if relu else lo
        if ceiling is None or ceiling / qparams.step >= hi - qparams.zero:
            return lo, hi
        return lo, max(lo, qparams.zero + round(ceiling / qparams.step))

    def unit(self, name: str, *operands: str) -> tuple[float, int]:
        """Unit of a sum of maps that makes map `name`, and bits that it is finer than what its code is made from:
        tables have a fine unit. A map that was zero on all images has a tiny one, for which factors are too large:
        with the least that they can take what is not zero saturates, as it should."""
        qparams = self.qparams(name)
        fraction = FRACTION if qparams.format in (Format.INT8, Format.UINT4) else 0
        least = (self.qparams(n).scale / LARGEST_FACTOR for n in operands)
        return max(qparams.step / 2**fraction, *least), fraction

    def residual(self, source: str, name: str, unit: float) -> Residual:
        """Map `source` as second operand of the sum that makes map `name`, in a unit."""
        qparams = self.qparams(source)
        scale = fixed_point(qparams.scale / unit, f"'{name}': the residual's rescaling")
        return Residual(source, -qparams.zero, scale)


def integer_output(network: Network, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the integer network's output [h, w, c] means, of an 8-bit image of its size. Raises QuantizeError."""
    codes = network.run_integer(image_codes(network, image))
    return network.maps[network.output].qparams.decode(codes)


def image_codes(network: Network, image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Input codes [h, w, c] of an 8-bit image of the network's size: exact, `q = pixel - 128`; arranged in patches
    where the network's input is.

    Raises QuantizeError for another size.
    """
    fmap, patches = network.maps[network.input], network.patches
    wanted = image_shape(network)
    if image.dtype != np.uint8 or image.shape != wanted:
        raise QuantizeError(f"the image must be uint8 {' x '.join(map(str, wanted))}, not {image.dtype} {image.shape}")
    codes = fmap.qparams.encode(image.astype(np.float64) / 255)
    if patches is None:
        return codes
    maps = torch.from_numpy(codes.astype(np.float64)).permute(2, 0, 1)[None]
    arranged = patches.arrange(maps, fmap.qparams.pad)[0].permute(1, 2, 0)
    return arranged.numpy().astype(np.int64)


def image_shape(network: Network) -> tuple[int, int, int]:
    """Rows, columns and channels of the photos that the network takes."""
    shape, patches = network.maps[network.input].shape, network.patches
    if patches is None:
        return shape.height, shape.width, shape.channels
    return patches.rows * patches.size, patches.cols * patches.size, shape.channels // patches.size**2
