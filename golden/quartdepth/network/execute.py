"""Runs an integer network layer by layer in PyTorch and NumPy integers: the third witness beside machine and RTL.

It knows nothing of tiles, lanes, formats in memory or instructions. Convolutions are float64 ones over integers below
2^53, thus exact in any order of summation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from triptych.golden.quartdepth.arithmetic.functions import exp2n, gelu, recip, rsqrt
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32, wrap32
from triptych.golden.quartdepth.network.network import (
    Attend,
    Convolution,
    Double,
    Join,
    Layer,
    Network,
    Normalise,
    Polish,
    Rescale,
    Residual,
    Scale,
)

Pictures = dict[str, Ints]


def run(network: Network, codes: Ints, observe: Callable[[str, Ints], None] | None = None) -> Ints:
    """Output codes [h, w, c], int64, for input codes [h, w, c]; `observe(name, codes)` is shown every picture made.

    Raises ValueError when the input's shape or range is wrong.
    """
    network.check_codes(network.input, codes)
    pictures = {network.input: codes.astype(np.int64), **network.constants}
    for layer in network.layers:
        pictures[layer.name] = _RUN[type(layer)](layer, network, pictures)
        if observe is not None:
            observe(layer.name, pictures[layer.name])
    return pictures[network.output]


def _apply(v: Ints, scale: Scale) -> Ints:
    return sat32(rs(v * scale.multiplier, scale.shift))


def _finish(
    layer: Layer, network: Network, pictures: Pictures, y: Ints, lo: int, hi: int, fraction: int = 0
) -> Ints:  # fmt: skip
    """Residual, rounding, zero point, clamp, encoder."""
    residual: Residual | None = getattr(layer, "residual", None)
    code = network.pictures[layer.name].code
    if residual is not None:
        b = network.pictures[residual.source].code.read(pictures[residual.source])
        y = sat32(y + _apply(b + residual.add, residual.scale))
    return code.store(np.clip(rs(y, fraction) + code.zero, lo, hi))


def _meaning(name: str, network: Network, pictures: Pictures) -> Ints:
    return network.pictures[name].code.meaning(pictures[name])


def _maps(x: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)).permute(2, 0, 1)[None]


def _convolution(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    assert isinstance(layer, Convolution)
    x = _maps(_meaning(layer.source, network, pictures))
    if layer.regrid is not None:
        x = layer.regrid.apply(x)
    w = torch.from_numpy(layer.weight.astype(np.float64))
    if layer.transposed:
        y = F.conv_transpose2d(x, w, None, layer.stride, layer.padding, layer.extra)
    else:
        y = F.conv2d(x, w, None, layer.stride, layer.padding, groups=w.shape[0] if layer.depthwise else 1)
    acc = y[0].permute(1, 2, 0).numpy().astype(np.int64)
    v = wrap32(acc + layer.bias).astype(np.int64)
    scaled = sat32(rs(v * layer.multiplier.astype(np.int64), layer.shift))
    if layer.gelu is not None:
        scaled = _apply(gelu(sat16(scaled)), layer.gelu)
    return _finish(layer, network, pictures, scaled, layer.lo, layer.hi, layer.fraction)


def _rescale(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    assert isinstance(layer, Rescale)
    a = network.pictures[layer.source].code.read(pictures[layer.source])
    y = _apply(a + layer.add, layer.scale)
    return _finish(layer, network, pictures, y, layer.lo, layer.hi, layer.fraction)


def _polish(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    assert isinstance(layer, Polish)
    a = network.pictures[layer.source].code.read(pictures[layer.source])
    y = sat32(rs((a + layer.add) * layer.multiplier.astype(np.int64), layer.shift))
    return _finish(layer, network, pictures, y, layer.lo, layer.hi)


def _double(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    assert isinstance(layer, Double)
    a = network.pictures[layer.source].code.read(pictures[layer.source]) + layer.add
    near, far = _apply(a, layer.near), _apply(a, layer.far)
    size = a.shape[layer.axis]
    before, after = (np.clip(np.arange(size) + step, 0, size - 1) for step in (-1, 1))
    pair = np.stack([near + far.take(i, layer.axis) for i in (before, after)], layer.axis + 1)
    shape = [2 * n if axis == layer.axis else n for axis, n in enumerate(a.shape)]
    return _finish(layer, network, pictures, pair.reshape(shape), layer.lo, layer.hi, layer.fraction)


def _join(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    return np.concatenate([pictures[part] for part in layer.sources], axis=2)


def _pair(packed: Ints) -> tuple[Ints, Ints]:
    return packed & 0xFFFF, packed >> 16


def _normalise(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    assert isinstance(layer, Normalise)
    a = network.pictures[layer.source].code.read(pictures[layer.source])
    mean = _apply(a.sum(2, keepdims=True), layer.mean)
    x = (a << 6) - mean
    square = np.minimum(sat32(rs(sat16(x) ** 2, layer.square_shift)), 32767)
    m, e = _pair(rsqrt(wrap32(square.sum(2, keepdims=True) + layer.eps)))
    y = sat32(rs(x * m, e + layer.fraction))
    out = _apply(sat16(y), layer.out)
    return _finish(layer, network, pictures, out, layer.lo, layer.hi)


def _attend(layer: Layer, network: Network, pictures: Pictures) -> Ints:
    assert isinstance(layer, Attend)
    py, px = layer.patch
    h, w, _ = pictures[layer.query].shape

    def split(name: str) -> Ints:  # [sequences, heads, tokens, head size]
        x = network.pictures[name].code.read(pictures[name])
        x = x.reshape(h // py, py, w // px, px, layer.heads, layer.head_dim)
        return x.transpose(1, 3, 4, 0, 2, 5).reshape(py * px, layer.heads, -1, layer.head_dim)

    def product(a: Ints, b: Ints) -> Ints:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)

    q, k, v = (split(name) for name in (layer.query, layer.key, layer.value))
    scores = np.clip(_apply(product(q, k.swapaxes(2, 3)), layer.score) + layer.score_zero, -128, 127)
    power = _apply(scores - scores.max(3, keepdims=True), layer.exponent)
    e = np.clip(_apply(exp2n(sat16(power)), layer.weight), 0, 127)
    m, exponent = _pair(recip(e.sum(3, keepdims=True)))
    mixed = sat32(rs(product(e, v) * m, exponent + layer.fraction))
    out = np.clip(_apply(sat16(mixed), layer.out) + layer.zero, layer.lo, layer.hi)
    out = out.reshape(py, px, layer.heads, h // py, w // px, layer.head_dim).transpose(3, 0, 4, 1, 2, 5)
    return network.pictures[layer.name].code.store(out.reshape(h, w, -1))


_RUN: dict[type[Layer], Callable[[Layer, Network, Pictures], Ints]] = {
    Convolution: _convolution,
    Rescale: _rescale,
    Polish: _polish,
    Double: _double,
    Join: _join,
    Normalise: _normalise,
    Attend: _attend,
}
