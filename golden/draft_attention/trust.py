"""How far the variance term of the pooled tail is to be trusted: a factor for each key head, measured on the call.

A block's variance raises the mass that its token carries, to that of the block's own exponentials (`tail`). But the
token carries it at the block's mean value, and where keys and values vary together the mass that is added belongs to
tokens with other values. Take a query whose output is o and whose logits l vary with s2 over the block: to first order
the weighted mean of the block's values is v_mean + c, c = cov(l, v), and the mass m' at which the token errs least is

    m' / m = 1 + <c, v_mean - o> / |v_mean - o|^2,    m = n exp(l_mean + s2 / 2)

Where values are like the output where logits are high, which is what attention learns, the second term is negative and
cancels part of the gain s2 / 2. Over probes and blocks of a head, by least squares, the share that it cancels is

    slope = sum <c, v_mean - o> / sum (s2 / 2) |v_mean - o|^2,    trust = clamp(1 + STEEPNESS slope, 0, 1)

Probes are query blocks, evenly spaced, each as its mean; o is attention over the blocks' means. `STEEPNESS` is above 1
because the first-order c falls short where s2 is large; how it was fixed and what it does to held-out data is in
docs/results.md. The factor multiplies the tail's key variance, and is zero for a head whose tail is of first order.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from triptych.golden.draft_attention.pooling import block_mean, pooled_tail
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import Tail

PROBES = 16
SAMPLED_BLOCKS = 128
STEEPNESS = 3.0


def evenly_spaced(count: int, n: int) -> torch.Tensor:
    """int64 `[min(count, n)]` (CPU): indices below n."""
    count = min(count, n)
    return torch.arange(count) * n // count


def trust_of(slope: torch.Tensor) -> torch.Tensor:
    """The factor for each head's slope."""
    return (1.0 + STEEPNESS * slope).clamp(0.0, 1.0)


def variance_slope(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, scale: float) -> torch.Tensor:
    """The slope for each key head: `[batch, kv_heads]`, fp32 (fp64 for fp64 input).

    q `[batch, q_heads, length, dim]`; k, v `[batch, kv_heads, length, dim]`.
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    groups = q.shape[1] // k.shape[1]
    n = geometry.n_video_blocks
    k_mean, v_mean = block_mean(k, geometry).to(wide), block_mean(v, geometry).to(wide)
    probes = block_mean(q, geometry)[:, :, evenly_spaced(PROBES, n).to(q.device)].to(wide)
    probes = probes.unflatten(1, (-1, groups)).flatten(2, 3)  # the probes of the heads that share a key head
    outputs = torch.softmax(probes @ k_mean.transpose(-1, -2) * scale, dim=-1) @ v_mean
    gained = torch.zeros(k.shape[:2], dtype=wide, device=q.device)
    expected = torch.zeros_like(gained)
    for block in evenly_spaced(SAMPLED_BLOCKS, n).tolist():
        tokens = geometry.block_tokens[block]
        tokens = tokens[tokens >= 0].to(q.device)
        keys, values = k[:, :, tokens].to(wide), v[:, :, tokens].to(wide)
        logits = probes @ keys.transpose(-1, -2) * scale
        logits = logits - logits.mean(-1, keepdim=True)
        away = v_mean[:, :, block, None] - outputs
        covariance = logits @ values / len(tokens)
        gained += (covariance * away).sum((-1, -2))
        expected += (0.5 * logits.square().mean(-1) * away.square().sum(-1)).sum(-1)
    return gained / expected.clamp(min=torch.finfo(wide).tiny)


def trusted_tail(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, scale: float) -> Tail:
    """The tail's tokens, their key variance multiplied by the head's trust; shapes as in `variance_slope`."""
    return weighted(pooled_tail(k, v, geometry), trust_of(variance_slope(q, k, v, geometry, scale)))


def weighted(tail: Tail, trust: torch.Tensor) -> Tail:
    """`tail` with its key variance times `trust` `[batch, kv_heads]`."""
    return replace(tail, k_spread=tail.k_spread * trust[:, :, None])
