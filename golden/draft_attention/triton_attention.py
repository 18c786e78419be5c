"""Triton: block-sparse attention over boxes of a video or runs of tokens, read in place, with the pooled tail.

One program owns the rows of one query block (or a part of them) of one head; it walks the blocks of its bit row
(written out as a list first, so that Triton can pipeline the walk), then (with a tail) the pooled tokens of the video
blocks whose bit is not set. Text query blocks, which see everything, are started first: they take longest.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from triptych.golden.draft_attention.terms.contract import Call
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.layout import Layout, Runs
from triptych.golden.draft_attention.terms.tail import padded_dim
from triptych.golden.draft_attention.triton_launch import launch
from triptych.golden.draft_attention.triton_pool import box_offsets, is_ragged

_LOG2_E = tl.constexpr(1.4426950408889634)
_LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _box_place(
    block, slots, n_video, video_offset, text_offset, text_length,
    grid_t: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr,
    pool_t: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr,
):  # fmt: skip
    """Token positions of a block's slots and which of them hold a token: boxes of a video, runs of its text."""
    size: tl.constexpr = pool_t * pool_h * pool_w
    blocks_h: tl.constexpr = (grid_h + pool_h - 1) // pool_h
    blocks_w: tl.constexpr = (grid_w + pool_w - 1) // pool_w
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
def _run_place(block, slots, length, sizes_ptr, size: tl.constexpr, with_sizes: tl.constexpr):
    """Token positions of a block's slots and which of them hold a token: runs of consecutive tokens."""
    token = block * size + slots
    inside = token < length
    if with_sizes:
        inside = inside & (slots < tl.load(sizes_ptr + block))
    return token, inside


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
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, blocks_ptr, counts_ptr, bits_ptr, q_sizes_ptr, k_sizes_ptr,
    k_mean_ptr, v_mean_ptr, spread_ptr, profile_ptr, log_count_ptr,
    q_batch, q_head, q_token, k_batch, k_head, k_token, v_batch, v_head, v_token, o_batch, o_head, o_token,
    scale, heads, groups, n_video, n_query, n_key, words, q_length, k_length, q_sizes_batch, k_sizes_batch,
    video_offset, text_offset, text_length,
    grid_t: tl.constexpr, grid_h: tl.constexpr, grid_w: tl.constexpr,
    pool_t: tl.constexpr, pool_h: tl.constexpr, pool_w: tl.constexpr,
    q_size: tl.constexpr, k_size: tl.constexpr, q_tile: tl.constexpr, k_tile: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, boxes: tl.constexpr, ragged: tl.constexpr,
    with_q_sizes: tl.constexpr, with_k_sizes: tl.constexpr, with_lse: tl.constexpr,
    with_tail: tl.constexpr, tail_tile: tl.constexpr,
):  # fmt: skip
    q_parts: tl.constexpr = q_size // q_tile
    k_parts: tl.constexpr = k_size // k_tile
    q_block = n_query - 1 - tl.program_id(0) // q_parts
    q_slots = tl.program_id(0) % q_parts * q_tile + tl.arange(0, q_tile)
    batch_head = tl.program_id(1).to(tl.int64)
    batch, head = batch_head // heads, batch_head % heads
    kv_head = head // groups
    channels = tl.arange(0, wide)
    real = channels < dim
    k_ptr += batch * k_batch + kv_head * k_head
    v_ptr += batch * v_batch + kv_head * v_head
    if boxes:
        q_tokens, q_inside = _box_place(
            q_block, q_slots, n_video, video_offset, text_offset, text_length,
            grid_t, grid_h, grid_w, pool_t, pool_h, pool_w,
        )  # fmt: skip
    else:
        q_tokens, q_inside = _run_place(
            q_block, q_slots, q_length, q_sizes_ptr + batch * q_sizes_batch, q_size, with_q_sizes
        )
    q_offsets = q_tokens.to(tl.int64)[:, None] * q_token + channels[None, :]
    q_mask = q_inside[:, None] & real[None, :]
    q = tl.load(q_ptr + batch * q_batch + head * q_head + q_offsets, mask=q_mask, other=0.0)
    acc = tl.zeros([q_tile, wide], tl.float32)
    row_max = tl.full([q_tile], float("-inf"), tl.float32)
    row_sum = tl.zeros([q_tile], tl.float32)
    row_index = batch_head * n_query + q_block
    blocks_ptr += row_index * n_key
    for step in range(tl.load(counts_ptr + row_index) * k_parts):
        block = tl.load(blocks_ptr + step // k_parts)
        slots = step % k_parts * k_tile + tl.arange(0, k_tile)
        if boxes:
            tokens, inside = _box_place(
                block, slots, n_video, video_offset, text_offset, text_length,
                grid_t, grid_h, grid_w, pool_t, pool_h, pool_w,
            )  # fmt: skip
        else:
            tokens, inside = _run_place(
                block, slots, k_length, k_sizes_ptr + batch * k_sizes_batch, k_size, with_k_sizes
            )
        k_offsets = tokens.to(tl.int64)[None, :] * k_token + channels[:, None]
        v_offsets = tokens.to(tl.int64)[:, None] * v_token + channels[None, :]
        if ragged or dim != wide:
            k = tl.load(k_ptr + k_offsets, mask=inside[None, :] & real[:, None], other=0.0)
            v = tl.load(v_ptr + v_offsets, mask=inside[:, None] & real[None, :], other=0.0)
        else:
            k = tl.load(k_ptr + k_offsets)
            v = tl.load(v_ptr + v_offsets)
        scores = tl.dot(q, k, input_precision="ieee") * (scale * _LOG2_E)
        if ragged:
            scores = tl.where(inside[None, :], scores, float("-inf"))
        acc, row_max, row_sum = _accumulate(scores, v, acc, row_max, row_sum)
    if with_tail:  # noqa: SIM102 -- a compile-time and a run-time condition
        if q_block < n_video:
            batch_kv = batch * (heads // groups) + kv_head
            profile = tl.load(profile_ptr + batch_kv * wide + channels)
            half = tl.sum(q.to(tl.float32) * q.to(tl.float32) * profile[None, :], 1) * (0.5 * scale * scale)
            tail_base = batch_kv * n_video * wide
            for start in range(0, n_video, tail_tile):
                columns = start + tl.arange(0, tail_tile)
                word = tl.load(bits_ptr + row_index * words + columns // 32, mask=columns < n_video, other=-1)
                skipped = (((word >> (columns % 32)) & 1) == 0) & (columns < n_video)
                transposed = tail_base + columns[None, :] * wide + channels[:, None]
                k_mean = tl.load(k_mean_ptr + transposed, mask=columns[None, :] < n_video, other=0.0)
                spread = tl.load(spread_ptr + batch_kv * n_video + columns, mask=columns < n_video, other=0.0)
                v_offsets = tail_base + columns[:, None] * wide + channels[None, :]
                v_mean = tl.load(v_mean_ptr + v_offsets, mask=columns[:, None] < n_video, other=0.0)
                log_count = tl.load(log_count_ptr + columns, mask=columns < n_video, other=0.0)
                scores = tl.dot(q, k_mean, input_precision="ieee") * scale
                scores += half[:, None] * spread[None, :]
                scores = (scores + log_count[None, :]) * _LOG2_E
                scores = tl.where(skipped[None, :], scores, float("-inf"))
                acc, row_max, row_sum = _accumulate(scores, v_mean, acc, row_max, row_sum)
    nothing = row_sum == 0.0
    out = acc / tl.where(nothing, 1.0, row_sum)[:, None]
    present = q_inside
    if not boxes:  # padding within the sequence is written too, as rows that see nothing
        present = q_tokens < q_length
        out = tl.where(q_inside[:, None], out, 0.0)
        nothing = nothing | (q_inside == 0)
    o_offsets = q_tokens.to(tl.int64)[:, None] * o_token + channels[None, :]
    tl.store(
        out_ptr + batch * o_batch + head * o_head + o_offsets,
        out.to(out_ptr.dtype.element_ty),
        mask=present[:, None] & real[None, :],
    )
    if with_lse:
        lse = (row_max + tl.log2(tl.where(nothing, 1.0, row_sum))) * _LN_2
        lse = tl.where(nothing, float("-inf"), lse)
        tl.store(lse_ptr + batch_head * q_length + q_tokens, lse, mask=present)


def _tail_tile(device: torch.device) -> int:
    """Pooled tokens a step: 64, or 32 where shared memory is short of that (99 KiB on consumer cards)."""
    if device.type != "cuda":
        return 64
    properties: Any = torch.cuda.get_device_properties(device)  # its stub lacks the field
    return 64 if properties.shared_memory_per_block_optin >= 120 * 1024 else 32


def _runs(layout: Layout) -> tuple[torch.Tensor | None, int]:
    """`Runs.sizes` and the step from one sample's to the next's."""
    sizes = layout.sizes if isinstance(layout, Runs) else None
    return sizes, 0 if sizes is None or len(sizes) == 1 else sizes.stride(0)


def attend(call: Call) -> None:
    """Serves a call (contract.py) that `dispatch` found to be one for kernels."""
    q, k, v, out, sets, tail, lse = call.q, call.k, call.v, call.out, call.sets, call.tail, call.lse
    query_layout, key_layout = call.query_layout, call.key_layout
    batch, heads, q_length, dim = q.shape
    n_query, n_key, words = sets.n_query_blocks, sets.n_key_blocks, sets.bits.shape[-1]
    blocks = torch.empty(batch, heads, n_query, n_key, dtype=torch.int32, device=q.device)
    launch(_list_kernel, (batch * heads * n_query,), sets.bits, blocks, n_key, words, triton.next_power_of_2(n_key))
    boxes = isinstance(query_layout, Geometry)
    geometry = query_layout if isinstance(query_layout, Geometry) else Geometry((1, 1, 1), (1, 1, 1))
    if isinstance(key_layout, Geometry):
        ragged = is_ragged(key_layout) or key_layout.text_length % key_layout.block_size != 0
    else:
        ragged = key_layout.length % key_layout.block_size != 0 or _runs(key_layout)[0] is not None
    (q_sizes, q_step), (k_sizes, k_step) = _runs(query_layout), _runs(key_layout)
    extras = (q,) * 5
    if tail is not None:
        extras = (tail.k_mean, tail.v_mean, tail.k_spread, tail.k_profile, tail.log_count)
    wide = padded_dim(dim)
    q_size, k_size = query_layout.block_size, key_layout.block_size
    q_tile, k_tile = (min(size, 64) if wide > 128 else size for size in (q_size, k_size))  # 256 wide tiles fill a core
    launch(
        _attention_kernel, (n_query * (q_size // q_tile), batch * heads),
        q, k, v, out, out if lse is None else lse, blocks, sets.counts, sets.bits,
        sets.counts if q_sizes is None else q_sizes, sets.counts if k_sizes is None else k_sizes, *extras,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *out.stride()[:3],
        call.scale, heads, heads // k.shape[1], geometry.n_video_blocks, n_query, n_key, words, q_length, k.shape[2],
        q_step, k_step, geometry.video_offset, geometry.text_offset, geometry.text_length,
        *geometry.grid, *geometry.pool, q_size, k_size, q_tile, k_tile, dim, wide, boxes, ragged,
        q_sizes is not None, k_sizes is not None, lse is not None, tail is not None, _tail_tile(q.device),
        num_warps=8 if q_tile * wide > 64 * 64 else 4, num_stages=2 if wide > 64 else 3,
    )  # fmt: skip
