"""Quantisation and the integer executor: codes, formats by mode, exactness against plain loops, closeness to float."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable, lognp_grid
from triptych.golden.quartdepth.arithmetic.functions import exp2n, recip, rsqrt
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Rounded
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.attention import QAttention
from triptych.golden.quartdepth.network.ops.concat import QConcat
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d, QConv2d
from triptych.golden.quartdepth.network.ops.conv_transpose2d import QConvTranspose2d
from triptych.golden.quartdepth.network.ops.layer_norm import QLayerNorm
from triptych.golden.quartdepth.network.ops.requantise import Requantise
from triptych.golden.quartdepth.network.ops.upsample import Upsample
from triptych.golden.quartdepth.network.qparams import (
    QParams,
    QuantizeError,
    Scale,
    fixed_point,
    symmetric_qparams,
    uniform_qparams,
)
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.shapes import Shape
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import conv2d, conv_transpose, depthwise, random_codes
from triptych.golden.quartdepth.zoo.meter import METER_XXS, MViTConfig, Transformer, fold_patches, unfold_patches


class Block(nn.Module):
    """Convolutions, a MobileViT transformer, a skip and a transposed convolution: every kind of layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 2, 1)
        self.deep = nn.Conv2d(12, 12, 3, 1, 1, groups=12)
        self.transformer = Transformer(METER_XXS, MViTConfig(12, 12, 20))
        self.up = nn.ConvTranspose2d(12, 8, 3, 2, 1, 1)
        self.out = nn.Conv2d(11, 1, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).relu()
        x = self.deep(x) + x
        x = fold_patches(self.transformer(unfold_patches(x)), *x.shape[2:])
        return self.out(torch.cat([self.up(x), image], 1))


def graph_of(module: nn.Module, *shape: int) -> tuple[FloatGraph, list[Tensor]]:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    images = [torch.rand(1, *shape) for _ in range(3)]
    return capture(module, images[0]), images


@given(st.floats(2.0**-30, 32767.0))
def test_fixed_point_has_fifteen_bits(real: float) -> None:
    scale = fixed_point(real)
    assert 0 < scale.multiplier <= 32767
    assert 0 <= scale.shift <= 47
    exact = scale.multiplier / 2**scale.shift
    assert abs(exact - real) <= real * 2.0**-14 or real > 16383


@given(st.floats(2.0**-30, 32767.0))
def test_fixed_point_is_the_nearest(real: float) -> None:
    """Network and golden machine share this number, so that only a bound on itself shows that it rounds."""
    scale = fixed_point(real)
    assert abs(scale.multiplier / 2**scale.shift - real) <= 0.5 / 2**scale.shift


@pytest.mark.parametrize(
    ("real", "multiplier", "shift"),
    [
        (1.0, 16384, 14), (0.3, 19661, 16), (1 / 3, 21845, 16), (0.7, 22938, 15), (2.5, 20480, 13), (1e-3, 16777, 24),
        (0.99999, 16384, 14), (32767.0, 32767, 0), (3.0517578e-05, 16384, 29),
    ],
)  # fmt: skip
def test_fixed_point_by_hand(real: float, multiplier: int, shift: int) -> None:
    """0.3 x 2^16 = 19660.8; 0.7 x 2^15 = 22937.6; 10^-3 x 2^24 = 16777.2; .99999 x 2^15 = 32767.7 rounds to 2^15."""
    assert fixed_point(real) == Scale(multiplier, shift)


@pytest.mark.parametrize(
    ("low", "high", "fmt", "scale", "zero"),
    [
        (-1.0, 2.0, Format.UINT4, 0.2, 5), (-0.5, 2.5, Format.UINT4, 0.2, 2), (-0.55, 2.45, Format.UINT4, 0.2, 3),
        (0.0, 25.5, Format.INT8, 0.1, -128), (-12.8, 12.7, Format.INT8, 0.1, 0), (-9.0, 0.0, Format.UINT4, 0.6, 15),
        (-1.29, 1.26, Format.INT8, 0.01, 1), (1.0, 3.0, Format.UINT4, 0.2, 0),
    ],
)  # fmt: skip
def test_uniform_code_by_hand(low: float, high: float, fmt: Format, scale: float, zero: int) -> None:
    """The zero point is the nearest code: .5 / .2 = 2.5 (to even), .55 / .2 = 2.75, -128 + 129 = 1."""
    found = uniform_qparams(low, high, fmt)
    assert found.scale == pytest.approx(scale, rel=1e-12)
    assert found.zero == zero


@pytest.mark.parametrize("real", [0.0, -1.0, 40000.0, math.inf, math.nan])
def test_fixed_point_refuses(real: float) -> None:
    with pytest.raises(QuantizeError, match="fixed-point"):
        fixed_point(real)


