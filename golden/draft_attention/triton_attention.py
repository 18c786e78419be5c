"""Triton: block-sparse attention that reads blocks of 128 tokens in place, with the pooled tail.

One program owns one query block of one head; it walks the blocks of its bit row (written out as a list first, so that
Triton can pipeline the walk), then (with a tail) the pooled tokens of the video blocks whose bit is not set. Text query
blocks, which see everything, are started first: they take longest.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from triptych.golden.draft_attention.geometry import Geometry
from triptych.golden.draft_attention.selection import BlockSets
from triptych.golden.draft_attention.tail import Tail
from triptych.golden.draft_attention.triton_pool import box_offsets, is_ragged

_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _block_place(
    block, n_video, video_offset, text_offset, text_length,
    grid_t: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr,
    pool_t: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr,
):  # fmt: skip
    """Token positions `[128]` of a block and which of its slots hold a token."""
    size: tl.constexpr = pool_t * pool_h * pool_w
    blocks_h: tl.constexpr = (grid_h + pool_h - 1) // pool_h
    blocks_w: tl.constexpr = (grid_w + pool_w - 1) // pool_w
    slots = tl.arange(0, size)
    offsets, frame, row, column = box_offsets(slots, grid_h, grid_w, pool_h, pool_w)
    frame0 = block // (blocks_h * blocks_w) * pool_t
    row0 = (block // blocks_w) % blocks_h * pool_h
    column0 = block % blocks_w * pool_w
    is_text = block >= n_video
    text_slot = (block - n_video) * size + slots
    video_token = video_offset + (frame0 * grid_h + row0) * grid_w + column0 + offsets
    in_grid = (frame0 + frame < grid_t) & (row0 + row < grid_h) & (column0 + column < grid_w)
    token = tl.where(is_text, text_offset + text_slot, video_token)
    return token, tl.where(is_text, text_slot < text_length, in_grid)


@triton.jit
def _list_kernel(bits_ptr, blocks_ptr, n_blocks, words, width: tl.constexpr):
    """The ascending block numbers of one bit row."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, width)
    word = tl.load(bits_ptr + row * words + columns // 32, mask=columns < n_blocks, other=0)
    chosen = (word >> (columns % 32)) & 1
    tl.store(blocks_ptr + row * n_blocks + tl.cumsum(chosen, 0) - 1, columns, mask=chosen > 0)


@triton.jit
def _accumulate(scores, values, acc, row_max, row_sum):
    """One online-softmax step in base 2; rows that have seen nothing keep a maximum of -inf and a sum of zero."""
    new_max = tl.maximum(row_max, tl.max(scores, 1))
    pivot = tl.where(new_max == float("-inf"), 0.0, new_max)
    weights = tl.exp2(scores - pivot[:, None])
    decay = tl.exp2(row_max - pivot)
    row_sum = row_sum * decay + tl.sum(weights, 1)
    acc = tl.dot(weights.to(values.dtype), values, acc * decay[:, None], input_precision="ieee")
    return acc, new_max, row_sum


@triton.jit
def _attention_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, blocks_ptr, counts_ptr, bits_ptr,
    k_mean_ptr, v_mean_ptr, k_var_ptr, log_count_ptr,
    q_batch, q_head, q_token, k_batch, k_head, k_token, v_batch, v_head, v_token, o_batch, o_head, o_token,
    scale, heads, groups, n_video, n_blocks, words, video_offset, text_offset, text_length,
    grid_t: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr,
    pool_t: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr,
    dim: tl.constexpr, ragged: tl.constexpr, with_tail: tl.constexpr, tail_tile: tl.constexpr,
):  # fmt: skip
    size: tl.constexpr = pool_t * pool_h * pool_w
    q_block = n_blocks - 1 - tl.program_id(0)
    batch_head = tl.program_id(1).to(tl.int64)
    batch, head = batch_head // heads, batch_head % heads
    kv_head = head // groups
    channels = tl.arange(0, dim)
    k_ptr += batch * k_batch + kv_head * k_head
    v_ptr += batch * v_batch + kv_head * v_head
    q_tokens, q_inside = _block_place(
        q_block, n_video, video_offset, text_offset, text_length, grid_t, grid_h, grid_w, pool_t, pool_h, pool_w
    )
    q_offsets = q_tokens.to(tl.int64)[:, None] * q_token + channels[None, :]
    q = tl.load(q_ptr + batch * q_batch + head * q_head + q_offsets, mask=q_inside[:, None], other=0.0)
    acc = tl.zeros([size, dim], tl.float32)
    row_max = tl.full([size], float("-inf"), tl.float32)
    row_sum = tl.zeros([size], tl.float32)
    row_index = batch_head * n_blocks + q_block
    blocks_ptr += row_index * n_blocks
    for step in range(tl.load(counts_ptr + row_index)):
        tokens, inside = _block_place(
            tl.load(blocks_ptr + step), n_video, video_offset, text_offset, text_length,
            grid_t, grid_h, grid_w, pool_t, pool_h, pool_w,
        )  # fmt: skip
        k_offsets = tokens.to(tl.int64)[None, :] * k_token + channels[:, None]
        v_offsets = tokens.to(tl.int64)[:, None] * v_token + channels[None, :]
        if ragged:
            k = tl.load(k_ptr + k_offsets, mask=inside[None, :], other=0.0)
            v = tl.load(v_ptr + v_offsets, mask=inside[:, None], other=0.0)
        else:
            k = tl.load(k_ptr + k_offsets)
            v = tl.load(v_ptr + v_offsets)
        scores = tl.dot(q, k, input_precision="ieee") * (scale * _LOG2_E)
        if ragged:
            scores = tl.where(inside[None, :], scores, float("-inf"))
        acc, row_max, row_sum = _accumulate(scores, v, acc, row_max, row_sum)
    if with_tail:  # noqa: SIM102 -- a compile-time and a run-time condition
        if q_block < n_video:
            half = (q.to(tl.float32) * q.to(tl.float32) * (0.5 * scale * scale)).to(q.dtype)
            tail_base = (batch * (heads // groups) + kv_head) * n_video * dim
            for start in range(0, n_video, tail_tile):
                columns = start + tl.arange(0, tail_tile)
                word = tl.load(bits_ptr + row_index * words + columns // 32, mask=columns < n_video, other=-1)
                skipped = (((word >> (columns % 32)) & 1) == 0) & (columns < n_video)
                transposed = tail_base + columns[None, :] * dim + channels[:, None]
                k_mean = tl.load(k_mean_ptr + transposed, mask=columns[None, :] < n_video, other=0.0)
                k_var = tl.load(k_var_ptr + transposed, mask=columns[None, :] < n_video, other=0.0)
                v_offsets = tail_base + columns[:, None] * dim + channels[None, :]
                v_mean = tl.load(v_mean_ptr + v_offsets, mask=columns[:, None] < n_video, other=0.0)
                log_count = tl.load(log_count_ptr + columns, mask=columns < n_video, other=0.0)
                scores = tl.dot(q, k_mean, input_precision="ieee") * scale
                scores += tl.dot(half, k_var, input_precision="ieee")
                scores = (scores + log_count[None, :]) * _LOG2_E
                scores = tl.where(skipped[None, :], scores, float("-inf"))
                acc, row_max, row_sum = _accumulate(scores, v_mean, acc, row_max, row_sum)
    out = acc / tl.where(row_sum == 0.0, 1.0, row_sum)[:, None]
    o_offsets = q_tokens.to(tl.int64)[:, None] * o_token + channels[None, :]
    tl.store(
        out_ptr + batch * o_batch + head * o_head + o_offsets,
        out.to(out_ptr.dtype.element_ty),
        mask=q_inside[:, None],
    )


def _tail_tile(device: torch.device) -> int:
    """Pooled tokens a step: 64, or 32 where shared memory is short of that (99 KiB on consumer cards)."""
    if device.type != "cuda":
        return 64
    properties: Any = torch.cuda.get_device_properties(device)  # its stub lacks the field
    return 64 if properties.shared_memory_per_block_optin >= 120 * 1024 else 32


def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    geometry: Geometry,
    scale: float,
    out: torch.Tensor | None = None,
    tail: Tail | None = None,
) -> torch.Tensor:
    """Attention over the chosen blocks; tensors as in `reference.block_sparse_attention`, last axis contiguous."""
    batch, heads, _, dim = q.shape
    n, words = sets.bits.shape[2:]
    if out is None:
        out = torch.empty_like(q)
    blocks = torch.empty(batch, heads, n, n, dtype=torch.int32, device=q.device)
    _list_kernel[(batch * heads * n,)](sets.bits, blocks, n, words, triton.next_power_of_2(n))
    (t, h, w), (pt, ph, pw) = geometry.grid, geometry.pool
    ragged = is_ragged(geometry) or geometry.text_length % geometry.block_size != 0
    extras = (q, q, q, q) if tail is None else (tail.k_mean, tail.v_mean, tail.k_var, tail.log_count)
    _attention_kernel[(n, batch * heads)](
        q, k, v, out, blocks, sets.counts, sets.bits, *extras,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *out.stride()[:3],
        scale, heads, heads // k.shape[1], geometry.n_video_blocks, n, words,
        geometry.video_offset, geometry.text_offset, geometry.text_length,
        t, h, w, pt, ph, pw, dim, ragged, tail is not None, _tail_tile(q.device),
        num_warps=8, num_stages=2 if dim > 64 else 3,
    )  # fmt: skip
    return out
