"""LayerNorm over the channels of a pixel."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.functions import rsqrt
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32, wrap32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Function, Kind, Multiply, Reduce, Side
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import alike, elementwise
from triptych.golden.quartdepth.compiler.lowering import Factors, Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising, Turns, Ungained
from triptych.golden.quartdepth.network.operation import Example, Operation, Stage
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, QParams, QuantizeError, Scale, fixed_point

aten = torch.ops.aten
SPREAD = 1.25  # of the centred values over the largest seen


@dataclass(frozen=True, eq=False)
class LayerNorm(Ungained):
    """Normalisation over the channels of a pixel."""

    source: str
    gamma: Tensor
    beta: Tensor
    eps: float

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        x = maps[self.source]
        centred = x - x.mean(1, keepdim=True)
        observe(f"{self.name}/centred", centred)
        y = centred * (centred.square().mean(1, keepdim=True) + self.eps).rsqrt()
        return y * self.gamma[None, :, None, None] + self.beta[None, :, None, None]

    @property
    def wants_gain_behind(self) -> bool:
        return True

    @property
    def turns(self) -> tuple[Turns, ...]:
        """With the mean it keeps the centred values' squares."""
        plain = bool((self.gamma == self.gamma[0]).all()) and not bool(self.beta.any())
        return (Turns((self.source, self.name), mean=True),) if plain else ()

    def quantise(self, q: Quantising) -> list[QLayer]:
        source, out = q.qparams(self.source), q.qparams(self.name)
        n = len(self.gamma)
        low, high = q.ranges[f"{self.name}/centred"]
        peak = 64 * min(SPREAD * max(-low, high) / source.scale, 255.0)
        square_shift = max(0, math.ceil(math.log2(max(peak, 1.0) ** 2 / 32767)))
        unit = 4096 / (source.scale**2 * 2.0**square_shift)  # of `total` by squared input
        fraction = math.ceil(square_shift / 2) - 14
        factor = 2.0**fraction * math.sqrt(n / 2.0**square_shift) / out.step
        lo, hi = out.clamp
        return [
            QLayerNorm(
                self.name, self.source, fixed_point(64 / n), square_shift, min(round(n * self.eps * unit), 1 << 30),
                fraction, fixed_point(min(factor, LARGEST_FACTOR), f"'{self.name}': the output rescaling"), lo, hi,
                self._zeros(out),
            )
        ]  # fmt: skip

    def _zeros(self, out: QParams) -> NDArray[np.int8] | None:
        """The zero point of each channel, where its offset moves it. Raises QuantizeError."""
        if not bool(self.beta.any()):
            return None
        zeros = np.round(self.beta.double().cpu().numpy() / out.step) + out.zero
        if np.abs(zeros).max() > 127:
            raise QuantizeError(
                f"'{self.name}': its offsets are too large for zero points: its code's unit is too fine"
            )
        return zeros.astype(np.int8)


@dataclass(frozen=True, eq=False)
class QLayerNorm(Lowerable):
    """LayerNorm without gain: integers of docs/numerics.md, by pixel.

    `mean = sat32(rs(sum A * mean.multiplier, mean.shift))` in Q6; `X = (A << 6) - mean`;
    `total = sum clamp(rs(sat16(X)^2, square_shift))`; `{e, m} = rsqrt(total + eps)`;
    `Y = sat32(rs(X * m, e + fraction))`; `V = clamp(rs(sat16(Y) * out.multiplier, out.shift) + zero, lo, hi)`, with
    the zero point of the channel where `zeros` has them, else of the map.
    """

    leads = True
    dense = True

    source: str
    mean: Scale
    square_shift: int
    eps: int
    fraction: int
    out: Scale
    lo: int
    hi: int
    zeros: NDArray[np.int8] | None = None

    def run(self, maps: QMaps) -> Ints:
        a = read(maps, self.source)
        mean = apply(a.sum(2, keepdims=True), self.mean)
        x = (a << 6) - mean
        square = np.minimum(sat32(rs(sat16(x) ** 2, self.square_shift)), 32767)
        root = rsqrt(wrap32(square.sum(2, keepdims=True) + self.eps))
        y = sat32(rs(x * (root & 0xFFFF), (root >> 16) + self.fraction))
        y = apply(sat16(y), self.out)
        if self.zeros is None:
            return finish(maps, self.name, y, self.lo, self.hi)
        return maps.qparams(self.name).store(np.clip(y + self.zeros.astype(np.int64), self.lo, self.hi))

    @property
    def factors(self) -> Factors | None:
        if self.zeros is None:
            return None
        nothing = np.zeros(len(self.zeros))
        return Factors(nothing.astype(np.int16), nothing.astype(np.uint8), self.zeros)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        output = layout.places[self.name]
        (source,) = alike(self.name, layout, output, self.source)
        if source.elements != len(source.positions):
            raise CompileError(f"'{self.name}': its input lies in cells with gaps; put a convolution between them")
        bias = None if self.zeros is None else np.zeros(output.elements, dtype=np.int64)
        return JobWork(self, elementwise(output, source, bias=bias, words=3))

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        """Row sums, mean, squares of the centred row, reciprocal root, product. Row scalars 0 to 3."""
        source = microcode.read(maps, self.source, slots)
        centred = {**source, "a_shl": 6, "addend": Addend.ROW, "rs_a": 1}
        wide = {"lo": -32768, "hi": 32767}
        return microcode.program(
            {**source, **wide, "reduce": Reduce.SUM, "rs_d": 0},
            {
                "kind": Kind.SCALAR, "rs_a": 0, "mul": Multiply.IMM,
                "imm_m": self.mean.multiplier, "imm_s": self.mean.shift, "rs_d": 1,
            },
            {**centred, **wide, "mul": Multiply.SQUARE, "imm_s": self.square_shift, "reduce": Reduce.SUM, "rs_d": 2},
            {
                "kind": Kind.SCALAR, "rs_a": 2, "addend": Addend.IMM, "imm_add": self.eps,
                "fn": Function.RSQRT, "rs_d": 3,
            },
            {
                **centred, "mul": Multiply.ROW, "rs_m": 3, "imm_s": self.fraction, "side": Side.SCALE_F,
                "b_m": self.out.multiplier, "b_s": self.out.shift,
                **({"out_add": maps[self.name].qparams.zero} if self.zeros is None else {"zp_param": 1}),
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            },
        )  # fmt: skip


