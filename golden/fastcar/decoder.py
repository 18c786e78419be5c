"""The decoder in floating point, whole in this file: RMSNorm, RoPE, grouped-query attention, SwiGLU, and replay.

LLaMA's layer as VILA-U has it. `Decoder.forward` takes whole sequences (training); `decode_step` takes one token of
every row, with a KV cache, the temporal attention score (TAS) and replay: rows that replay are not computed.
Weights of the layers can be rounded to int4, one scale an output, as the chip has them (`Decoder.blend_int4`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.golden.fastcar.config import Chooser, LayerConfig, ModelConfig, Policy
from triptych.golden.fastcar.drs import groups
from triptych.golden.fastcar.tokenizer import LEVELS, SCALARS

Tap = Callable[[str, Tensor], None]  # sees the ranges of activations, for their static scales


class Int4Linear(nn.Module):
    """A projection without bias; `blend` mixes the weight (0) with its int4 rounding (1), gradients pass."""

    blend: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
        self.register_buffer("blend", torch.zeros(()), persistent=False)

    def scale(self) -> Tensor:
        """(outputs, 1): what one unit of an int4 weight is worth."""
        return self.weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-8) / 7

    def codes(self) -> Tensor:
        """int8 (outputs, inputs) in -7..7."""
        return (self.weight.detach() / self.scale()).round().clamp(-7, 7).to(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        scale = self.scale()
        rounded = (self.weight / scale).round().clamp(-7, 7) * scale
        return F.linear(x, self.weight + self.blend * (rounded - self.weight).detach())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE of pairs (2i, 2i+1): x (..., head_dim); cos, sin (..., head_dim / 2), broadcast."""
    even, odd = x.float()[..., 0::2], x.float()[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(x.dtype)


def rope_angles(config: LayerConfig, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 (context, head_dim / 2)."""
    angle = torch.arange(config.context)[:, None] * base ** (-torch.arange(0, config.head_dim, 2) / config.head_dim)
    return angle.cos(), angle.sin()


class Front(NamedTuple):
    """A layer up to its MLP: the residual stream `middle` (b, t, width) behind attention; queries (b, heads, t,
    head_dim), keys and values (b, kv_heads, t, head_dim), `_after` RoPE; normed and attended (b, t, ...)."""

    middle: Tensor
    q: Tensor
    q_after: Tensor
    k: Tensor
    k_after: Tensor
    v: Tensor
    normed: Tensor
    attended: Tensor


def head_products(query: Tensor, key: Tensor) -> Tensor:
    """(b, heads, ...): q . k of queries (b, heads, ..., head_dim) with the keys (b, kv_heads, ...) of their group."""
    return (query * key.repeat_interleave(query.shape[1] // key.shape[1], 1)).sum(-1)


def replay_score(chooser: Chooser, query: Tensor, key: Tensor, weights: Tensor | None = None) -> Tensor:
    """(b, ...) float scores of `chooser`; larger replays.

    query, key: what it compares, (b, heads, ..., head_dim): a query and the key one frame earlier, or two values, or
    two keys. weights: (heads,), of HEADS. TAS is the paper's, mean over heads of q.k / sqrt(head_dim); HEADS the
    weighted mean; a distance is minus the sum of squares.
    """
    if chooser.is_distance:
        return -(query - key).pow(2).sum(-1).sum(1)
    dots = head_products(query, key) / math.sqrt(query.shape[-1])
    if chooser is Chooser.HEADS:
        assert weights is not None
        dots = dots * weights.view(1, -1, *[1] * (dots.ndim - 2))
    return dots.mean(1)


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, config: LayerConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.attention_gain = nn.Parameter(torch.ones(c.width))
        self.q = Int4Linear(c.width, c.q_width)
        self.k = Int4Linear(c.width, c.kv_width)
        self.v = Int4Linear(c.width, c.kv_width)
        self.o = Int4Linear(c.q_width, c.width)
        self.mlp_gain = nn.Parameter(torch.ones(c.width))
        self.gate = Int4Linear(c.width, c.ffn)
        self.up = Int4Linear(c.width, c.ffn)
        self.down = Int4Linear(c.ffn, c.width)
        self.head_weights: Tensor = torch.ones(c.heads)  # of the chooser HEADS; found by calibration

    def heads(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (b, heads, t, head_dim) and k, v (b, kv_heads, t, head_dim) before RoPE, of (b, t, width)."""
        b, t, _ = normed.shape
        q = self.q(normed).view(b, t, self.config.heads, -1).transpose(1, 2)
        k = self.k(normed).view(b, t, self.config.kv_heads, -1).transpose(1, 2)
        v = self.v(normed).view(b, t, self.config.kv_heads, -1).transpose(1, 2)
        return q, k, v

    def mlp(self, middle: Tensor, tap: Tap | None = None) -> Tensor:
        """What the MLP adds to (..., width)."""
        normed = F.rms_norm(middle, middle.shape[-1:], self.mlp_gain, 1e-6)
        up = self.up(normed)
        hidden = F.silu(self.gate(normed)) * up
        if tap:
            for name, value in (("mlp_norm", normed), ("up", up), ("hidden", hidden)):
                tap(name, value)
        return self.down(hidden)

    def front(self, x: Tensor, cos: Tensor, sin: Tensor) -> Front:
        """Attention of (b, t, width) of whole sequences from position 0, causal."""
        b, t, _ = x.shape
        normed = F.rms_norm(x, x.shape[-1:], self.attention_gain, 1e-6)
        q, k, v = self.heads(normed)
        q_after, k_after = rotate(q, cos[:t], sin[:t]), rotate(k, cos[:t], sin[:t])
        attended = F.scaled_dot_product_attention(q_after, k_after, v, is_causal=True, enable_gqa=True)
        attended = attended.transpose(1, 2).reshape(b, t, -1)
        return Front(x + self.o(attended), q, q_after, k, k_after, v, normed, attended)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, tap: Tap | None = None) -> Tensor:
        """(b, t, width) of whole sequences from position 0, causal."""
        f = self.front(x, cos, sin)
        y = f.middle + self.mlp(f.middle, tap)
        if tap:
            taps = {"x": x, "middle": f.middle, "y": y, "attention_norm": f.normed, "attended": f.attended, "v": f.v}
            for name, value in {**taps, "q": f.q, "q_after": f.q_after, "k": f.k, "k_after": f.k_after}.items():
                tap(name, value)
        return y


class Decoder(nn.Module):
    """Conditions and tokens in, logits of the next token out.

    A token's embedding is linear in the scalars of its code, so neighbouring codes have neighbouring embeddings; places
    are told by RoPE alone.
    """

    cos: Tensor
    sin: Tensor
    scalars: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.layer.width
        digits = torch.arange(config.tokens)[:, None] // LEVELS ** torch.arange(SCALARS) % LEVELS
        self.register_buffer("scalars", digits * (2 / (LEVELS - 1)) - 1, persistent=False)  # (tokens, SCALARS), -1..1
        self.codes = nn.Parameter(torch.randn(SCALARS, width) * 0.5)
        self.conditions = nn.Parameter(torch.randn(config.conditions, width) * 0.5)
        self.layers = nn.ModuleList(Layer(config.layer) for _ in range(config.layers))
        self.final_gain = nn.Parameter(torch.ones(width))
        self.head = nn.Parameter(torch.randn(config.tokens, width) * 0.02)
        cos, sin = rope_angles(config.layer)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def blend_int4(self, share: float) -> None:
        """How much of every layer's weights is their int4 rounding, 0..1."""
        for module in self.modules():
            if isinstance(module, Int4Linear):
                module.blend.fill_(share)

    def inputs(self, conditions: Tensor, tokens: Tensor) -> Tensor:
        """Rows of the embedding table: (b, t): the condition, then all tokens but the last of (b, t)."""
        return torch.cat([conditions[:, None] + self.config.tokens, tokens[:, :-1]], 1)

    def table(self) -> Tensor:
        """(tokens + conditions, width): the embedding of every row."""
        return torch.cat([self.scalars @ self.codes, self.conditions])

    def logits(self, y: Tensor, tap: Tap | None = None) -> Tensor:
        """(..., tokens) of the last layer's output (..., width)."""
        normed = F.rms_norm(y, y.shape[-1:], self.final_gain, 1e-6)
        if tap:
            tap("final_norm", normed)
        return F.linear(normed, self.head)

    def forward(self, conditions: Tensor, tokens: Tensor, tap: Callable[[int], Tap] | None = None) -> Tensor:
        """Logits (b, t, tokens) of every token (b, t) from those before it; `tap(layer)` sees the activations."""
        x = self.table()[self.inputs(conditions, tokens)]
        for i, layer in enumerate(self.layers):
            x = layer(x, self.cos, self.sin, tap(i) if tap else None)
        return self.logits(x, tap(len(self.layers)) if tap else None)


@dataclass
class Cache:
    """What decoding remembers of a layer: keys after RoPE and values (b, kv_heads, context, head_dim), the replay
    ring (b, frame_tokens, width) and how often in a row it was replayed (b, frame_tokens)."""

    keys: Tensor
    values: Tensor
    ring: Tensor
    chain: Tensor

    @classmethod
    def empty(cls, config: LayerConfig, rows: int, dtype: torch.dtype = torch.float32) -> Cache:
        """All zeros."""
        cache = (rows, config.kv_heads, config.context, config.head_dim)
        ring = torch.zeros(rows, config.frame_tokens, config.width, dtype=dtype)
        return cls(torch.zeros(cache, dtype=dtype), torch.zeros(cache, dtype=dtype), ring, ring[..., 0].long())


@dataclass(frozen=True)
class Replay:
    """As `config.Controls`; the threshold is in the units of `replay_score`."""

    threshold: float = math.inf
    policy: Policy = Policy.PER_SAMPLE
    chooser: Chooser = Chooser.PUBLISHED
    chain_cap: int = 0
    window: int = 0
    sink: int = 0


def decide(tas: Tensor, may_replay: Tensor, replay: Replay) -> Tensor:
    """bool (b,): the rows that replay, by `drs.groups` and a group's mean score (ALL: its least)."""
    out = torch.zeros_like(may_replay)
    for group in groups(replay.policy, len(tas)):
        rows = slice(group.start, group.stop)
        score = tas[rows].min() if replay.policy is Policy.ALL else tas[rows].mean()
        out[rows] = (score > replay.threshold) & may_replay[rows].all()
    return out


@torch.no_grad()
def layer_step(
    layer: Layer, cos: Tensor, sin: Tensor, cache: Cache, x: Tensor, position: int, replay: Replay
) -> tuple[Tensor, Tensor, Tensor]:
    """One token (b, width) of every row through a layer: its output, the score (b,) and who replayed (b,)."""
    frame = cache.ring.shape[1]
    slot = position % frame
    normed = F.rms_norm(x, x.shape[-1:], layer.attention_gain, 1e-6)
    q, k, v = (t[:, :, 0] for t in layer.heads(normed[:, None]))
    q_after = rotate(q, cos[position], sin[position])
    repeat = layer.config.heads // layer.config.kv_heads

    tas = x.new_zeros(len(x))
    replayed = torch.zeros(len(x), dtype=torch.bool)
    if position >= frame:
        before = position - frame
        mine, old = {
            Chooser.PUBLISHED: (q, cache.keys),
            Chooser.CONSISTENT: (q_after, cache.keys),
            Chooser.HEADS: (q_after, cache.keys),
            Chooser.VALUE: (v, cache.values),
            Chooser.KEY: (rotate(k, cos[before], sin[before]), cache.keys),
        }[replay.chooser]
        tas = replay_score(replay.chooser, mine, old[:, :, before], layer.head_weights)
        may = (cache.chain[:, slot] < replay.chain_cap) | (replay.chain_cap == 0)
        replayed = decide(tas, may, replay)

    cache.keys[:, :, position] = rotate(k, cos[position], sin[position])
    cache.values[:, :, position] = v
    places = torch.arange(position + 1)
    if replay.window:
        places = places[(places > position - replay.window) | (places < replay.sink)]
    keys, values = (t[:, :, places].repeat_interleave(repeat, 1) for t in (cache.keys, cache.values))
    attended = F.scaled_dot_product_attention(q_after[:, :, None], keys, values)[:, :, 0].flatten(1)
    middle = x + layer.o(attended)

    if not replayed.all():
        cache.ring[~replayed, slot] = layer.mlp(middle[~replayed])
    cache.chain[:, slot] = torch.where(replayed, cache.chain[:, slot] + 1, 0)
    return middle + cache.ring[:, slot], tas, replayed
