"""The decoder layer in exact integers: what every bit should be (docs/fastcar.md, Numerics).

One function an operation, rows of a batch along the first axis, nothing but NumPy. `layer_step` takes one token of
every row through one layer; it is written in the order in which hardware does it. A replayed row's MLP is not
computed: its row enters none of the products.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar import drs
from triptych.golden.fastcar.config import Chooser, Controls, LayerConfig
from triptych.golden.fastcar.silu import silu
from triptych.golden.quartdepth.arithmetic.functions import exp2n, recip, rsqrt
from triptych.golden.quartdepth.arithmetic.numerics import rs, sat16

Int8s = NDArray[np.int8]
Int16s = NDArray[np.int16]
Int32s = NDArray[np.int32]
Ints = NDArray[np.int64]

ROPE_FRACTION = 14  # cos and sin are Q14
ROPE_GUARD = 7  # bits of q and k below the int8 unit, through RoPE
HEAD_WEIGHT_MAX = 7  # so that a weighted score fits in 32 bits: 7 * 2^28
PROBABILITY_MAX = 4095  # 12 bits


@dataclass(frozen=True)
class Linear:
    """A projection: int8[outputs, inputs] weights in -8..7, and `rs(acc * multiplier, shift)` a channel.

    multiplier: int16[outputs], 0..32767; shift: uint8[outputs], 0..47.
    """

    weight: Int8s
    multiplier: Int16s
    shift: NDArray[np.uint8]

    @cached_property
    def exact(self) -> NDArray[np.float32]:
        """The weights, transposed, as float32: sums of at most 2^24 are exact, whatever their order."""
        return np.ascontiguousarray(self.weight.T, dtype=np.float32)


@dataclass(frozen=True)
class LayerWeights:
    """One layer's constants. Gains int16[width]; shifts of the norms -15..16; `turns` the RoPE tables (cos, sin)."""

    attention_gain: Int16s
    attention_norm_shift: int
    q: Linear
    k: Linear
    v: Linear
    score_multiplier: int  # with score_shift: from q.k to octaves in Q5.10, 0..32767 and 0..47
    score_shift: int
    attention_shift: int  # the attention's output is an int8 of 2^-attention_shift units of v, 0..7
    o: Linear
    mlp_gain: Int16s
    mlp_norm_shift: int
    gate: Linear  # to int16 in Q4.11
    up: Linear  # to int16
    swiglu_shift: int  # silu(gate) * up loses this many bits and is an int8, 0..47
    down: Linear
    head_weights: Int8s  # [heads], -7..7: of the chooser HEADS


@dataclass
class LayerState:
    """What one layer remembers of B rows.

    keys, values: int8[B, kv_heads, context, head_dim]; ring: int16[B, frame_tokens, width], the MLP's last output at
    each place of a frame; chain: uint8[B, frame_tokens], how often in a row that output was replayed.
    """

    keys: Int8s
    values: Int8s
    ring: Int16s
    chain: NDArray[np.uint8]
    exact_keys: NDArray[np.float32] = field(init=False, repr=False)  # the same integers, for exact products by BLAS
    exact_values: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.exact_keys = self.keys.astype(np.float32)
        self.exact_values = self.values.astype(np.float64)

    @classmethod
    def empty(cls, config: LayerConfig, rows: int) -> LayerState:
        """All zeros, for `rows` rows."""
        cache = (rows, config.kv_heads, config.context, config.head_dim)
        return cls(
            np.zeros(cache, dtype=np.int8),
            np.zeros(cache, dtype=np.int8),
            np.zeros((rows, config.frame_tokens, config.width), dtype=np.int16),
            np.zeros((rows, config.frame_tokens), dtype=np.uint8),
        )

    def store(self, position: int, keys: Int8s, values: Int8s) -> None:
        """Puts int8[B, kv_heads, head_dim] at a position of the cache."""
        self.keys[:, :, position] = self.exact_keys[:, :, position] = keys
        self.values[:, :, position] = self.exact_values[:, :, position] = values


