"""Attention as a layer, in floats and in integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.functions import exp2n, recip
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable, Wish
from triptych.golden.quartdepth.compiler.places import round_up
from triptych.golden.quartdepth.network.integers import QMaps, apply, read
from triptych.golden.quartdepth.network.layer import (
    FloatLayer,
    Maps,
    Need,
    Observe,
    QLayer,
    Quantising,
    Stationary,
    Turns,
)
from triptych.golden.quartdepth.network.ops._attention_work import AttentionWork
from triptych.golden.quartdepth.network.ops._scores import HIDDEN
from triptych.golden.quartdepth.network.qparams import (
    FeatureMap,
    QuantizeError,
    Residual,
    Scale,
    fixed_point,
    uniform_qparams,
)
from triptych.golden.quartdepth.network.shapes import Shape

LOG2_E = math.log2(math.e)
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
    def _apart(self) -> bool:
        return len({self.query, self.key, self.value}) == 3 and self.channels is None

    @property
    def stationary(self) -> tuple[Stationary, ...]:
        if not self._apart:
            return ()
        # a narrow head fills no word of queries, whatever their bits
        return Stationary(self.key, self.query, shifts=True, streams=not self.narrow), Stationary(self.value)

    @property
    def turns(self) -> tuple[Turns, ...]:
        """By head: q k^T stays, and a weighted mean of turned values is the turned mean."""
        pairs = ((self.query, self.key), (self.value, self.name)) if self._apart else ()
        return tuple(Turns(pair, block=self.head_dim) for pair in pairs)

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return (self.value,)

    @property
    def no_gain(self) -> tuple[str, ...]:
        return (self.query, self.key)

    def quantise(self, q: Quantising) -> list[QLayer]:
        query, key, value, out = (q.qparams(n) for n in (self.query, self.key, self.value, self.name))
        if any(p.format is not Format.INT8 for p in (key, value)) or query.zero or key.zero or value.packed:
            raise QuantizeError(f"'{self.name}': keys and values must be INT8, queries and keys symmetric")
        if query.format is not (Format.TABLE4 if key.packed else Format.INT8):
            raise QuantizeError(f"'{self.name}': queries must be TABLE4 where keys are packed, and INT8 elsewhere")
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
                packed=key.packed,
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
    """Attention by sequence (positions of `patch`) and head; query and key have zero point 0. packed: queries come as
    codes of four bits, by table, and keys two a byte.

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
    packed: bool = False

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

    def rates(self, layout: Layout) -> tuple[str, ...]:
        """Scores, then values, which softmax' eight-bit codes weight."""
        return ("w4a4", "attention") if self.packed else ("attention",)

    def wishes(self, config: ChipConfig) -> dict[str, Wish]:
        cols, dim = config.cols, self.head_dim
        word = 2 * config.depth if self.packed else config.depth  # channels
        channel = np.arange(self.heads * dim)
        head, within = channel // dim, channel % dim
        first_word = head * dim // word
        words = int(((head * dim + dim - 1) // word - first_word).max()) + 1
        keys = head * words * word + head * dim - first_word * word + within
        slots = head * round_up(dim, cols) + within
        wishes = {
            self.query: Wish(channel, self.patch),
            self.key: Wish(keys, self.patch, self.heads * words * word),
            self.value: Wish(slots, self.patch),
            self.name: Wish(slots, self.patch),
        }
        if self.bias is not None:
            score = np.arange(self.heads * self.keys)
            pitch = round_up(self.keys, config.depth)
            wishes[self.bias.source] = Wish(score // self.keys * pitch + score % self.keys)
        return wishes

    def work(self, layout: Layout, config: ChipConfig) -> AttentionWork:
        query, key, value, out = (layout.places[name] for name in (self.query, self.key, self.value, self.name))
        bias = None if self.bias is None else layout.places[self.bias.source]
        return AttentionWork(self, query, key, value, out, bias)