@given(st.floats(-100, 100), st.floats(-100, 100), st.sampled_from([Format.INT8, Format.UINT4]))
def test_uniform_code_holds_zero_and_its_range(a: float, b: float, fmt: Format) -> None:
    low, high = min(a, b), max(a, b)
    qparams = uniform_qparams(low, high, fmt)
    assert float(qparams.decode(np.array(qparams.pad))) == 0.0
    ends = qparams.decode(qparams.encode(np.array([min(low, 0.0), max(high, 0.0)])))
    assert np.all(np.abs(ends - [min(low, 0.0), max(high, 0.0)]) <= qparams.scale * 1.01)


def test_table_code_means_its_entries() -> None:
    table, (_, zero) = CodeTable.lognp(0.4, 5, unit=0.02), lognp_grid(0.4, 5)
    qparams = QParams(Format.TABLE4, 0.5, zero, table, unit=0.01)
    codes = qparams.encode(np.linspace(-3, 3, 101))
    assert codes.min() >= 0
    assert codes.max() <= 15
    assert np.array_equal(qparams.decode(codes), 0.5 * (np.array(table.entries)[codes] - zero))
    assert qparams.decode(np.array(qparams.pad)) == 0


def test_wrong_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="zero point"):
        QParams(Format.UINT4, 1.0, zero=16)
    with pytest.raises(ValueError, match="code table"):
        QParams(Format.TABLE4, 1.0)
    with pytest.raises(ValueError, match="entry 0"):
        QParams(Format.TABLE4, 1.0, table=CodeTable(tuple(range(-16, 0)), (0,) * 15))
    with pytest.raises(ValueError, match="zero point 16 is no TABLE4 entry"):
        QParams(Format.TABLE4, 1.0, zero=16, table=CodeTable(tuple(range(16)), (0,) * 15))


def test_formats_by_mode() -> None:
    graph, images = graph_of(Block(), 3, 16, 24)
    for bits, narrow in ((Widths.W4A8, Format.INT8), (Widths.W4A4, Format.UINT4)):
        network = quantize(graph, images, bits)
        eight = {network.input}
        for layer in network.layers:
            if isinstance(layer, QLayerNorm):
                eight.add(layer.source)
            if isinstance(layer, QAttention):
                eight.update(layer.sources)
                assert network.maps[layer.query].qparams.zero == network.maps[layer.key].qparams.zero == 0
            if isinstance(layer, QConv2d):
                assert -7 <= layer.weight.min() <= layer.weight.max() <= 7
        for name, fmap in network.maps.items():
            wanted = Format.INT16 if name == network.output else Format.INT8 if name in eight else narrow
            assert fmap.qparams.format is wanted, name
        join = next(x for x in network.layers if isinstance(x, QConcat))
        assert {network.maps[p].qparams for p in join.parts} == {network.maps[join.name].qparams}
        assert sum(isinstance(x, Requantise) for x in network.layers) == 1  # the image, which others read as it is


def test_integers_stay_near_float() -> None:
    """A bound against gross errors (a lost bias, a wrong zero point): a few percent of the output's spread."""
    graph, images = graph_of(Block(), 3, 16, 24)
    image = (torch.rand(16, 24, 3) * 255).to(torch.uint8)
    exact = graph.run(image.permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0).numpy()
    errors = {}
    for bits in (Widths.W4A8, Widths.W4A4):
        network = quantize(graph, images, bits)
        qparams = network.maps[network.output].qparams
        y = qparams.decode(network.run_integer(image_codes(network, image.numpy())))
        errors[bits] = float(np.std(y - exact) / np.std(exact))
    assert errors[Widths.W4A8] < 0.15
    assert errors[Widths.W4A8] < errors[Widths.W4A4] < 0.6


