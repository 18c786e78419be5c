"""Attention: softmax(scale q k^T) v by sequence and head."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
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
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops._attention_work import AttentionWork
from triptych.golden.quartdepth.network.ops._sequences import heads_of, patch_of
from triptych.golden.quartdepth.network.ops.concat import Concat
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.qparams import FeatureMap, QuantizeError, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
LOG2_E = math.log2(math.e)
NARROW_HEAD = 16  # of the head size up to which four-bit keys save time: they lie in one word of a scratchpad
MOST_BYTES = 400 << 10  # of queries, keys and values at a time: half the scratchpad of `paper`
MEAN_FRACTION = -7  # a weighted mean of int8 values in Q7 fits in 16 bits


@dataclass(frozen=True, eq=False)
class Attention(FloatLayer):
    """softmax(scale q k^T) v per sequence and head; sequence (p, q) holds the pixels (py a + p, px b + q).

    `channels`: first channel of queries, keys and values in their maps. narrow: four bits do for the keys.
    """

    reads = ("query", "key", "value")

    query: str
    key: str
    value: str
    heads: int
    head_dim: int
    scale: float
    patch: tuple[int, int]
    channels: tuple[int, int, int] = (0, 0, 0)
    narrow: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        return replace(shape, channels=self.heads * self.head_dim)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        (py, px), (b, _, height, width) = self.patch, maps[self.query].shape

        def split(name: str) -> Tensor:  # [B, p, q, heads, tokens, head size]
            h, w = maps[name].shape[2:]
            x = maps[name].reshape(b, self.heads, self.head_dim, h // py, py, w // px, px)
            return x.permute(0, 4, 6, 1, 3, 5, 2).flatten(4, 5)

        q, k, v = (split(name) for name in self.sources)
        scores = q @ k.transpose(-1, -2) * self.scale
        observe(f"{self.name}/scores", scores)
        x = (scores.softmax(-1) @ v).unflatten(4, (height // py, width // px)).permute(0, 3, 6, 4, 1, 5, 2)
        return x.reshape(b, self.heads * self.head_dim, height, width)

    def need(self, source: str) -> Need:
        return Need.NARROW if self.narrow and source == self.key else Need.SYMMETRIC

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.value,)

    @property
    def no_gain(self) -> tuple[str, ...]:
        return (self.query, self.key)

    def quantise(self, q: Quantising) -> list[QLayer]:
        query, key, value, out = (q.qparams(n) for n in (*self.sources, self.name))
        if any(p.format is not Format.INT8 for p in (query, key, value)) or query.zero or key.zero:
            raise QuantizeError(f"'{self.name}': queries, keys and values must be INT8, the first two symmetric")
        low, high = q.ranges[f"{self.name}/scores"]
        step = max((high - low) / 255, 1e-6)
        # what is added at the end has 16 bits
        unit = max(out.step, value.scale * max(abs(value.zero), 1) / 32000)
        lo, hi = out.clamp
        return [
            QAttention(
                self.name, self.query, self.key, self.value, self.heads, self.head_dim, self.patch,
                score=fixed_point(query.scale * key.scale * self.scale / step, f"'{self.name}': the scores' rescaling"),
                score_zero=int(np.clip(round(-128 - low / step), -32768, 32767)),
                exponent=fixed_point(step * LOG2_E * 1024, f"'{self.name}': the exponent"),
                weight=Scale(127 << 7, 22),
                fraction=MEAN_FRACTION,
                out=fixed_point(value.scale * 2.0**MEAN_FRACTION / unit, f"'{self.name}': the output rescaling"),
                zero=round(out.zero - value.zero * value.scale / unit),
                lo=lo, hi=hi,
            )
        ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class QAttention(Lowerable):
    """Attention by sequence (positions of `patch`) and head; query and key have zero point 0.

    `x = clamp(rs(q.k * score) + score_zero)` int8; `e = clamp(rs(EXP2N(sat16(rs((x - max x) * exponent))) * weight),
    0, 127)`; `{e', m} = recip(sum e)`; `Y = sat32(rs((sum e v) * m, e' + fraction))`;
    `V = clamp(rs(sat16(Y) * out) + zero, lo, hi)`.
    """

    reads = ("query", "key", "value")
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

    def run(self, maps: QMaps) -> Ints:
        py, px = self.patch
        h, w, _ = maps.codes(self.query).shape

        def split(name: str) -> Ints:  # [sequences, heads, tokens, head size]
            h, w, _ = maps.codes(name).shape
            x = read(maps, name).reshape(h // py, py, w // px, px, self.heads, self.head_dim)
            return x.transpose(1, 3, 4, 0, 2, 5).reshape(py * px, self.heads, -1, self.head_dim)

        def product(a: Ints, b: Ints) -> Ints:
            return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)

        q, k, v = (split(name) for name in self.sources)
        scores = np.clip(apply(product(q, k.swapaxes(2, 3)), self.score) + self.score_zero, -128, 127)
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
        return {
            self.query: Wish(channel, self.patch),
            self.key: Wish(keys, self.patch, self.heads * words * depth),
            self.value: Wish(slots, self.patch),
            self.name: Wish(slots, self.patch),
        }

    def work(self, layout: Layout, config: ChipConfig) -> AttentionWork:
        return AttentionWork(self, *(layout.places[name] for name in (*self.sources, self.name)))


@dataclass(frozen=True)
class Scores:
    """While it is captured: `scale * query @ key^T` (and, when `softmax`, its softmax), not yet applied to values."""

    query: View
    key: View
    scale: float = 1.0
    softmax: bool = False


def matmul(c: Capture, node: Node) -> Any:
    """aten.matmul of queries and keys, or of their softmax and values."""
    a, b = c.arg(node, 0), c.arg(node, 1)
    if isinstance(a, View) and isinstance(b, View):
        return Scores(a, View(b.fmap, b.index.transpose(-1, -2)))
    if isinstance(a, Scores) and a.softmax and isinstance(b, View):
        return _attention(c, node, a.query, a.key, b, a.scale)
    raise Declined("a product of two maps must be part of softmax(q k^T) v")


def scale(c: Capture, node: Node) -> Scores:
    """aten.mul or aten.div of scores by a number."""
    scores, factor = c.arg(node, 0), c.arg(node, 1)
    if not isinstance(scores, Scores) or scores.softmax or not isinstance(factor, int | float):
        raise Declined("only attention scores can be scaled, and by a number")
    divide = node.target is aten.div.Tensor
    return replace(scores, scale=scores.scale / factor if divide else scores.scale * factor)


def softmax(c: Capture, node: Node) -> Scores:
    """aten.softmax of scores over keys."""
    scores, axis = c.arg(node, 0), c.arg(node, 1)
    once = isinstance(scores, Scores) and not scores.softmax
    if not once or axis not in (-1, scores.query.index.ndim - 1):
        raise Declined("softmax must run over the keys of attention scores")
    return replace(scores, softmax=True)


def sdpa(c: Capture, node: Node) -> View:
    """aten.scaled_dot_product_attention without mask."""
    q, k, v = (c.view(c.arg(node, i)) for i in range(3))
    mask = c.arg(node, 3)
    if isinstance(mask, Tensor) and bool((mask if mask.dtype is torch.bool else mask == 0).all()):
        mask = None  # it hides nothing
    if mask is not None or float(c.arg(node, 4, 0.0)) or c.arg(node, 5, False):
        raise GraphError("attention must have no mask, no dropout and not be causal")
    factor: Any = node.kwargs.get("scale")
    return _attention(c, node, q, k, v, q.index.shape[-1] ** -0.5 if factor is None else float(factor))


def _attention(c: Capture, node: Node, q: View, k: View, v: View, factor: float) -> View:
    (q_pix, q_ch, dim), (k_pix, k_ch, _), (v_pix, v_ch, v_dim) = (heads_of(c, x) for x in (q, k, v))
    own = q_pix.shape == k_pix.shape and torch.equal(q_pix, k_pix)
    pairs = k_pix.shape == v_pix.shape and torch.equal(k_pix, v_pix) and c.shapes[k.fmap] == c.shapes[v.fmap]
    every = torch.arange(len(c.shapes[k.fmap]))
    whole = torch.equal(k_pix.sort(1).values, every.expand(len(k_pix), -1))
    heads = (q_ch - q_ch.min()) // dim
    if (
        not (own or whole)
        or not pairs
        or dim != v_dim
        or len(heads) != len(k_ch)
        or any(not torch.equal((ch - ch.min()) // dim, heads) for ch in (k_ch, v_ch))
    ):
        raise GraphError("keys and values must come from the same pixels and heads, the queries' or all of a map")
    count = int(heads.max()) + 1
    sequences = torch.unique(q_pix, dim=0)
    shape = c.shapes[q.fmap]
    once = sequences.numel() == len(shape) and len(q_pix) == count * len(sequences)
    if not once or not torch.equal(sequences.flatten().sort().values, torch.arange(len(shape))):
        raise GraphError("every pixel must be in one sequence, and in all heads")
    patch = patch_of(sequences, shape)
    if not own and patch != (1, 1):
        raise GraphError("keys of another map must be for all queries")
    channels = (int(q_ch.min()), int(k_ch.min()), int(v_ch.min()))
    narrow = dim <= NARROW_HEAD
    layer = Attention(c.name(node), q.fmap, k.fmap, v.fmap, count, dim, factor, patch, channels, narrow)
    c.add(layer)
    index = q_pix[:, :, None] * (count * dim) + heads[:, None, None] * dim + torch.arange(dim)
    return View(layer.name, index.reshape(q.index.shape))


def split_projections(graph: FloatGraph) -> FloatGraph:
    """One linear layer each for queries, keys and values, so that each has its own scale and place; and several
    attentions of fewer heads, whose results are joined, where those of all heads would fill a scratchpad."""
    layers: list[FloatLayer] = []
    made = {layer.name: layer for layer in graph.layers}
    shapes = dict(graph.shapes)
    for layer in graph.layers:
        if not isinstance(layer, Attention):
            layers.append(layer)
            continue
        parts = _parts(layer, shapes[layer.query])
        heads = layer.heads // parts
        for part in range(parts):
            suffix = f".{part}" if parts > 1 else ""
            names = []
            for role, source, first in zip("qkv", layer.sources, layer.channels, strict=True):
                producer = made.get(source)
                if not isinstance(producer, Conv2d) or producer.depthwise:
                    raise GraphError(f"attention '{layer.name}': '{source}' must come from a linear layer")
                width = heads * layer.head_dim
                rows = slice(first + part * width, first + (part + 1) * width)
                name = f"{source}.{role}{suffix}"
                layers.append(replace(producer, name=name, weight=producer.weight[rows], bias=producer.bias[rows]))
                shapes[name] = replace(shapes[source], channels=width)
                names.append(name)
            query, key, value = names
            own = replace(
                layer, name=f"{layer.name}{suffix}", query=query, key=key, value=value, channels=(0, 0, 0), heads=heads
            )
            layers.append(own)
            shapes[own.name] = replace(shapes[layer.name], channels=heads * layer.head_dim)
        if parts > 1:
            layers.append(Concat(layer.name, tuple(f"{layer.name}.{part}" for part in range(parts))))
    return replace(graph, layers=layers, shapes=shapes)


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


class _Attends(nn.Module):
    def __init__(self, heads: int, dim: int, patch: tuple[int, int], reduced: int) -> None:
        super().__init__()
        self.heads, self.patch, width = heads, patch, heads * dim
        self.first, self.qkv, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 3 * width), nn.Linear(width, 5)
        self.reduce = nn.Conv2d(8, 8, reduced, reduced) if reduced else None

    def forward(self, x: Tensor) -> Tensor:
        (py, px), (h, w) = self.patch, x.shape[2:]
        y = self.first(x)
        t = y.reshape(8, h // py, py, w // px, px).permute(2, 4, 1, 3, 0).reshape(py * px, -1, 8)
        q, k, v = self.qkv(t).reshape(*t.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if self.reduce is not None:  # fewer keys than queries, as SegFormer has them
            t = self.reduce(y).flatten(2).transpose(1, 2)
            _, k, v = self.qkv(t).reshape(*t.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.last(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y.reshape(py, px, h // py, w // px, 5).permute(4, 2, 0, 3, 1).reshape(1, 5, h, w)


def example(rng: random.Random) -> Example:
    """Over all pixels, over the positions of a patch, or over fewer keys than queries."""
    patch = rng.choice([(1, 1), (1, 1), (2, 2), (1, 2)])
    size = (patch[0] * rng.randint(1, 5), patch[1] * rng.randint(1, 5))
    reduced = 2 if patch == (1, 1) and min(size) > 1 and rng.random() < 0.6 else 0
    return Example(_Attends(rng.choice([1, 2, 3]), rng.choice([8, 16, 32]), patch, reduced), (3, *size))


OPERATION = Operation(
    title="Attention",
    forms="`scaled_dot_product_attention`, or `softmax(q k^T * scale) v`, over all pixels or over those at each "
    "position of a patch; keys of another map, fewer or more; "
    "queries, keys and values from linear layers, one joint projection or three",
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
        aten.matmul.default: matmul,
        aten.mul.Tensor: scale,
        aten.div.Tensor: scale,
        aten.softmax.int: softmax,
        aten._softmax.default: softmax,
    },
    floats=(Attention,),
    integers=(QAttention,),
    rewrites=((Stage.SPLIT, split_projections),),
)
