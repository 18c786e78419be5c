"""Attention: softmax(scale q k^T) v by sequence and head."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.functions import exp2n, recip
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable, Wish
from triptych.golden.quartdepth.compiler.places import round_up
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.layer import (
    FloatLayer,
    Maps,
    Need,
    Observe,
    QLayer,
    QMaps,
    Quantising,
    apply,
    read,
)
from triptych.golden.quartdepth.network.operation import Declined, Operation, Stage
from triptych.golden.quartdepth.network.ops import _scores
from triptych.golden.quartdepth.network.ops._attention_example import example
from triptych.golden.quartdepth.network.ops._attention_work import AttentionWork
from triptych.golden.quartdepth.network.ops._scores import HIDDEN, HIDES, Scores, arrange, hidden, scores_of
from triptych.golden.quartdepth.network.ops.concat import Concat
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.gather import Gather
from triptych.golden.quartdepth.network.qparams import (
    FeatureMap,
    QuantizeError,
    Residual,
    Scale,
    fixed_point,
    uniform_qparams,
)
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
_VIEWS = (
    aten.reshape.default, aten.view.default, aten._unsafe_view.default, aten.permute.default, aten.transpose.int,
    aten.unsqueeze.default, aten.squeeze.dim, aten.flatten.using_ints, aten.unflatten.int, aten.expand.default,
)  # fmt: skip
LOG2_E = math.log2(math.e)
NARROW_HEAD = 16  # of the head size up to which four-bit keys save time: they lie in one word of a scratchpad
MOST_BYTES = 400 << 10  # of queries, keys and values at a time: half the scratchpad of `paper`
SCORE_FRACTION = 6  # bits below a score's unit that product and bias keep until they are rounded, once
UNSEEN = 6.0  # by which a score is below all others where a key is hidden: what is 1/2 of 127 at most is no weight
MEAN_FRACTION = -7  # a weighted mean of int8 values in Q7 fits in 16 bits


@dataclass(frozen=True, eq=False)
class Attention(FloatLayer):
    """softmax(scale q k^T) v per sequence and head; sequence (p, q) holds the pixels (py a + p, px b + q).

    channels: of queries, keys and values, [heads, head size] channels of their maps or -1 for zero; None: in order.
    scales: besides `scale`, by head. bias: a constant [1 or sequences, queries, heads x keys] that is added to the
    scores; what is at most `HIDDEN` hides a key from a query. narrow: four bits do for the keys.
    """

    reads = ("query", "key", "value", "bias")

    query: str
    key: str
    value: str
    heads: int
    head_dim: int
    scale: float
    patch: tuple[int, int]
    channels: tuple[Tensor, Tensor, Tensor] | None = None
    scales: Tensor | None = None
    bias: str | None = None
    narrow: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        return replace(shape, channels=self.heads * self.head_dim)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        (py, px), (b, _, height, width) = self.patch, maps[self.query].shape

        def split(x: Tensor, channels: Tensor | None) -> Tensor:  # [B, p, q, heads, tokens, head size]
            h, w = x.shape[2:]
            if channels is not None:
                x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 1))[:, channels.flatten()]
            x = x.reshape(b, self.heads, self.head_dim, h // py, py, w // px, px)
            return x.permute(0, 4, 6, 1, 3, 5, 2).flatten(4, 5)

        picked = (None, None, None) if self.channels is None else self.channels
        names = (self.query, self.key, self.value)
        q, k, v = (split(maps[name], channels) for name, channels in zip(names, picked, strict=True))
        scores = q @ k.transpose(-1, -2) * self.scale
        if self.scales is not None:
            scores = scores * self.scales[:, None, None]
        if self.bias is not None:  # [B, 1 or sequences, 1, heads, queries, keys]
            bias = maps[self.bias].unflatten(1, (self.heads, -1)).permute(0, 3, 1, 4, 2)[:, :, None]
            observe(f"{self.name}/products", scores)
            scores = scores + bias
            seen = scores[(bias > HIDDEN / 2).expand_as(scores)]
            observe(f"{self.name}/bias", bias[bias > HIDDEN / 2])
            observe(f"{self.name}/scores", seen)
        else:
            observe(f"{self.name}/scores", scores)
        x = (scores.softmax(-1) @ v).unflatten(4, (height // py, width // px)).permute(0, 3, 6, 4, 1, 5, 2)
        return x.reshape(b, self.heads * self.head_dim, height, width)

    def need(self, source: str) -> Need:
        if source == self.bias:
            return Need.EIGHT_BITS
        return Need.NARROW if self.narrow and source == self.key else Need.SYMMETRIC

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.value,)

    @property
    def no_gain(self) -> tuple[str, ...]:
        return (self.query, self.key)

    def quantise(self, q: Quantising) -> list[QLayer]:
        query, key, value, out = (q.qparams(n) for n in (self.query, self.key, self.value, self.name))
        if any(p.format is not Format.INT8 for p in (query, key, value)) or query.zero or key.zero:
            raise QuantizeError(f"'{self.name}': queries, keys and values must be INT8, the first two symmetric")
        low, high = q.ranges[f"{self.name}/scores"]
        lowest = low if self.bias is None else self._coded(q, low)
        step = max((high - lowest) / 255, 1e-6)
        fraction = 0 if self.bias is None else SCORE_FRACTION
        product = query.scale * key.scale * self.scale * 2**fraction / step
        # what is added at the end has 16 bits
        unit = max(out.step, value.scale * max(abs(value.zero), 1) / 32000)
        lo, hi = out.clamp
        return [
            QAttention(
                self.name, self.query, self.key, self.value, self.heads, self.head_dim, self.patch,
                score=fixed_point(product, f"'{self.name}': the scores' rescaling"),
                score_zero=int(np.clip(round(-128 - lowest / step), -32768, 32767)),
                exponent=fixed_point(step * LOG2_E * 1024, f"'{self.name}': the exponent"),
                weight=Scale(127 << 7, 22),
                fraction=MEAN_FRACTION,
                out=fixed_point(value.scale * 2.0**MEAN_FRACTION / unit, f"'{self.name}': the output rescaling"),
                zero=round(out.zero - value.zero * value.scale / unit),
                lo=lo, hi=hi,
                bias=None if self.bias is None else q.residual(self.bias, self.name, step / 2**fraction),
                score_fraction=fraction,
                keys=0 if self.bias is None else q.maps[self.bias].shape.channels // self.heads,
            )
        ]  # fmt: skip

    def _coded(self, q: Quantising, low: float) -> float:
        """Chooses the code of the bias, whose lowest value hides a key whatever the product is; the lowest score."""
        assert self.bias is not None
        least, most = q.ranges[f"{self.name}/bias"]
        if q.ranges[self.bias][0] <= HIDDEN / 2:
            low -= UNSEEN
            least = min(least, low - q.ranges[f"{self.name}/products"][1])
        q.maps[self.bias] = FeatureMap(q.maps[self.bias].shape, uniform_qparams(least, most, Format.INT8))
        return low


@dataclass(frozen=True, eq=False)
class QAttention(Lowerable):
    """Attention by sequence (positions of `patch`) and head; query and key have zero point 0.

    `x = clamp(rs(q.k * score) + score_zero)` int8, with a bias
    `x = clamp(rs(sat32(rs(q.k * score) + rs((B + add) * bias)), score_fraction) + score_zero)`;
    `e = clamp(rs(EXP2N(sat16(rs((x - max x) * exponent))) * weight), 0, 127)`; `{e', m} = recip(sum e)`;
    `Y = sat32(rs((sum e v) * m, e' + fraction))`; `V = clamp(rs(sat16(Y) * out) + zero, lo, hi)`.
    """

    reads = ("query", "key", "value", "bias")
    on_mxu = True

    query: str
    key: str
    value: str
    heads: int
    head_dim: int
    patch: tuple[int, int]
    score: Scale
    score_zero: int
    exponent: Scale
    weight: Scale
    fraction: int
    out: Scale
    zero: int
    lo: int
    hi: int
    bias: Residual | None = None
    score_fraction: int = 0
    keys: int = 0  # where there is a bias

    def run(self, maps: QMaps) -> Ints:
        py, px = self.patch
        h, w, _ = maps.codes(self.query).shape

        def split(name: str) -> Ints:  # [sequences, heads, tokens, head size]
            h, w, _ = maps.codes(name).shape
            x = read(maps, name).reshape(h // py, py, w // px, px, self.heads, self.head_dim)
            return x.transpose(1, 3, 4, 0, 2, 5).reshape(py * px, self.heads, -1, self.head_dim)

        def product(a: Ints, b: Ints) -> Ints:
            return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)

        q, k, v = (split(name) for name in (self.query, self.key, self.value))
        scores = apply(product(q, k.swapaxes(2, 3)), self.score)
        if self.bias is not None:
            bias = apply(read(maps, self.bias.source) + self.bias.add, self.bias.scale)
            bias = bias.reshape(*bias.shape[:2], self.heads, self.keys).swapaxes(1, 2)
            scores = rs(sat32(scores + bias), self.score_fraction)
        scores = np.clip(scores + self.score_zero, -128, 127)
        power = apply(scores - scores.max(3, keepdims=True), self.exponent)
        e = np.clip(apply(exp2n(sat16(power)), self.weight), 0, 127)
        inverse = recip(e.sum(3, keepdims=True))
        mixed = sat32(rs(product(e, v) * (inverse & 0xFFFF), (inverse >> 16) + self.fraction))
        out = np.clip(apply(sat16(mixed), self.out) + self.zero, self.lo, self.hi)
        out = out.reshape(py, px, self.heads, h // py, w // px, self.head_dim).transpose(3, 0, 4, 1, 2, 5)
        return maps.qparams(self.name).store(out.reshape(h, w, -1))

    def macs(self, maps: Mapping[str, FeatureMap]) -> int:
        shape = maps[self.query].shape
        tokens = len(maps[self.key].shape) // (self.patch[0] * self.patch[1])
        return 2 * len(shape) * tokens * self.heads * self.head_dim

    def mode(self, layout: Layout) -> str:
        return "attention"

    def wishes(self, config: ChipConfig) -> dict[str, Wish]:
        depth, cols, dim = config.depth, config.cols, self.head_dim
        channel = np.arange(self.heads * dim)
        head, within = channel // dim, channel % dim
        first_word = head * dim // depth
        words = int(((head * dim + dim - 1) // depth - first_word).max()) + 1
        keys = head * words * depth + head * dim - first_word * depth + within
        slots = head * round_up(dim, cols) + within
        wishes = {
            self.query: Wish(channel, self.patch),
            self.key: Wish(keys, self.patch, self.heads * words * depth),
            self.value: Wish(slots, self.patch),
            self.name: Wish(slots, self.patch),
        }
        if self.bias is not None:
            score = np.arange(self.heads * self.keys)
            wishes[self.bias.source] = Wish(score // self.keys * round_up(self.keys, depth) + score % self.keys)
        return wishes

    def work(self, layout: Layout, config: ChipConfig) -> AttentionWork:
        query, key, value, out = (layout.places[name] for name in (self.query, self.key, self.value, self.name))
        bias = None if self.bias is None else layout.places[self.bias.source]
        return AttentionWork(self, query, key, value, out, bias)


def product(c: Capture, node: Node) -> Any:
    """aten.matmul of queries and keys, or of their softmax and values."""
    a, b = c.arg(node, 0), c.arg(node, 1)
    if isinstance(a, View) and isinstance(b, View):
        return scores_of(a, _turned(b))
    if isinstance(a, Scores) and a.softmax and not a.turned and isinstance(b, View):
        return _attention(c, node, a, b)
    if isinstance(b, Scores) and b.softmax and b.turned and isinstance(a, View):
        return _turned(_attention(c, node, b, _turned(a)))
    raise Declined("a product of two maps must be part of softmax(q k^T) v")


def _turned(view: View) -> View:
    return View(view.fmap, view.index.transpose(-1, -2))


def sdpa(c: Capture, node: Node) -> View:
    """aten.scaled_dot_product_attention, its mask a constant."""
    q, k, v = (c.view(c.arg(node, i)) for i in range(3))
    mask = c.arg(node, 3)
    if (mask is not None and not isinstance(mask, Tensor)) or float(c.arg(node, 4, 0.0)):
        raise GraphError("attention can have a mask that is a constant, and no dropout")
    factor: Any = node.kwargs.get("scale")
    scores = scores_of(q, k, q.index.shape[-1] ** -0.5 if factor is None else float(factor))
    if c.arg(node, 5, False):
        scores = scores.biased(hidden(torch.ones(scores.size, dtype=torch.bool).tril()))
    if mask is not None and bool((hidden(mask) != 0).any()):
        scores = scores.biased(hidden(mask))
    return _attention(c, node, scores, v)


def _attention(c: Capture, node: Node, scores: Scores, value: View) -> View:
    name = c.name(node)
    found = arrange(c, name, scores, value)
    heads, dim = found.channels[0].shape
    bias = None
    if found.bias is not None:
        bias = f"{name}.bias"
        seen = torch.where(found.bias <= HIDES, HIDDEN, found.bias)
        constant = seen.flatten(2).permute(2, 0, 1)[None].contiguous()
        c.shapes[bias], c.constants[bias] = Shape(*constant.permute(0, 2, 3, 1).shape[1:]), constant
    one = bool((found.scales == found.scales[0]).all())
    factor, scales = (float(found.scales[0]), None) if one else (1.0, found.scales)
    narrow = dim <= NARROW_HEAD
    layer = Attention(
        name, *found.maps, heads, dim, factor, found.patch, found.channels, scales, bias=bias, narrow=narrow
    )
    c.add(layer, replace(c.shapes[found.maps[0]], channels=heads * dim))
    return View(name, found.index.reshape(*scores.lead, *found.index.shape[1:]))


def split_projections(graph: FloatGraph) -> FloatGraph:
    """One linear layer each for queries, keys and values, so that each has its own scale and place; and several
    attentions of fewer heads, whose results are joined, where those of all heads would fill a scratchpad."""
    layers: list[FloatLayer] = []
    made = {layer.name: layer for layer in graph.layers}
    shapes, constants = dict(graph.shapes), dict(graph.constants)
    for layer in graph.layers:
        if not isinstance(layer, Attention):
            layers.append(layer)
            continue
        parts = _parts(layer, shapes[layer.query])
        heads = layer.heads // parts
        for part in range(parts):
            suffix, rows = f".{part}" if parts > 1 else "", slice(part * heads, (part + 1) * heads)
            names = []
            for place, source in enumerate((layer.query, layer.key, layer.value)):
                picked = _picked(layer, place, shapes[source].channels)[rows].flatten()
                gain = torch.ones(len(picked))
                if place == 0 and layer.scales is not None:
                    gain = layer.scales[rows].repeat_interleave(layer.head_dim)
                names.append(_own(layers, made, shapes, source, f"{'qkv'[place]}{suffix}", picked, gain))
            query, key, value = names
            own = replace(
                layer, name=f"{layer.name}{suffix}", query=query, key=key, value=value, channels=None, scales=None,
                heads=heads,
            )  # fmt: skip
            if layer.bias is not None and parts > 1:
                own = replace(own, bias=f"{layer.bias}{suffix}")
                whole = graph.constants[layer.bias].unflatten(1, (layer.heads, -1))[:, rows].flatten(1, 2)
                constants[f"{layer.bias}{suffix}"] = whole
                shapes[f"{layer.bias}{suffix}"] = replace(shapes[layer.bias], channels=whole.shape[1])
            layers.append(own)
            shapes[own.name] = replace(shapes[layer.name], channels=heads * layer.head_dim)
        if parts > 1:
            layers.append(Concat(layer.name, tuple(f"{layer.name}.{part}" for part in range(parts))))
            if layer.bias is not None:
                del constants[layer.bias], shapes[layer.bias]
    return replace(graph, layers=layers, shapes=shapes, constants=constants)


def _picked(layer: Attention, place: int, channels: int) -> Tensor:
    """Channels [heads, head size] of queries, keys or values."""
    if layer.channels is None:
        return torch.arange(channels).reshape(layer.heads, layer.head_dim)
    return layer.channels[place]


def _own(
    layers: list[FloatLayer], made: dict[str, FloatLayer], shapes: dict[str, Shape], source: str, role: str,
    picked: Tensor, gain: Tensor,
) -> str:  # fmt: skip
    """The map of some channels of another one (-1: zero), times a factor each: of a linear layer of its own."""
    layer, name = made.get(source), f"{source}.{role}"
    shapes[name] = replace(shapes[source], channels=len(picked))
    if isinstance(layer, Gather) and len(layer.parts) == 1:
        before = _own(layers, made, shapes, layer.parts[0], f"{role}.{layer.name}", picked, gain)
        layers.append(replace(layer, name=name, parts=(before,)))
        return name
    gain = torch.where(picked < 0, 0.0, gain)
    rows = picked.clamp(min=0)
    if isinstance(layer, Conv2d) and not layer.depthwise:
        weight = layer.weight[rows] * gain[:, None, None, None]
        layers.append(replace(layer, name=name, weight=weight, bias=layer.bias[rows] * gain))
    else:
        weight = torch.zeros(len(rows), shapes[source].channels, 1, 1)
        weight[torch.arange(len(rows)), rows, 0, 0] = gain
        layers.append(Conv2d(name, source, weight, torch.zeros(len(rows))))
    return name


def _parts(layer: Attention, shape: Shape) -> int:
    """Into how many attentions of as many heads each it is cut: as few as leave queries, keys and values of a sequence
    within `MOST_BYTES`. Sequences at positions of a patch stay whole: only linear layers can read them."""
    tokens = len(shape) // (layer.patch[0] * layer.patch[1])
    if layer.patch != (1, 1):
        return 1
    fitting = (
        n for n in range(1, layer.heads + 1)
        if layer.heads % n == 0 and 3 * tokens * layer.head_dim * layer.heads // n <= MOST_BYTES
    )  # fmt: skip
    return next(fitting, layer.heads)


OPERATION = Operation(
    title="Attention",
    forms="`scaled_dot_product_attention`, or `softmax(q k^T * scale + bias) v` in any order of its factors, scaled by "
    "a number or one for each head; over all pixels, those at each position of a patch, or any sequences (windows, "
    "shifted ones, tokens of a part); keys of another map, fewer or more; bias and masks that are constants, by head "
    "and sequence; values of another head size; queries, keys and values from linear layers, joint or apart, or from "
    "anything else",
    widths="queries and values INT8; keys int4 (as INT8 in -7..7) where they are narrow, else INT8 in two passes; any "
    "output",
    mapping="by sequence, head and block of R queries (heads in several layers, joined, where all would fill a "
    "scratchpad): scores and row maxima, powers of two and row sums, reciprocals; "
    "then the values, drained times the reciprocal. Keys and values stay, queries may pass by in tiles. The "
    "scores of the next block are computed before the values of this one are mixed; row scalars alternate "
    "between two pairs of registers",
    limits="no mask, not causal; keys and values of one sequence and two blocks of scores in the scratchpad; what "
    "reads it is linear",
    cost="(words of a key x passes + 2 ceil(tokens / D)) cycles a query and C keys; softmax 2 ceil(tokens / C) of "
    "the VPU",
    example=example,
    aten={
        aten.scaled_dot_product_attention.default: sdpa,
        aten.matmul.default: product,
        aten.bmm.default: product,
        **dict.fromkeys((aten.mul.Tensor, aten.div.Tensor, aten.mul_.Tensor, aten.div_.Tensor), _scores.scale),
        **dict.fromkeys((aten.add.Tensor, aten.add_.Tensor), _scores.add),
        **dict.fromkeys((aten.softmax.int, aten._softmax.default), _scores.softmax),
        aten.masked_fill.Scalar: _scores.fill,
        **dict.fromkeys(_VIEWS, _scores.rearrange),
    },
    floats=(Attention,),
    integers=(QAttention,),
    rewrites=((Stage.SPLIT, split_projections),),
)