@pytest.mark.parametrize("bits", [Widths.W4A8, Widths.W4A4])
def test_sums_of_two_are_rounded_once(bits: Widths) -> None:
    """A linear layer with residual, a sum and both halves of a resize: the code is within half a unit of the real sum
    of what the sources' codes mean. Beyond the half: two roundings to 1/64, factors of 15 bits."""
    generator = torch.Generator().manual_seed(3)
    shape, wide = Shape(24, 32, 6), Shape(48, 32, 6)
    weights = [torch.randint(-7, 8, (6, 6, 1, 1), generator=generator).float() for _ in range(4)]
    scale, bias = 0.11, torch.zeros(6)
    a, b, joined, last = (scale * w for w in weights)
    layers = [
        Conv2d("a", "in", a, bias), Conv2d("b", "in", b, bias), Conv2d("joined", "a", joined, bias, residual="b"),
        Add("summed", "joined", "b"), Upsample("twice", "summed", 2), Conv2d("last", "twice", last, bias),
    ]  # fmt: skip
    shapes = dict.fromkeys(("in", "a", "b", "joined", "summed"), shape) | dict.fromkeys(("twice", "last"), wide)
    graph = FloatGraph("in", "last", shapes, layers)
    image = torch.rand(1, 6, 24, 32, generator=generator)
    rounded = {
        layer.name: Rounded(w, torch.full((6,), scale), layer.bias)
        for layer, w in zip((x for x in layers if isinstance(x, Conv2d)), weights, strict=True)
    }
    network = quantize(graph, [image], bits, rounded=rounded)
    codes = {"in": network.maps["in"].qparams.encode(image[0].permute(1, 2, 0).double().numpy())}
    network.run_integer(codes["in"], codes.__setitem__)
    meant = {
        name: torch.from_numpy(network.maps[name].qparams.decode(c)).permute(2, 0, 1)[None].float()
        for name, c in codes.items()
    }
    for name in ("joined", "summed", "twice"):
        qparams, layer = network.maps[name].qparams, next(x for x in layers if x.name == name)
        real = layer.run(meant, lambda name, tensor: None)[0].permute(1, 2, 0).numpy() / qparams.scale + qparams.zero
        lo, hi = qparams.limits
        assert np.abs(codes[name] - np.clip(real, lo, hi)).max() < 0.53, name


def test_given_codes_win_and_unknown_ones_are_refused() -> None:
    graph, images = graph_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 1)), 3, 6, 6)
    table = QParams(Format.TABLE4, 0.01, lognp_grid(0.4, 0)[1], CodeTable.lognp(0.4, 0, unit=0.01), unit=0.001)
    network = quantize(graph, images, codes={"0": table})
    assert network.maps["0"].qparams is table
    assert network.run_integer(random_codes(network, 0)).shape == (4, 4, 2)
    with pytest.raises(QuantizeError, match="no map 'nothing'"):
        quantize(graph, images, codes={"nothing": table})


def test_bad_calibration_is_refused() -> None:
    module = nn.Conv2d(3, 2, 1)
    graph, images = graph_of(module, 3, 4, 4)
    with pytest.raises(QuantizeError, match="at least one image"):
        quantize(graph, [])
    with pytest.raises(QuantizeError, match="must be"):
        quantize(graph, [torch.rand(1, 3, 4, 5)])
    with pytest.raises(QuantizeError, match="not finite"):
        quantize(graph, [images[0] * float("nan")])
    with pytest.raises(QuantizeError, match="uint8"):
        image_codes(quantize(graph, images), np.zeros((4, 5, 3), np.uint8))


def test_dead_channel_with_a_bias() -> None:
    """Weights of almost zero must not blow up the integer bias."""
    module = nn.Conv2d(3, 2, 1)
    graph, images = graph_of(module, 3, 4, 4)
    layer = graph.layers[0]
    with torch.no_grad():
        layer.weight[0] *= 1e-20  # type: ignore[attr-defined]
        layer.bias[0] = 3.0  # type: ignore[attr-defined]
    network = quantize(graph, images)
    quantised = network.layers[0]
    assert isinstance(quantised, QConv2d)
    assert np.abs(quantised.bias.astype(np.int64)).max() <= 1 << 30
    value = network.maps[network.output].qparams.decode(network.run_integer(random_codes(network, 1)))[..., 0]
    assert np.allclose(value, 3.0, atol=0.01)


# ---- the executor against plain loops over Python integers


def loops(network: Network, codes: Ints) -> Ints:
    """The convolution of a one-layer network, from its definition."""
    (layer,) = network.layers
    assert isinstance(layer, QConv2d | QConvTranspose2d)
    transposed = isinstance(layer, QConvTranspose2d)
    source, out = network.maps[layer.source], network.maps[layer.name]
    h, w, c = codes.shape
    x = [[[int(v) for v in pixel] for pixel in row] for row in source.qparams.meaning(codes)]
    weight = layer.weight.astype(int).tolist()
    result = np.zeros((out.shape.height, out.shape.width, out.shape.channels), dtype=np.int64)
    kernel = range(layer.weight.shape[2]), range(layer.weight.shape[3])
    for y, xx, o in np.ndindex(*result.shape):
        acc = int(layer.bias[o])
        for ky in kernel[0]:
            for kx in kernel[1]:
                if transposed:
                    iy, ry = divmod(y + layer.padding[0] - ky, layer.stride[0])
                    ix, rx = divmod(xx + layer.padding[1] - kx, layer.stride[1])
                    if ry or rx:
                        continue
                else:
                    iy, ix = y * layer.stride[0] + ky - layer.padding[0], xx * layer.stride[1] + kx - layer.padding[1]
                if not (0 <= iy < h and 0 <= ix < w):
                    continue
                if isinstance(layer, QConv2d) and layer.depthwise:
                    acc += x[iy][ix][o] * weight[o][0][ky][kx]
                elif transposed:
                    acc += sum(x[iy][ix][i] * weight[i][o][ky][kx] for i in range(c))
                else:
                    acc += sum(x[iy][ix][i] * weight[o][i][ky][kx] for i in range(c))
        shift = int(layer.shift[o])
        value = acc * int(layer.multiplier[o])
        value = (value + (1 << shift >> 1)) >> shift
        value = min(max(value + out.qparams.zero, layer.lo), layer.hi)
        if out.qparams.table is not None:
            value = sum(value >= t for t in out.qparams.table.thresholds)
        result[y, xx, o] = value
    return result