def capture(c: Capture, node: Node) -> View:
    """aten.layer_norm over channels."""
    tokens, pixels = c.tokens(c.arg(node, 0))
    channels = c.shapes[tokens.fmap].channels
    gamma, beta, eps = c.constant(node, 2), c.constant(node, 3), c.arg(node, 4, 1e-5)
    if list(c.arg(node, 1)) != [channels]:
        raise GraphError("LayerNorm must run over the channels alone")
    gamma = torch.ones(channels) if gamma is None else gamma
    beta = torch.zeros(channels) if beta is None else beta
    return c.add_tokens(LayerNorm(c.name(node, 2), tokens.fmap, gamma, beta, float(eps)), tokens, pixels)


def fold_gain(graph: FloatGraph) -> FloatGraph:
    """gamma and beta go into the linear layers that read the normalised map: W diag(gamma), b + W beta."""
    graph = _behind_others(graph)
    norms = {layer.name: layer for layer in graph.layers if isinstance(layer, LayerNorm)}
    layers: list[FloatLayer] = []
    for layer in graph.layers:
        if isinstance(layer, Conv2d) and layer.source in norms and not layer.depthwise:
            norm = norms[layer.source]
            bias = layer.bias + layer.weight[:, :, 0, 0] @ norm.beta
            layer = replace(layer, weight=layer.weight * norm.gamma[None, :, None, None], bias=bias)
        layers.append(layer)
    unit = [
        replace(x, gamma=torch.ones_like(x.gamma), beta=torch.zeros_like(x.beta)) if isinstance(x, LayerNorm) else x
        for x in layers
    ]
    return replace(graph, layers=unit)


def _behind_others(graph: FloatGraph) -> FloatGraph:
    """What anything but linear layers reads is the result of a depthwise convolution of one tap, gamma and beta."""
    others = set(graph.outputs)
    for layer in graph.layers:
        linear = isinstance(layer, Conv2d) and layer.pointwise
        others |= {s for s in layer.sources if not linear or layer.residual == s}  # type: ignore[attr-defined]
    layers: list[FloatLayer] = []
    shapes = dict(graph.shapes)
    for layer in graph.layers:
        layers.append(layer)
        if isinstance(layer, LayerNorm) and layer.name in others:
            unit = f"{layer.name}.unit"
            shapes[unit] = shapes[layer.name]
            weight = torch.zeros(len(layer.gamma), 1, 3, 3)
            weight[:, 0, 1, 1] = layer.gamma
            ones, zeros = torch.ones_like(layer.gamma), torch.zeros_like(layer.beta)
            layers[-1] = replace(layer, name=unit, gamma=ones, beta=zeros)
            layers.append(Conv2d(layer.name, unit, weight, layer.beta, padding=(1, 1), depthwise=True))
    return replace(graph, layers=layers, shapes=shapes)


class _Normalised(nn.Module):
    def __init__(self, channels: int, plain: bool) -> None:
        super().__init__()
        self.plain = plain
        self.first, self.norm, self.last = nn.Conv2d(3, channels, 1), nn.LayerNorm(channels), nn.Linear(channels, 5)
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        nn.init.uniform_(self.norm.bias, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.first(x).flatten(2).transpose(1, 2)
        normal = self.norm(tokens)
        y: Tensor = self.last(normal if self.plain else normal + tokens).transpose(1, 2).unflatten(2, x.shape[2:])
        return y


def example(rng: random.Random) -> Example:
    """In front of a linear layer, or of a sum."""
    return Example(_Normalised(rng.choice([8, 16, 33]), rng.random() < 0.5), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="LayerNorm",
    forms="`layer_norm` over the channels of pixels or tokens; linear layers behind it take its gain and offset",
    widths="INT8 in, any out",
    mapping="a VECTOR of five microwords: sum, mean, squares, reciprocal root, product; in one cluster with its "
    "readers, tile by tile (`compiler/clusters.py`); an offset by channel, where the method leaves one, is a zero "
    "point by channel",
    limits="not of a concatenation with gaps; in front of anything but linear layers gain and offset are a depthwise "
    "convolution of one tap",
    cost="3 ceil(channels / C) + 2 cycles of the VPU a pixel",
    example=example,
    aten={aten.layer_norm.default: capture},
    floats=(LayerNorm,),
    integers=(QLayerNorm,),
    rewrites=((Stage.FOLD, fold_gain),),
)