@dataclass(frozen=True)
class StepTrace:
    """Every value of one step of one layer, in the order in which it arises, so that a difference names itself.

    Arrays have the batch first. score: int64[B], what the chooser says. hidden, delta_mlp: rows that replay have zeros
    in `hidden` and the ring's row in `delta_mlp`. index: the index register. y: int16[B, width], the layer's output.
    """

    normed: Int8s
    q_before: Int8s
    q_after: Int8s
    k: Int8s
    v: Int8s
    score: Ints
    index: int
    attended: Int8s
    delta_attention: Int16s
    middle: Int16s
    hidden: Int8s
    delta_mlp: Int16s
    y: Int16s


def sat8(v: Any) -> Int8s:
    """Saturate to -128..127, int8."""
    return np.clip(np.asarray(v), -128, 127).astype(np.int8)


def rms_norm(x: Int16s, gain: Int16s, norm_shift: int) -> Int8s:
    """int8[B, n] of int16[B, n]: `sat8(rs(x * m * gain, e + half + norm_shift))`.

    S is the exact sum of squares; `half` the least number of bit pairs that S must lose to fit in 31 bits;
    `{e, m} = RSQRT(S >> 2 half)`. The product has at most 46 bits.
    """
    squares = (x.astype(np.int64) ** 2).sum(axis=1)
    bits = np.frexp(squares.astype(np.float64))[1].astype(np.int64)  # bit length; S < 2^53
    half = (np.maximum(bits - 31, 0) + 1) // 2
    pair = rsqrt(squares >> (2 * half))
    e, m = pair >> 16, pair & 0xFFFF
    return sat8(rs(x.astype(np.int64) * m[:, None] * gain.astype(np.int64), (e + half + norm_shift)[:, None]))


def accumulate(x: Int8s, linear: Linear) -> Int32s:
    """int32[B, outputs]: the exact sums of int8[B, inputs] times the int4 weights."""
    return (x.astype(np.float32) @ linear.exact).astype(np.int32)


def project(x: Int8s, linear: Linear) -> Ints:
    """`rs(acc * multiplier, shift)` a channel, int64[B, outputs], to be saturated by the caller."""
    return rs(accumulate(x, linear).astype(np.int64) * linear.multiplier, linear.shift)


def rope(v: Int16s, cos: Int16s, sin: Int16s) -> Int8s:
    """RoPE of int16[B, heads, head_dim] to int8: pairs (2i, 2i+1) turn by cos[i], sin[i] (Q14).

    `even' = even cos - odd sin`, `odd' = even sin + odd cos`, exact in 32 bits, then `sat8(rs(., 14 + 7))`.
    """
    even, odd = v[..., 0::2].astype(np.int64), v[..., 1::2].astype(np.int64)
    turned = np.empty(v.shape, dtype=np.int64)
    turned[..., 0::2] = even * cos - odd * sin
    turned[..., 1::2] = even * sin + odd * cos
    return sat8(rs(turned, ROPE_FRACTION + ROPE_GUARD))


def temporal_score(q: Int8s, k_before: Int8s, weights: Int8s | None = None) -> Ints:
    """TAS, int64[B]: sum over heads of q . k', int8[B, heads, head_dim] and int8[B, kv_heads, head_dim].

    k' is the key one frame earlier of the query head's own group. weights: int8[heads], each head's factor (None: 1).
    The paper's mean and 1/sqrt(d) are in the threshold.
    """
    rows, kv_heads, _ = k_before.shape
    grouped = q.astype(np.int64).reshape(rows, kv_heads, -1, q.shape[2])
    dots = (grouped * k_before.astype(np.int64)[:, :, None]).sum(axis=3).reshape(rows, -1)
    return dots.sum(axis=1) if weights is None else dots @ weights.astype(np.int64)


