"""Networks of one or a few layers with random integers: what property tests of compiler, machine and RTL run.

Every function gives an integer network ready for `compile_network`; `seed` fixes weights, biases, zero points and
tables. Sizes may be anything that a map can have: 1, primes, more than a scratchpad holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from triptych.golden.quartdepth.arithmetic.codetable import ENTRY_MAX, ENTRY_MIN, CodeTable, lognp_grid
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.layer import QLayer
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops._product import QProduct
from triptych.golden.quartdepth.network.ops.add import QAdd
from triptych.golden.quartdepth.network.ops.attention import QAttention
from triptych.golden.quartdepth.network.ops.channel_scale import QChannelScale
from triptych.golden.quartdepth.network.ops.conv2d import QConv2d
from triptych.golden.quartdepth.network.ops.conv_transpose2d import QConvTranspose2d
from triptych.golden.quartdepth.network.ops.layer_norm import QLayerNorm
from triptych.golden.quartdepth.network.ops.upsample import QUpsample
from triptych.golden.quartdepth.network.qparams import NARROW, FeatureMap, QParams, Residual, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Regrid, Shape

Pair = tuple[int, int]


def random_code(fmt: Format, rng: np.random.Generator) -> QParams:
    """A code with a random zero point or table."""
    if fmt is Format.TABLE4:
        step, zero = float(rng.uniform(0.2, 0.6)), int(rng.integers(0, 16))
        table, (_, entry) = CodeTable.lognp(step, zero, unit=0.02), lognp_grid(step, zero)
        return QParams(fmt, 1.0, entry, table=table, unit=0.02)
    if fmt is Format.INT16:
        return QParams(fmt, 1.0)
    low, high = (0, 15) if fmt is Format.UINT4 else (-128, 127)
    return QParams(fmt, 1.0, int(rng.integers(low, high + 1)))


def random_codes(network: Network, seed: int) -> Ints:
    """Random input codes [h, w, c]."""
    fmap = network.maps[network.input]
    lo, hi = fmap.qparams.limits
    shape = (fmap.shape.height, fmap.shape.width, fmap.shape.channels)
    return np.random.default_rng(seed).integers(lo, hi + 1, shape)


def with_int8_weights(network: Network, seed: int = 0) -> Network:
    """The same layers with weights over all of int8; outputs spread as before."""
    rng = np.random.default_rng(seed)

    def widened(layer: QLayer) -> QLayer:
        if not isinstance(layer, QProduct):
            return layer
        weight = rng.integers(-127, 128, layer.weight.shape).astype(np.int8)
        weight.flat[0] = 127  # one weight alone may be small
        return replace(layer, weight=weight, shift=layer.shift + 4)

    return replace(network, layers=[widened(layer) for layer in network.layers])


def conv2d(
    shape: tuple[int, int, int], channels: int, kernel: Pair = (3, 3), stride: Pair = (1, 1), padding: Pair = (1, 1),
    source: Format = Format.INT8, output: Format = Format.INT8, residual: bool = False, seed: int = 0,
) -> Network:  # fmt: skip
    """A dense convolution of a map (height, width, channels). residual: adds a 1x1 convolution of the same
    map, which needs stride 1 and the input's height and width."""
    rng = np.random.default_rng(seed)
    h, w, c = shape
    size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip((h, w), padding, kernel, stride, strict=True)]
    out = Shape(size[0], size[1], channels)
    weight = rng.integers(-7, 8, (channels, c, *kernel)).astype(np.int8)
    maps = {"x": FeatureMap(Shape(*shape), random_code(source, rng))}
    maps["y"] = FeatureMap(out, random_code(output, rng))
    layers: list[QLayer] = []
    added = None
    if residual:
        maps["side"] = FeatureMap(out, random_code(source, rng))
        layers.append(_layer("side", "x", rng.integers(-7, 8, (channels, c, 1, 1)).astype(np.int8), maps, rng))
        added = Residual("side", int(rng.integers(-128, 128)), Scale(int(rng.integers(-32768, 32768)), 15))
    layer = _layer("y", "x", weight, maps, rng, stride=stride, padding=padding, residual=added)
    if added is not None:
        fraction = _fraction(maps["y"].qparams, rng)
        finer = replace(added, scale=Scale(added.scale.multiplier, 15 - fraction))
        layer = replace(layer, shift=layer.shift - np.uint8(fraction), residual=finer, fraction=fraction)
    layers.append(layer)
    return Network("x", "y", maps, layers)


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
    maps = {"x": FeatureMap(Shape(*shape), random_code(source, rng)), "y": FeatureMap(out, random_code(output, rng))}
    layer = _layer("y", "x", weight, maps, rng, stride=stride, padding=padding, depthwise=True)
    return Network("x", "y", maps, [layer])


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
    maps = {"x": FeatureMap(Shape(*shape), random_code(source, rng)), "y": FeatureMap(out, random_code(output, rng))}
    fields = _product("y", "x", weight, maps, rng)
    layer = QConvTranspose2d(**fields, stride=stride, padding=padding, extra=extra)
    return Network("x", "y", maps, [layer])


