"""Networks of one or a few layers with random integers: what property tests of compiler, machine and RTL run.

Every function gives an integer network ready for `compile_network`; `seed` fixes weights, biases, zero points and
tables. Sizes may be anything that a picture can have: 1, primes, more than a scratchpad holds.
"""

from __future__ import annotations

import numpy as np

from golden.quartdepth.arithmetic.codetable import CodeTable
from golden.quartdepth.arithmetic.numerics import Ints
from golden.quartdepth.chip.isa import Format
from golden.quartdepth.network.layers import Shape
from golden.quartdepth.network.network import Code, Convolution, Layer, Network, Picture, Residual, Scale

Pair = tuple[int, int]


def random_code(fmt: Format, rng: np.random.Generator) -> Code:
    """A code with a random zero point or table."""
    if fmt is Format.TABLE4:
        step, zero = float(rng.uniform(0.2, 0.6)), int(rng.integers(0, 16))
        return Code(fmt, 1.0, table=CodeTable.lognp(step, zero, unit=0.02), unit=0.02)
    if fmt is Format.INT16:
        return Code(fmt, 1.0)
    low, high = (0, 15) if fmt is Format.UINT4 else (-128, 127)
    return Code(fmt, 1.0, int(rng.integers(low, high + 1)))


def random_codes(network: Network, seed: int) -> Ints:
    """Random input codes [h, w, c]."""
    picture = network.pictures[network.input]
    lo, hi = picture.code.limits
    shape = (picture.shape.height, picture.shape.width, picture.shape.channels)
    return np.random.default_rng(seed).integers(lo, hi + 1, shape)


def conv2d(
    shape: tuple[int, int, int], channels: int, kernel: Pair = (3, 3), stride: Pair = (1, 1), padding: Pair = (1, 1),
    source: Format = Format.INT8, output: Format = Format.INT8, residual: bool = False, seed: int = 0,
) -> Network:  # fmt: skip
    """A dense convolution of a picture (height, width, channels). residual: adds a 1x1 convolution of the same
    picture, which needs stride 1 and the input's height and width."""
    rng = np.random.default_rng(seed)
    h, w, c = shape
    size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip((h, w), padding, kernel, stride, strict=True)]
    out = Shape(size[0], size[1], channels)
    weight = rng.integers(-7, 8, (channels, c, *kernel)).astype(np.int8)
    pictures = {"x": Picture(Shape(*shape), random_code(source, rng))}
    pictures["y"] = Picture(out, random_code(output, rng))
    layers: list[Layer] = []
    added = None
    if residual:
        pictures["side"] = Picture(out, random_code(source, rng))
        layers.append(_layer("side", "x", rng.integers(-7, 8, (channels, c, 1, 1)).astype(np.int8), pictures, rng))
        added = Residual("side", int(rng.integers(-128, 128)), Scale(int(rng.integers(-32768, 32768)), 15))
    layers.append(_layer("y", "x", weight, pictures, rng, stride=stride, padding=padding, residual=added))
    return Network("x", "y", pictures, layers)


def matmul(
    rows: int, inner: int, cols: int, source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """A product of [rows, inner] activations with [inner, cols] weights: one row of pixels."""
    return conv2d((1, rows, inner), cols, (1, 1), (1, 1), (0, 0), source, output, seed=seed)


def depthwise(
    shape: tuple[int, int, int], stride: Pair = (1, 1), padding: Pair = (1, 1), source: Format = Format.INT8,
    output: Format = Format.INT8, seed: int = 0,
) -> Network:  # fmt: skip
    """A depthwise 3x3 convolution."""
    rng = np.random.default_rng(seed)
    h, w, c = shape
    size = [(n + 2 * p - 3) // s + 1 for n, p, s in zip((h, w), padding, stride, strict=True)]
    out = Shape(size[0], size[1], c)
    weight = rng.integers(-7, 8, (c, 1, 3, 3)).astype(np.int8)
    pictures = {"x": Picture(Shape(*shape), random_code(source, rng)), "y": Picture(out, random_code(output, rng))}
    layer = _layer("y", "x", weight, pictures, rng, stride=stride, padding=padding, depthwise=True)
    return Network("x", "y", pictures, [layer])


def conv_transpose(
    shape: tuple[int, int, int], channels: int, kernel: Pair = (3, 3), stride: Pair = (2, 2), padding: Pair = (1, 1),
    extra: Pair = (1, 1), source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0,
) -> Network:  # fmt: skip
    """A transposed convolution; `extra` is PyTorch's output padding."""
    rng = np.random.default_rng(seed)
    h, w, c = shape
    each = zip((h, w), stride, padding, kernel, extra, strict=True)
    size = [(n - 1) * s - 2 * p + k + e for n, s, p, k, e in each]
    out = Shape(size[0], size[1], channels)
    weight = rng.integers(-7, 8, (c, channels, *kernel)).astype(np.int8)
    pictures = {"x": Picture(Shape(*shape), random_code(source, rng)), "y": Picture(out, random_code(output, rng))}
    layer = _layer("y", "x", weight, pictures, rng, stride=stride, padding=padding, transposed=True, extra=extra)
    return Network("x", "y", pictures, [layer])


def _layer(
    name: str, source: str, weight: np.ndarray, pictures: dict[str, Picture], rng: np.random.Generator, **more: object
) -> Convolution:
    """Random parameters that spread the output over its codes."""
    channels = pictures[name].shape.channels
    code = pictures[name].code
    lo, hi = code.clamp
    products = weight.size // channels
    spread = 4.0 * np.sqrt(products) * (5.0 if pictures[source].code.bits == 4 else 60.0)
    factor = max((hi - lo) / 4.0 / spread, 2.0**-20)
    shift = 14 - int(np.floor(np.log2(factor)))
    multiplier = np.clip(rng.uniform(0.6, 1.0, channels) * factor * 2.0**shift, 1, 32767)
    return Convolution(
        name, source, weight,
        rng.integers(-int(spread), int(spread) + 1, channels).astype(np.int32),
        multiplier.astype(np.int16),
        np.full(channels, shift, dtype=np.uint8),
        lo, hi, **more,  # type: ignore[arg-type]
    )  # fmt: skip