FORMATS = [Format.INT8, Format.UINT4, Format.TABLE4]


@settings(max_examples=12, derandomize=True)
@given(st.data())
def test_executor_equals_plain_loops(data: st.DataObject) -> None:
    source, output = data.draw(st.sampled_from(FORMATS)), data.draw(st.sampled_from([*FORMATS, Format.INT16]))
    h, w, c = (data.draw(st.integers(1, 6)) for _ in range(3))
    kind, seed = data.draw(st.sampled_from(["dense", "depthwise", "transposed"])), data.draw(st.integers(0, 99))
    if kind == "dense":
        network = conv2d((h, w, c), 3, (3, 2), (2, 1), (1, 1), source, output, seed=seed)
    elif kind == "depthwise":
        network = depthwise((h, w, c), (1, 2), (1, 1), source, output, seed=seed)
    else:
        network = conv_transpose((h, w, c), 3, (3, 3), (2, 2), (1, 1), (1, 0), source, output, seed=seed)
    codes = random_codes(network, seed)
    assert np.array_equal(network.run_integer(codes), loops(network, codes))


def half_up(value: int, shift: int) -> int:
    return value if shift <= 0 else (value + (1 << (shift - 1))) >> shift


def test_attention_and_layer_norm_equal_plain_loops() -> None:
    graph, images = graph_of(Block(), 3, 16, 24)
    network = quantize(graph, images)
    maps: dict[str, Ints] = {}
    network.run_integer(random_codes(network, 3), lambda name, codes: maps.update({name: codes}))
    norm = next(x for x in network.layers if isinstance(x, QLayerNorm))
    for y, x in ((0, 0), (3, 7), (7, 11)):
        a = maps[norm.source][y, x].tolist()
        mean = half_up(sum(a) * norm.mean.multiplier, norm.mean.shift)
        centred = [(v << 6) - mean for v in a]
        packed = int(rsqrt(sum(min(half_up(v * v, norm.square_shift), 32767) for v in centred) + norm.eps))
        zero = network.maps[norm.name].qparams.zero
        for c, v in enumerate(centred):
            wide = half_up(v * (packed & 0xFFFF), (packed >> 16) + norm.fraction)
            value = half_up(min(max(wide, -32768), 32767) * norm.out.multiplier, norm.out.shift) + zero
            assert maps[norm.name][y, x, c] == min(max(value, norm.lo), norm.hi)
    attend = next(x for x in network.layers if isinstance(x, QAttention))
    q, k, v = (maps[name] for name in attend.sources)
    for head, y, x in ((0, 0, 0), (3, 5, 8), (2, 7, 11)):
        part = slice(head * attend.head_dim, (head + 1) * attend.head_dim)
        keys = [(b, a) for b in range(y % 2, 8, 2) for a in range(x % 2, 12, 2)]
        scores = []
        for b, a in keys:
            dot = int(q[y, x, part] @ k[b, a, part])
            score = half_up(dot * attend.score.multiplier, attend.score.shift) + attend.score_zero
            scores.append(min(max(score, -128), 127))
        powers = []
        for s in scores:
            exponent = half_up((s - max(scores)) * attend.exponent.multiplier, attend.exponent.shift)
            power = int(exp2n(max(exponent, -32768)))
            powers.append(min(max(half_up(power * attend.weight.multiplier, attend.weight.shift), 0), 127))
        packed = int(recip(sum(powers)))
        for c in range(attend.head_dim):
            total = sum(e * int(v[b, a, part][c]) for e, (b, a) in zip(powers, keys, strict=True))
            mixed = half_up(total * (packed & 0xFFFF), (packed >> 16) + attend.fraction)
            value = half_up(min(max(mixed, -32768), 32767) * attend.out.multiplier, attend.out.shift) + attend.zero
            assert maps[attend.name][y, x, head * attend.head_dim + c] == min(max(value, attend.lo), attend.hi)


def test_symmetric_code_has_no_zero_point() -> None:
    assert symmetric_qparams(-3.0, 1.0) == QParams(Format.INT8, 3.0 / 127)
