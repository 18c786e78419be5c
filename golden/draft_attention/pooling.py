"""Low-resolution queries, keys and values: statistics of each video block (arXiv 2505.14708, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import Tail, factorised, log_counts

_POOL_AXES = (3, 5, 7)  # the axes within a block of a tensor laid out by `_boxes`


def _boxes(x: torch.Tensor, geometry: Geometry, fill: float) -> torch.Tensor:
    """The video part of `[batch, heads, length, dim]` as `[batch, heads, gt, pt, gh, ph, gw, pw, dim]`.

    Accumulation precision (fp32; fp64 for fp64 input); positions outside the grid hold `fill`.
    """
    (t, h, w), (pt, ph, pw) = geometry.grid, geometry.pool
    gt, gh, gw = geometry.blocks_per_axis
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    video = x.narrow(2, geometry.video_offset, geometry.n_video_tokens).to(wide).unflatten(2, (t, h, w))
    padded = F.pad(video, (0, 0, 0, gw * pw - w, 0, gh * ph - h, 0, gt * pt - t), value=fill)
    return padded.view(*x.shape[:2], gt, pt, gh, ph, gw, pw, x.shape[-1])


def _counts(geometry: Geometry, like: torch.Tensor) -> torch.Tensor:
    return geometry.block_counts[: geometry.n_video_blocks, None].to(device=like.device, dtype=like.dtype)


def block_mean(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Mean of each video block: `[batch, heads, length, dim]` -> `[batch, heads, n_video_blocks, dim]`, dtype of x."""
    total = _boxes(x, geometry, 0.0).sum(_POOL_AXES).flatten(2, 4)
    return (total / _counts(geometry, total)).to(x.dtype)


def block_max(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Channel-wise maximum of each video block; shapes as `block_mean`."""
    return _boxes(x, geometry, float("-inf")).amax(_POOL_AXES).flatten(2, 4).to(x.dtype)


def block_variance(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Biased channel-wise variance of each video block; shapes as `block_mean`."""
    boxes = _boxes(x, geometry, 0.0)
    inside = _boxes(torch.ones_like(x[:1, :1, :, :1]), geometry, 0.0)
    count = inside.sum(_POOL_AXES, keepdim=True)
    mean = boxes.sum(_POOL_AXES, keepdim=True) / count
    squares = ((boxes - mean) * inside).square().sum(_POOL_AXES, keepdim=True)
    return (squares / count).sum(_POOL_AXES).flatten(2, 4).to(x.dtype)


def block_square(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Mean of the squares in each video block, channel by channel; shapes as `block_mean`."""
    total = _boxes(x, geometry, 0.0).square().sum(_POOL_AXES).flatten(2, 4)
    return (total / _counts(geometry, total)).to(x.dtype)


def block_spread(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Biased variance of each video block summed over channels: fp32 (fp64 for fp64) `[batch, heads, n_video_blocks]`.

    Relative to its mean over the blocks of a head.
    """
    boxes = _boxes(x, geometry, 0.0)
    count = _counts(geometry, boxes).squeeze(-1)
    mean = boxes.sum(_POOL_AXES).flatten(2, 4) / count[:, None]
    squares = boxes.square().sum((*_POOL_AXES, 8)).flatten(2, 4) / count
    spread = (squares - mean.square().sum(-1)).clamp(min=0)
    return spread / spread.mean(-1, keepdim=True).clamp(min=1e-30)


def pooled_tail(k: torch.Tensor, v: torch.Tensor, geometry: Geometry, order: int = 2) -> Tail:
    """The tail's tokens from k, v `[batch, kv_heads, length, dim]`; in order 1 no block has a spread."""
    spread, profile = factorised(block_variance(k, geometry))
    if order == 1:
        spread = torch.zeros_like(spread)
    return Tail(block_mean(k, geometry), block_mean(v, geometry), spread, profile, log_counts(geometry, k.device))