def gelu_linear(
    tokens: int, inner: int, cols: int, source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """A linear layer and GELU over a row of tokens."""
    rng = np.random.default_rng(seed)
    maps = {
        "x": FeatureMap(Shape(1, tokens, inner), random_code(source, rng)),
        "y": FeatureMap(Shape(1, tokens, cols), random_code(Format.INT16, rng)),  # Q4.11 before the function
    }
    layer = _layer("y", "x", rng.integers(-7, 8, (cols, inner, 1, 1)).astype(np.int8), maps, rng)
    qparams = random_code(output, rng)
    lo, hi = qparams.clamp
    maps["y"] = replace(maps["y"], qparams=qparams)
    gelu = _factor(_span(qparams) / 20000.0)
    return Network("x", "y", maps, [replace(layer, gelu=gelu, lo=lo, hi=hi)])


def mlp(tokens: int, channels: int, hidden: int, seed: int = 0) -> Network:
    """A linear layer with GELU and another one behind it, over a row of tokens."""
    network = gelu_linear(tokens, channels, hidden, seed=seed)
    rng = np.random.default_rng(seed + 1)
    maps = {**network.maps, "z": FeatureMap(Shape(1, tokens, channels), random_code(Format.INT8, rng))}
    weight = rng.integers(-7, 8, (channels, hidden, 1, 1)).astype(np.int8)
    return Network("x", "z", maps, [*network.layers, _layer("z", "y", weight, maps, rng)])


def layer_norm(tokens: int, channels: int, output: Format = Format.INT8, seed: int = 0) -> Network:
    """LayerNorm over the channels of a row of tokens."""
    rng = np.random.default_rng(seed)
    shape = Shape(1, tokens, channels)
    maps = {"x": FeatureMap(shape, random_code(Format.INT8, rng)), "y": FeatureMap(shape, random_code(output, rng))}
    lo, hi = maps["y"].qparams.clamp
    square_shift = 13  # codes that reach to 255 from their mean, in Q6, squared
    fraction = (square_shift + 1) // 2 - 14
    out = _factor(_span(maps["y"].qparams) / 4.0 * 2.0**fraction * np.sqrt(channels / 2.0**square_shift))
    layer = QLayerNorm("y", "x", fixed_point(64 / channels), square_shift, channels, fraction, out, lo, hi)
    return Network("x", "y", maps, [layer])


def regridded(
    size: Pair, skip: int, inner: int, cols: int, source: Format = Format.INT8, output: Format = Format.INT8,
    seed: int = 0,
) -> Network:  # fmt: skip
    """A linear layer that lays a row of tokens out as a map of `size`, without the first `skip`."""
    rng = np.random.default_rng(seed)
    maps = {
        "x": FeatureMap(Shape(1, skip + size[0] * size[1], inner), random_code(source, rng)),
        "y": FeatureMap(Shape(*size, cols), random_code(output, rng)),
    }
    weight = rng.integers(-7, 8, (cols, inner, 1, 1)).astype(np.int8)
    layer = _layer("y", "x", weight, maps, rng, regrid=Regrid(skip, *size))
    return Network("x", "y", maps, [layer])


def polished(
    shape: tuple[int, int, int], source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """A factor by channel."""
    rng = np.random.default_rng(seed)
    maps = {
        "x": FeatureMap(Shape(*shape), random_code(source, rng)),
        "y": FeatureMap(Shape(*shape), random_code(output, rng)),
    }
    lo, hi = maps["y"].qparams.clamp
    top = _span(maps["y"].qparams) / _reach(maps["x"].qparams)
    factors = [_factor(top * rng.uniform(0.1, 2.0)) for _ in range(shape[2])]
    multiplier = np.array([f.multiplier for f in factors], dtype=np.int16)
    shift = np.array([f.shift for f in factors], dtype=np.uint8)
    return Network("x", "y", maps, [QChannelScale("y", "x", -maps["x"].qparams.zero, multiplier, shift, lo, hi)])


def doubled(
    shape: tuple[int, int, int], axis: int, source: Format = Format.INT8, output: Format = Format.INT8, seed: int = 0
) -> Network:
    """Twice the rows (axis 0) or columns (axis 1)."""
    rng = np.random.default_rng(seed)
    h, w, c = shape
    wide = Shape(2 * h, w, c) if axis == 0 else Shape(h, 2 * w, c)
    maps = {"x": FeatureMap(Shape(*shape), random_code(source, rng)), "y": FeatureMap(wide, random_code(output, rng))}
    lo, hi = maps["y"].qparams.clamp
    top = 1.5 * _span(maps["y"].qparams) / _reach(maps["x"].qparams)
    add = -maps["x"].qparams.zero
    fraction = _fraction(maps["y"].qparams, rng)
    near, far = (_factor(part * top * 2**fraction) for part in (0.75, 0.25))
    return Network("x", "y", maps, [QUpsample("y", "x", axis, add, near, far, fraction, lo, hi)])


def summed(
    shape: tuple[int, int, int], source: Format = Format.INT8, constant: Format = Format.INT8,
    output: Format = Format.INT8, seed: int = 0,
) -> Network:  # fmt: skip
    """The input and a constant map, added."""
    rng = np.random.default_rng(seed)
    maps = {
        name: FeatureMap(Shape(*shape), random_code(fmt, rng))
        for name, fmt in (("x", source), ("c", constant), ("y", output))
    }
    lo, hi = maps["c"].qparams.limits
    codes = rng.integers(lo, hi + 1, shape)
    lo, hi = maps["y"].qparams.clamp
    x, c, y = (maps[name].qparams for name in ("x", "c", "y"))
    fraction = _fraction(y, rng)
    span = _span(y) * 2**fraction
    added = Residual("c", -c.zero, _factor(span / _reach(c)))
    layer = QAdd("y", "x", -x.zero, _factor(span / _reach(x)), lo, hi, added, fraction)
    return Network("x", "y", maps, [layer], {"c": codes})


def attention(
    tokens: int, heads: int, head_dim: int, narrow: bool = False, output: Format = Format.INT8, seed: int = 0,
    inner: int = 24, packed: bool = False,
) -> Network:  # fmt: skip
    """Queries, keys and values by linear layers of `inner` channels, and their attention. narrow: four-bit keys and
    values. packed: coded queries as well."""
    rng = np.random.default_rng(seed)
    shape = Shape(1, tokens, heads * head_dim)
    maps = {"x": FeatureMap(replace(shape, channels=inner), random_code(Format.INT8, rng))}
    maps["y"] = FeatureMap(shape, random_code(output, rng))
    layers: list[QLayer] = []
    for name in ("q", "k", "v"):
        four = narrow and name != "q"
        lo, hi = NARROW if four else (-128, 127)
        zero = int(rng.integers(lo, hi + 1)) if name == "v" else 0
        qparams = QParams(Format.INT8, 1.0, zero, narrow=four, packed=packed and name == "k")
        if packed and name == "q":
            qparams = _signed_table(rng)
        maps[name] = FeatureMap(shape, qparams)
        weight = rng.integers(-7, 8, (shape.channels, inner, 1, 1)).astype(np.int8)
        layers.append(_layer(name, "x", weight, maps, rng))
    lo, hi = maps["y"].qparams.clamp
    spread = (9.0 if packed else 64.0) * (4.0 if narrow else 64.0) * np.sqrt(head_dim)
    out = _factor(_span(maps["y"].qparams) / (1500.0 if narrow else 24000.0))
    layers.append(
        QAttention(
            "y", "q", "k", "v", heads, head_dim, (1, 1), score=_factor(64.0 / spread), score_zero=-20,
            exponent=_factor(40.0), weight=Scale(127 << 7, 22), fraction=-7, out=out,
            zero=int(rng.integers(-20, 21)), lo=lo, hi=hi, packed=packed,
        )
    )  # fmt: skip
    return Network("x", "y", maps, layers)


def _signed_table(rng: np.random.Generator) -> QParams:
    """A random code table whose entry 0 means zero."""
    entries = np.sort(np.append(rng.choice(np.setdiff1d(np.arange(ENTRY_MIN, ENTRY_MAX + 1), [0]), 15, False), 0))
    thresholds = np.sort(rng.integers(-20000, 20001, 15))
    return QParams(Format.TABLE4, 1.0, 0, CodeTable(tuple(entries.tolist()), tuple(thresholds.tolist())))


def _span(qparams: QParams) -> float:
    """From the lowest to the highest value that a map's encoder tells apart."""
    if qparams.table is not None:
        return float(qparams.table.thresholds[-1] - qparams.table.thresholds[0])
    return _reach(qparams)


def _reach(qparams: QParams) -> float:
    """From the lowest to the highest value that a map's readers see."""
    lo, hi = qparams.limits if qparams.table is None else (min(qparams.table.entries), max(qparams.table.entries))
    return float(hi - lo)


def _factor(real: float) -> Scale:
    """The fixed-point factor of a real one."""
    shift = 14 - int(np.floor(np.log2(real)))
    return Scale(min(int(real * 2.0**shift), 32767), shift)


def _fraction(qparams: QParams, rng: np.random.Generator) -> int:
    """Bits that a sum is finer than what its code is made from, unless that has 16 already."""
    return int(rng.integers(0, 8)) if qparams.clamp != (-32768, 32767) else 0


def _layer(
    name: str, source: str, weight: np.ndarray, maps: dict[str, FeatureMap], rng: np.random.Generator, **more: Any
) -> QConv2d:
    """A convolution with random parameters."""
    return QConv2d(**{**_product(name, source, weight, maps, rng), **more})


def _product(
    name: str, source: str, weight: np.ndarray, maps: dict[str, FeatureMap], rng: np.random.Generator
) -> dict[str, Any]:
    """Random parameters that spread the output over its codes."""
    channels = maps[name].shape.channels
    qparams = maps[name].qparams
    lo, hi = qparams.clamp
    products = weight.size // channels
    spread = 4.0 * np.sqrt(products) * (5.0 if maps[source].qparams.bits == 4 else 60.0)
    factor = max((hi - lo) / 4.0 / spread, 2.0**-20)
    shift = 14 - int(np.floor(np.log2(factor)))
    multiplier = np.clip(rng.uniform(0.6, 1.0, channels) * factor * 2.0**shift, 1, 32767)
    return dict(
        name=name,
        source=source,
        weight=weight,
        bias=rng.integers(-int(spread), int(spread) + 1, channels).astype(np.int32),
        multiplier=multiplier.astype(np.int16),
        shift=np.full(channels, shift, dtype=np.uint8),
        lo=lo,
        hi=hi,
    )