def distance_score(now: Int8s, before: Int8s) -> Ints:
    """int64[B]: minus the sum of squared differences of int8[B, kv_heads, head_dim]; within 2^30."""
    return -((now.astype(np.int64) - before) ** 2).sum(axis=(1, 2))


def visible(position: int, window: int, sink: int) -> list[slice]:
    """The key positions that attention at `position` sees: all, or the sink and the newest `window`; in order."""
    first = max(0, position + 1 - window) if window else 0
    old = min(sink, first)
    return [slice(0, old), slice(first, position + 1)] if old else [slice(first, position + 1)]


def attention(q: Int8s, state: LayerState, layer: LayerWeights, seen: list[slice]) -> Int8s:
    """int8[B, heads * head_dim]: softmax(q K) V of int8[B, heads, head_dim] over the keys in `seen`.

    score = q . k (int32). octaves = sat16(rs((score - max) * score_multiplier, score_shift)), max over the keys seen.
    p = min(4095, rs(EXP2N(octaves), 3)). sum = sum p, acc = sum p v (both int32).
    `{e, m} = RECIP(sum)`, result `sat8(rs(acc * m, e - attention_shift))`.
    """
    rows, heads, head_dim = q.shape
    kv_heads = state.keys.shape[1]
    keys, values = _taken(state.exact_keys, seen), _taken(state.exact_values, seen)
    grouped = q.astype(np.float32).reshape(rows, kv_heads, heads // kv_heads, head_dim)
    score = (grouped @ keys.transpose(0, 1, 3, 2)).astype(np.int64)
    behind = score - score.max(axis=3, keepdims=True)
    octaves = sat16(rs(behind * layer.score_multiplier, layer.score_shift))
    p = probabilities()[-octaves]
    acc = (p.astype(np.float64) @ values).astype(np.int64)
    pair = recip(p.sum(axis=3, keepdims=True))
    e, m = pair >> 16, pair & 0xFFFF
    return sat8(rs(acc * m, e - layer.attention_shift)).reshape(rows, heads * head_dim)


@lru_cache(maxsize=1)
def probabilities() -> Ints:
    """p of every `-octaves` in 0..32768, int64: `min(4095, rs(EXP2N(octaves), 3))`."""
    return np.minimum(PROBABILITY_MAX, rs(exp2n(-np.arange((1 << 15) + 1)), 3))


def _taken(cache: NDArray[Any], seen: list[slice]) -> NDArray[Any]:
    parts = [cache[:, :, s] for s in seen]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def swiglu(gate: Int16s, up: Int16s, shift: int) -> Int8s:
    """int8[n, ffn]: `sat8(rs(SILU(gate) * up, shift))`, gate int16 in Q4.11, up int16."""
    return sat8(rs(silu(gate) * up.astype(np.int64), shift))


def mlp(x: Int16s, layer: LayerWeights) -> tuple[Int8s, Int16s]:
    """The MLP of int16[n, width] rows: SwiGLU's int8[n, ffn] and the int16[n, width] to be added."""
    normed = rms_norm(x, layer.mlp_gain, layer.mlp_norm_shift)
    gate = sat16(project(normed, layer.gate)).astype(np.int16)
    up = sat16(project(normed, layer.up)).astype(np.int16)
    hidden = swiglu(gate, up, layer.swiglu_shift)
    return hidden, sat16(project(hidden, layer.down)).astype(np.int16)


def add(x: Int16s, delta: Int16s) -> Int16s:
    """Saturating sum of the residual stream and a delta, int16."""
    return sat16(x.astype(np.int64) + delta).astype(np.int16)


def rope_tables(config: LayerConfig, base: float = 10000.0) -> tuple[Int16s, Int16s]:
    """cos and sin, int16[context, head_dim / 2] in Q14: angle `position * base^(-2 i / head_dim)`, ties up."""
    angle = np.arange(config.context)[:, None] * base ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    one = 1 << ROPE_FRACTION
    return (
        np.floor(np.cos(angle) * one + 0.5).astype(np.int16),
        np.floor(np.sin(angle) * one + 0.5).astype(np.int16),
    )


def layer_step(
    config: LayerConfig,
    layer: LayerWeights,
    turns: tuple[Int16s, Int16s],
    state: LayerState,
    x: Int16s,
    position: int,
    controls: Controls,
    chosen: drs.Bools | None = None,
) -> StepTrace:
    """One token of every row through one layer; `state` is changed in place.

    x: int16[B, width]; position: the same for every row, 0..context-1; turns: `rope_tables(config)`; chosen: bool[B],
    who replays instead of the decision by score (rivals in studies; not before a frame lies behind).
    Raises ValueError for a position or batch outside the state.
    """
    rows = len(x)
    if len(state.keys) != rows:
        raise ValueError(f"the state holds {len(state.keys)} rows, the step has {rows}")
    if not 0 <= position < config.context:
        raise ValueError(f"position {position} is outside the context of {config.context} tokens")
    slot = position % config.frame_tokens
    cos, sin = turns[0][position], turns[1][position]

    normed = rms_norm(x, layer.attention_gain, layer.attention_norm_shift)
    q = sat16(project(normed, layer.q)).astype(np.int16).reshape(rows, config.heads, config.head_dim)
    q_before, q_after = sat8(rs(q, ROPE_GUARD)), rope(q, cos, sin)

    k = sat16(project(normed, layer.k)).astype(np.int16).reshape(rows, config.kv_heads, config.head_dim)
    k_after = rope(k, cos, sin)
    v = sat8(project(normed, layer.v)).reshape(rows, config.kv_heads, config.head_dim)

    score, replay = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=bool)
    if position >= config.frame_tokens:
        before = position - config.frame_tokens
        score = _score(controls.chooser, layer, (q_before, q_after, k, v), state, before, turns)
        may_replay = (state.chain[:, slot] < controls.chain_cap) | (controls.chain_cap == 0)
        decided = drs.replay_bits(score, controls.threshold, may_replay, controls.policy)
        replay = decided if chosen is None else chosen
    state.store(position, k_after, v)

    attended = attention(q_after, state, layer, visible(position, controls.window, controls.sink))
    delta_attention = sat16(project(attended, layer.o)).astype(np.int16)
    middle = add(x, delta_attention)

    compute = ~replay
    hidden = np.zeros((rows, config.ffn), dtype=np.int8)
    if compute.any():
        hidden[compute], state.ring[compute, slot] = mlp(middle[compute], layer)
    state.chain[:, slot] = np.where(replay, np.minimum(state.chain[:, slot].astype(np.int64) + 1, 255), 0)
    delta_mlp = state.ring[:, slot].copy()
    y = add(middle, delta_mlp)

    return StepTrace(
        normed, q_before, q_after, k_after, v, score, drs.index_register(replay),
        attended, delta_attention, middle, hidden, delta_mlp, y,
    )  # fmt: skip


def _score(
    chooser: Chooser,
    layer: LayerWeights,
    token: tuple[Int8s, Int8s, Int16s, Int8s],
    state: LayerState,
    before: int,
    turns: tuple[Int16s, Int16s],
) -> Ints:
    """int64[B], larger replays. token: q before and after RoPE, k before RoPE (int16), v; before: the old position."""
    q_before, q_after, k, v = token
    if chooser is Chooser.VALUE:
        return distance_score(v, state.values[:, :, before])
    old = state.keys[:, :, before]
    if chooser is Chooser.KEY:
        return distance_score(rope(k, turns[0][before], turns[1][before]), old)
    query = q_before if chooser is Chooser.PUBLISHED else q_after
    return temporal_score(query, old, layer.head_weights if chooser is Chooser.HEADS else None)
