"""Triton: `trust.trusted_tail` in three small kernels, a sample of blocks read once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import Tail
from triptych.golden.draft_attention.triton_launch import launch
from triptych.golden.draft_attention.triton_pool import PooledBlocks, box_offsets, is_ragged
from triptych.golden.draft_attention.trust import PROBES, SAMPLED_BLOCKS, STEEPNESS


@triton.jit
def _probe_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, scale, n_video, heads, groups, n_probes,
    dim: tl.constexpr, probes: tl.constexpr, tile: tl.constexpr,
):  # fmt: skip
    """Attention of one head's probes over all block means: `[probes, dim]`, zero beyond n_probes."""
    batch_head = tl.program_id(0).to(tl.int64)
    kv_head = batch_head // heads * (heads // groups) + batch_head % heads // groups
    channels = tl.arange(0, dim)
    probe = tl.arange(0, probes)
    there = (probe < n_probes)[:, None]
    place = batch_head * n_video + probe * n_video // n_probes
    q = tl.load(q_ptr + place[:, None] * dim + channels[None, :], mask=there, other=0.0)
    largest = tl.full([probes], float("-inf"), tl.float32)
    total = tl.zeros([probes], tl.float32)
    out = tl.zeros([probes, dim], tl.float32)
    for start in range(0, n_video, tile):
        columns = start + tl.arange(0, tile)
        inside = columns < n_video
        base = kv_head * n_video * dim
        k = tl.load(k_ptr + base + columns[None, :] * dim + channels[:, None], mask=inside[None, :], other=0.0)
        v = tl.load(v_ptr + base + columns[:, None] * dim + channels[None, :], mask=inside[:, None], other=0.0)
        logits = tl.dot(q, k, input_precision="ieee") * scale
        logits = tl.where(inside[None, :], logits, float("-inf"))
        top = tl.maximum(largest, tl.max(logits, 1))
        weights = tl.exp(logits - top[:, None])
        decay = tl.exp(largest - top)
        total = total * decay + tl.sum(weights, 1)
        out = tl.dot(weights.to(v.dtype), v, out * decay[:, None], input_precision="ieee")
        largest = top
    out = tl.where(there, out / total[:, None], 0.0)
    tl.store(out_ptr + (batch_head * probes + probe[:, None]) * dim + channels[None, :], out.to(q.dtype))


