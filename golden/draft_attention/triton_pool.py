"""Triton: one pass over a tensor gives each video block's mean, maximum and variance.

A program reads one block of 128 tokens in place (a strided box of 8 rows of 16 tokens, say) and keeps it in
registers, so that q, k and v are each read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import padded_dim
from triptych.golden.draft_attention.triton_launch import launch

_WARP_SHARE = 8192
"""Elements of a block that a warp holds: fewer make sums over a block wait for other warps."""


@triton.jit
def box_offsets(slots, grid_h: tl.constexpr, grid_w: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr):
    """Token offsets of a block's slots from its first token, and the slots' frame, row and column in the box."""
    frame = slots // (pool_h * pool_w)
    row = (slots // pool_w) % pool_h
    column = slots % pool_w
    return (frame * grid_h + row) * grid_w + column, frame, row, column


@triton.jit
def _pool_kernel(
    x_ptr, mean_ptr, max_ptr, var_ptr, square_ptr, spread_ptr,
    stride_batch, stride_head, stride_token, heads, video_offset,
    grid_t: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr,
    pool_t: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, with_max: tl.constexpr, with_var: tl.constexpr,
    with_square: tl.constexpr, with_spread: tl.constexpr, ragged: tl.constexpr,
):  # fmt: skip
    blocks_h: tl.constexpr = (grid_h + pool_h - 1) // pool_h
    blocks_w: tl.constexpr = (grid_w + pool_w - 1) // pool_w
    block = tl.program_id(0)
    n_blocks = tl.num_programs(0)
    batch_head = tl.program_id(1).to(tl.int64)
    frame0 = block // (blocks_h * blocks_w) * pool_t
    row0 = (block // blocks_w) % blocks_h * pool_h
    column0 = block % blocks_w * pool_w
    slots = tl.arange(0, pool_t * pool_h * pool_w)
    channels = tl.arange(0, wide)
    real = channels[None, :] < dim
    offsets, frame, row, column = box_offsets(slots, grid_h, grid_w, pool_h, pool_w)
    base = x_ptr + batch_head // heads * stride_batch + batch_head % heads * stride_head
    token = (video_offset + (frame0 * grid_h + row0) * grid_w + column0 + offsets).to(tl.int64)
    pointers = base + token[:, None] * stride_token + channels[None, :]
    out = (batch_head * n_blocks + block) * wide + channels
    if ragged:
        inside = (frame0 + frame < grid_t) & (row0 + row < grid_h) & (column0 + column < grid_w)
        x = tl.load(pointers, mask=inside[:, None] & real, other=0.0).to(tl.float32)
        count = tl.sum(inside.to(tl.float32), 0)
    else:
        x = (tl.load(pointers, mask=real, other=0.0) if dim != wide else tl.load(pointers)).to(tl.float32)
        count = pool_t * pool_h * pool_w * 1.0
    mean = tl.sum(x, 0) / count
    tl.store(mean_ptr + out, mean.to(mean_ptr.dtype.element_ty))
    if with_max:
        candidates = tl.where(inside[:, None], x, float("-inf")) if ragged else x
        tl.store(max_ptr + out, tl.max(candidates, 0).to(max_ptr.dtype.element_ty))
    if with_square:
        square = tl.sum(x * x, 0) / count
        tl.store(square_ptr + out, square.to(square_ptr.dtype.element_ty))
    if with_var or with_spread:
        deviation = x - mean[None, :]
        if ragged:
            deviation = tl.where(inside[:, None], deviation, 0.0)
        variance = tl.sum(deviation * deviation, 0) / count
        if with_var:
            tl.store(var_ptr + out, variance.to(var_ptr.dtype.element_ty))
        if with_spread:
            tl.store(spread_ptr + batch_head * n_blocks + block, tl.sum(variance, 0))


@dataclass(frozen=True)
class PooledBlocks:
    """Statistics `[batch, heads, n_video_blocks, padded_dim(dim)]` in the dtype of the pooled tensor.

    Channels from dim on are zero. None where not asked for. `square`: the mean of the squares. `spread`: float32
    `[batch, heads, n_video_blocks]`, the variance summed over channels.
    """

    mean: torch.Tensor
    maximum: torch.Tensor | None = None
    variance: torch.Tensor | None = None
    square: torch.Tensor | None = None
    spread: torch.Tensor | None = None


def is_ragged(geometry: Geometry) -> bool:
    """Whether some video block holds fewer tokens than the others."""
    return any(size % step for size, step in zip(geometry.grid, geometry.pool, strict=True))


def pool_blocks(
    x: torch.Tensor,
    geometry: Geometry,
    with_max: bool = False,
    with_var: bool = False,
    with_square: bool = False,
    with_spread: bool = False,
) -> PooledBlocks:
    """Pool `[batch, heads, length, dim]` (last axis contiguous) over every video block, accumulating in fp32."""
    batch, heads, _, dim = x.shape
    wide = padded_dim(dim)
    shape = (batch, heads, geometry.n_video_blocks, wide)
    mean = torch.empty(shape, dtype=x.dtype, device=x.device)
    maximum, variance, square = (
        torch.empty_like(mean) if wanted else None for wanted in (with_max, with_var, with_square)
    )
    spread = torch.empty(shape[:3], dtype=torch.float32, device=x.device) if with_spread else None
    written = [mean if part is None else part for part in (maximum, variance, square, spread)]
    (t, h, w), (pt, ph, pw) = geometry.grid, geometry.pool
    launch(
        _pool_kernel, (geometry.n_video_blocks, batch * heads),
        x, mean, *written,
        x.stride(0), x.stride(1), x.stride(2), heads, geometry.video_offset,
        t, h, w, pt, ph, pw, dim, wide, with_max, with_var, with_square, with_spread, is_ragged(geometry),
        num_warps=max(1, geometry.block_size * wide // _WARP_SHARE) if geometry.block_size in (64, 128) else 4,
    )  # fmt: skip
    return PooledBlocks(mean, maximum, variance, square, spread)
