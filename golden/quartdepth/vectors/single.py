"""Networks of one or a few layers with random integers: what property tests of compiler, machine and RTL run.

Every function gives an integer network ready for `compile_network`; `seed` fixes weights, biases, zero points and
tables. Sizes may be anything that a picture can have: 1, primes, more than a scratchpad holds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.layers import Regrid, Shape
from triptych.golden.quartdepth.network.network import (
    Attend,
    Code,
    Convolution,
    Double,
    Layer,
    Network,
    Picture,
    Polish,
    Rescale,
    Residual,
    Scale,
)

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


def with_int8_weights(network: Network, seed: int = 0) -> Network:
    """The same layers with weights over all of int8; outputs spread as before."""
    rng = np.random.default_rng(seed)

    def widened(layer: Layer) -> Layer:
        if not isinstance(layer, Convolution):
            return layer
        weight = rng.integers(-127, 128, layer.weight.shape).astype(np.int8)
        weight.flat[0] = 127  # one weight alone may be small
        return replace(layer, weight=weight, shift=layer.shift + 4)

    return replace(network, layers=[widened(layer) for layer in network.layers])


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
    layer = _layer("y", "x", weight, pictures, rng, stride=stride, padding=padding, residual=added)
    if added is not None:
        fraction = _fraction(pictures["y"].code, rng)
        finer = replace(added, scale=Scale(added.scale.multiplier, 15 - fraction))
        layer = replace(layer, shift=layer.shift - np.uint8(fraction), residual=finer, fraction=fraction)
    layers.append(layer)
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


def gelu_linear(
    tokens: int, inner: int, cols: int, source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """A linear layer and GELU over a row of tokens."""
    rng = np.random.default_rng(seed)
    pictures = {
        "x": Picture(Shape(1, tokens, inner), random_code(source, rng)),
        "y": Picture(Shape(1, tokens, cols), random_code(Format.INT16, rng)),  # Q4.11 before the function
    }
    layer = _layer("y", "x", rng.integers(-7, 8, (cols, inner, 1, 1)).astype(np.int8), pictures, rng)
    code = random_code(output, rng)
    lo, hi = code.clamp
    pictures["y"] = replace(pictures["y"], code=code)
    gelu = _factor(_span(code) / 20000.0)
    return Network("x", "y", pictures, [replace(layer, gelu=gelu, lo=lo, hi=hi)])


def mlp(tokens: int, channels: int, hidden: int, seed: int = 0) -> Network:
    """A linear layer with GELU and another one behind it, over a row of tokens."""
    network = gelu_linear(tokens, channels, hidden, seed=seed)
    rng = np.random.default_rng(seed + 1)
    pictures = {**network.pictures, "z": Picture(Shape(1, tokens, channels), random_code(Format.INT8, rng))}
    weight = rng.integers(-7, 8, (channels, hidden, 1, 1)).astype(np.int8)
    return Network("x", "z", pictures, [*network.layers, _layer("z", "y", weight, pictures, rng)])


def regridded(
    size: Pair, skip: int, inner: int, cols: int, source: Format = Format.INT8, output: Format = Format.INT8,
    seed: int = 0,
) -> Network:  # fmt: skip
    """A linear layer that lays a row of tokens out as a map of `size`, without the first `skip`."""
    rng = np.random.default_rng(seed)
    pictures = {
        "x": Picture(Shape(1, skip + size[0] * size[1], inner), random_code(source, rng)),
        "y": Picture(Shape(*size, cols), random_code(output, rng)),
    }
    weight = rng.integers(-7, 8, (cols, inner, 1, 1)).astype(np.int8)
    layer = _layer("y", "x", weight, pictures, rng, regrid=Regrid(skip, *size))
    return Network("x", "y", pictures, [layer])


def polished(
    shape: tuple[int, int, int], source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """A factor by channel."""
    rng = np.random.default_rng(seed)
    pictures = {
        "x": Picture(Shape(*shape), random_code(source, rng)),
        "y": Picture(Shape(*shape), random_code(output, rng)),
    }
    lo, hi = pictures["y"].code.clamp
    top = _span(pictures["y"].code) / _reach(pictures["x"].code)
    factors = [_factor(top * rng.uniform(0.1, 2.0)) for _ in range(shape[2])]
    multiplier = np.array([f.multiplier for f in factors], dtype=np.int16)
    shift = np.array([f.shift for f in factors], dtype=np.uint8)
    return Network("x", "y", pictures, [Polish("y", "x", -pictures["x"].code.zero, multiplier, shift, lo, hi)])


def doubled(
    shape: tuple[int, int, int], axis: int, source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """Twice the rows (axis 0) or columns (axis 1)."""
    rng = np.random.default_rng(seed)
    h, w, c = shape
    wide = Shape(2 * h, w, c) if axis == 0 else Shape(h, 2 * w, c)
    pictures = {"x": Picture(Shape(*shape), random_code(source, rng)), "y": Picture(wide, random_code(output, rng))}
    lo, hi = pictures["y"].code.clamp
    top = 1.5 * _span(pictures["y"].code) / _reach(pictures["x"].code)
    add = -pictures["x"].code.zero
    fraction = _fraction(pictures["y"].code, rng)
    near, far = (_factor(part * top * 2**fraction) for part in (0.75, 0.25))
    return Network("x", "y", pictures, [Double("y", "x", axis, add, near, far, fraction, lo, hi)])


def summed(
    shape: tuple[int, int, int], source: Format = Format.INT8, constant: Format = Format.INT8,
    output: Format = Format.INT8, seed: int = 0,
) -> Network:  # fmt: skip
    """The input and a constant picture, added."""
    rng = np.random.default_rng(seed)
    pictures = {
        name: Picture(Shape(*shape), random_code(fmt, rng))
        for name, fmt in (("x", source), ("c", constant), ("y", output))
    }
    lo, hi = pictures["c"].code.limits
    codes = rng.integers(lo, hi + 1, shape)
    lo, hi = pictures["y"].code.clamp
    x, c, y = (pictures[name].code for name in ("x", "c", "y"))
    fraction = _fraction(y, rng)
    span = _span(y) * 2**fraction
    added = Residual("c", -c.zero, _factor(span / _reach(c)))
    layer = Rescale("y", "x", -x.zero, _factor(span / _reach(x)), lo, hi, added, fraction)
    return Network("x", "y", pictures, [layer], {"c": codes})


def attention(
    tokens: int, heads: int, head_dim: int, narrow: bool = False, output: Format = Format.INT8, seed: int = 0,
    inner: int = 24,
) -> Network:  # fmt: skip
    """Queries, keys and values by linear layers of `inner` channels, and their attention. narrow: four-bit keys."""
    rng = np.random.default_rng(seed)
    shape = Shape(1, tokens, heads * head_dim)
    pictures = {"x": Picture(replace(shape, channels=inner), random_code(Format.INT8, rng))}
    pictures["y"] = Picture(shape, random_code(output, rng))
    layers: list[Layer] = []
    for name in ("q", "k", "v"):
        code = Code(Format.INT8, 1.0, int(rng.integers(-128, 128)) if name == "v" else 0, narrow=narrow and name == "k")
        pictures[name] = Picture(shape, code)
        weight = rng.integers(-7, 8, (shape.channels, inner, 1, 1)).astype(np.int8)
        layers.append(_layer(name, "x", weight, pictures, rng))
    lo, hi = pictures["y"].code.clamp
    spread = 64.0 * (4.0 if narrow else 64.0) * np.sqrt(head_dim)
    out = _factor(_span(pictures["y"].code) / 24000.0)
    layers.append(
        Attend(
            "y", "q", "k", "v", heads, head_dim, (1, 1), score=_factor(64.0 / spread), score_zero=-20,
            exponent=_factor(40.0), weight=Scale(127 << 7, 22), fraction=-7, out=out,
            zero=int(rng.integers(-20, 21)), lo=lo, hi=hi,
        )
    )  # fmt: skip
    return Network("x", "y", pictures, layers)


def _span(code: Code) -> float:
    """From the lowest to the highest value that a picture's encoder tells apart."""
    if code.table is not None:
        return float(code.table.thresholds[-1] - code.table.thresholds[0])
    return _reach(code)


def _reach(code: Code) -> float:
    """From the lowest to the highest value that a picture's readers see."""
    lo, hi = code.limits if code.table is None else (min(code.table.entries), max(code.table.entries))
    return float(hi - lo)


def _factor(real: float) -> Scale:
    """The fixed-point factor of a real one."""
    shift = 14 - int(np.floor(np.log2(real)))
    return Scale(min(int(real * 2.0**shift), 32767), shift)


def _fraction(code: Code, rng: np.random.Generator) -> int:
    """Bits that a sum is finer than what its code is made from, unless that has 16 already."""
    return int(rng.integers(0, 8)) if code.clamp != (-32768, 32767) else 0


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