@triton.jit
def _slope_kernel(
    q_ptr, o_ptr, k_ptr, v_ptr, sums_ptr, scale, n_video, kv_heads, groups, n_probes, n_samples, video_offset,
    k_batch, k_head, k_token, v_batch, v_head, v_token,
    grid_t: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr,
    pool_t: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, probes: tl.constexpr, ragged: tl.constexpr,
):  # fmt: skip
    """The two sums of one sampled block of one key head, over the probes of the heads that share it."""
    blocks_h: tl.constexpr = (grid_h + pool_h - 1) // pool_h
    blocks_w: tl.constexpr = (grid_w + pool_w - 1) // pool_w
    size: tl.constexpr = pool_t * pool_h * pool_w
    sample = tl.program_id(0)
    batch_head = tl.program_id(1).to(tl.int64)
    block = sample * n_video // n_samples
    frame0 = block // (blocks_h * blocks_w) * pool_t
    row0 = (block // blocks_w) % blocks_h * pool_h
    column0 = block % blocks_w * pool_w
    slots = tl.arange(0, size)
    channels = tl.arange(0, wide)
    offsets, frame, row, column = box_offsets(slots, grid_h, grid_w, pool_h, pool_w)
    token = (video_offset + (frame0 * grid_h + row0) * grid_w + column0 + offsets).to(tl.int64)
    inside = (frame0 + frame < grid_t) & (row0 + row < grid_h) & (column0 + column < grid_w)
    count = tl.sum(inside.to(tl.float32), 0)
    there = inside[:, None] & (channels < dim)[None, :]
    batch, head = batch_head // kv_heads, batch_head % kv_heads
    k_at = k_ptr + batch * k_batch + head * k_head + token[None, :] * k_token + channels[:, None]
    v_at = v_ptr + batch * v_batch + head * v_head + token[:, None] * v_token + channels[None, :]
    k = tl.load(k_at, mask=tl.trans(there), other=0.0)
    v = tl.load(v_at, mask=there, other=0.0)
    v_mean = tl.sum(v.to(tl.float32), 0) / count
    gained = 0.0
    expected = 0.0
    probe = tl.arange(0, probes)
    for i in range(groups):
        place = (batch_head * groups + i) * n_video + probe * n_video // n_probes
        real = (probe < n_probes)[:, None]
        q = tl.load(q_ptr + place[:, None] * wide + channels[None, :], mask=real, other=0.0)
        o_at = ((batch_head * groups + i) * probes + probe[:, None]) * wide + channels[None, :]
        o = tl.load(o_ptr + o_at).to(tl.float32)
        logits = tl.dot(q, k, input_precision="ieee") * scale
        logits = logits - (tl.sum(logits, 1) / count)[:, None]
        if ragged:
            logits = tl.where(inside[None, :], logits, 0.0)
        covariance = tl.dot(logits.to(v.dtype), v, input_precision="ieee") / count
        away = tl.where(real, v_mean[None, :] - o, 0.0)
        gained += tl.sum(covariance * away)
        expected += tl.sum(0.5 * (tl.sum(logits * logits, 1) / count) * tl.sum(away * away, 1))
    at = sums_ptr + (batch_head * n_samples + sample) * 2
    tl.store(at, gained)
    tl.store(at + 1, expected)


@triton.jit
def _statistics_kernel(
    variance_ptr, sums_ptr, spread_ptr, profile_ptr, n_video, n_samples, steepness,
    wide: tl.constexpr, samples: tl.constexpr, tile: tl.constexpr,
):  # fmt: skip
    """One key head's `Tail.k_profile`, and `Tail.k_spread` with the trust that its two sums earn."""
    batch_head = tl.program_id(0).to(tl.int64)
    sample = tl.arange(0, samples)
    pair = sums_ptr + (batch_head * n_samples + sample) * 2
    gained = tl.sum(tl.load(pair, mask=sample < n_samples, other=0.0), 0)
    expected = tl.sum(tl.load(pair + 1, mask=sample < n_samples, other=0.0), 0)
    slope = gained / tl.maximum(expected, 1.17549435e-38)
    trust = tl.minimum(tl.maximum(1.0 + steepness * slope, 0.0), 1.0)
    channels = tl.arange(0, wide)
    total = tl.zeros([wide], tl.float32)
    for start in range(0, n_video, tile):
        rows = start + tl.arange(0, tile)
        at = variance_ptr + (batch_head * n_video + rows[:, None]) * wide + channels[None, :]
        total += tl.sum(tl.load(at, mask=rows[:, None] < n_video, other=0.0).to(tl.float32), 0)
    profile = total / n_video
    tl.store(profile_ptr + batch_head * wide + channels, profile)
    share = trust / tl.maximum(tl.sum(profile, 0), 1.17549435e-38)
    for start in range(0, n_video, tile):
        rows = start + tl.arange(0, tile)
        at = variance_ptr + (batch_head * n_video + rows[:, None]) * wide + channels[None, :]
        variance = tl.load(at, mask=rows[:, None] < n_video, other=0.0).to(tl.float32)
        tl.store(spread_ptr + batch_head * n_video + rows, tl.sum(variance, 1) * share, mask=rows < n_video)


def trusted_tail(
    q: PooledBlocks,
    k: PooledBlocks,
    v: PooledBlocks,
    keys: torch.Tensor,
    values: torch.Tensor,
    geometry: Geometry,
    scale: float,
    log_count: torch.Tensor,
) -> Tail:
    """The tail's tokens; q, k (with its variance), v pooled; `keys`, `values` `[batch, kv_heads, length, dim]`."""
    batch, heads, n, wide = q.mean.shape
    kv_heads = k.mean.shape[1]
    groups, n_probes, n_samples = heads // kv_heads, min(PROBES, n), min(SAMPLED_BLOCKS, n)
    outputs = torch.empty(batch * heads, PROBES, wide, dtype=q.mean.dtype, device=keys.device)
    launch(
        _probe_kernel, (batch * heads,),
        q.mean, k.mean, v.mean, outputs, scale, n, heads, groups, n_probes, wide, PROBES, 64, num_warps=4,
    )  # fmt: skip
    sums = torch.empty(batch, kv_heads, n_samples, 2, dtype=torch.float32, device=keys.device)
    (t, h, w), (pt, ph, pw) = geometry.grid, geometry.pool
    launch(
        _slope_kernel, (n_samples, batch * kv_heads),
        q.mean, outputs, keys, values, sums, scale, n, kv_heads, groups, n_probes, n_samples, geometry.video_offset,
        *keys.stride()[:3], *values.stride()[:3],
        t, h, w, pt, ph, pw, keys.shape[-1], wide, PROBES, is_ragged(geometry), num_warps=4,
    )  # fmt: skip
    spread = torch.empty(batch, kv_heads, n, dtype=torch.float32, device=keys.device)
    profile = torch.empty(batch, kv_heads, wide, dtype=torch.float32, device=keys.device)
    launch(
        _statistics_kernel, (batch * kv_heads,),
        k.variance, sums, spread, profile, n, n_samples, STEEPNESS, wide, SAMPLED_BLOCKS, 128, num_warps=16,
    )  # fmt: skip
    return Tail(k.mean, v.mean, spread, profile, log_count)
