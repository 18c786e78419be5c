"""Triton: draft map, budget and block lists on the device, with no synchronisation and no sort.

The map holds key = log A = logit - logsumexp(row) for each pair of video blocks. The head's threshold is found by
radix selection, eight bits of the ordered key at a time; each pass derives the digits found so far from the histograms
of the passes before it, so that no state travels through the host. The lists overwrite the map in place.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl

from golden.draft_attention.geometry import Geometry
from golden.draft_attention.selection import WORD_BITS, BlockLists, DraftStatistic, SelectionRule, keep_budget
from golden.draft_attention.triton_pool import PooledBlocks

_DIGIT_BITS = tl.constexpr(8)
_BINS = tl.constexpr(256)
_PASSES = tl.constexpr(4)


@triton.jit
def _ordered(key):
    """A float32 as an unsigned integer that sorts alike."""
    bits = key.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) | -2147483648)).to(tl.uint32, bitcast=True)


@triton.jit
def _logit_tile(q, km_ptr, kx_ptr, qx, columns, n_video, channels, dim: tl.constexpr, with_max: tl.constexpr):
    inside = columns[None, :] < n_video
    k = tl.load(km_ptr + columns[None, :] * dim + channels[:, None], mask=inside, other=0.0)
    logits = tl.dot(q, k, input_precision="ieee")
    if with_max:
        kx = tl.load(kx_ptr + columns[None, :] * dim + channels[:, None], mask=inside, other=0.0)
        logits = (logits + tl.dot(qx, kx, input_precision="ieee")) * 0.5
    return logits


@triton.jit
def _draft_kernel(
    qm_ptr, qx_ptr, km_ptr, kx_ptr, keys_ptr, scale, n_video, n_blocks, heads, groups,
    dim: tl.constexpr, with_max: tl.constexpr, tile_m: tl.constexpr, tile_n: tl.constexpr,
):  # fmt: skip
    """keys[row, column] = logit - logsumexp(row) for one tile of rows; the logits are formed twice, never stored."""
    rows = tl.program_id(0) * tile_m + tl.arange(0, tile_m)
    batch_head = tl.program_id(1).to(tl.int64)
    kv_head = batch_head // heads * (heads // groups) + batch_head % heads // groups
    channels = tl.arange(0, dim)
    row_inside = rows[:, None] < n_video
    q_offsets = batch_head * n_video * dim + rows[:, None] * dim + channels[None, :]
    q = tl.load(qm_ptr + q_offsets, mask=row_inside, other=0.0)
    qx = q
    if with_max:
        qx = tl.load(qx_ptr + q_offsets, mask=row_inside, other=0.0)
    km_ptr += kv_head * n_video * dim
    kx_ptr += kv_head * n_video * dim
    largest = tl.full([tile_m], float("-inf"), tl.float32)
    total = tl.zeros([tile_m], tl.float32)
    for start in range(0, n_video, tile_n):
        columns = start + tl.arange(0, tile_n)
        logits = _logit_tile(q, km_ptr, kx_ptr, qx, columns, n_video, channels, dim, with_max) * scale
        logits = tl.where(columns[None, :] < n_video, logits, float("-inf"))
        new_largest = tl.maximum(largest, tl.max(logits, 1))
        total = total * tl.exp(largest - new_largest) + tl.sum(tl.exp(logits - new_largest[:, None]), 1)
        largest = new_largest
    log_sum = largest + tl.log(total)
    keys_ptr += batch_head * n_blocks * n_blocks
    for start in range(0, n_video, tile_n):
        columns = start + tl.arange(0, tile_n)
        logits = _logit_tile(q, km_ptr, kx_ptr, qx, columns, n_video, channels, dim, with_max) * scale
        tl.store(
            keys_ptr + rows[:, None] * n_blocks + columns[None, :],
            logits - log_sum[:, None],
            mask=row_inside & (columns[None, :] < n_video),
        )


@triton.jit
def _digits_so_far(histogram_ptr, wanted, known: tl.constexpr):
    """The first `known` digits of the wanted-th largest key, and the rank left within them."""
    prefix = tl.zeros([], tl.uint32)
    rank = wanted
    bins = tl.arange(0, _BINS)
    for digit in tl.static_range(known):
        counts = tl.load(histogram_ptr + digit * _BINS + bins)
        at_least = tl.sum(counts, 0) - tl.cumsum(counts, 0) + counts
        chosen = tl.sum((at_least >= rank).to(tl.int32), 0) - 1
        rank -= tl.sum(tl.where(bins > chosen, counts, 0), 0)
        prefix = (prefix << _DIGIT_BITS) | chosen.to(tl.uint32)
    return prefix, rank


@triton.jit
def _force_kernel(
    keys_ptr, budgets_ptr, n_video, n_blocks, heads, blocks_per_frame,
    sink: tl.constexpr, same_frame: tl.constexpr, floored: tl.constexpr,
    tile_rows: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """Raises the keys that must stay (each row's floor, sink, own frame) to +inf."""
    batch_head = tl.program_id(1).to(tl.int64)
    columns = tl.arange(0, width)[None, :]
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)[:, None]
    inside = (columns < n_video) & (row < n_video)
    pointers = keys_ptr + (batch_head * n_blocks + row) * n_blocks + columns
    forced = (columns < 0) & inside
    if floored:
        row_floor = tl.load(budgets_ptr + heads + batch_head % heads)
        ordered = _ordered(tl.load(pointers, mask=inside, other=float("-inf")))
        floor_key = tl.zeros([tile_rows], tl.uint32)
        for bit in tl.static_range(32):
            trial = floor_key | tl.full([tile_rows], 1 << (31 - bit), tl.uint32)
            reach = tl.sum((inside & (ordered >= trial[:, None])).to(tl.int32), 1)
            floor_key = tl.where(reach >= row_floor, trial, floor_key)
        forced = forced | (ordered >= floor_key[:, None])
    if sink:
        forced = forced | (columns < blocks_per_frame)
    if same_frame:
        forced = forced | (columns // blocks_per_frame == row // blocks_per_frame)
    tl.store(pointers, float("inf"), mask=inside & forced)


@triton.jit
def _count_kernel(
    keys_ptr, histogram_ptr, budgets_ptr, n_video, n_blocks, heads,
    digit: tl.constexpr, steps: tl.constexpr, tile_rows: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """One radix pass: histogram of the next digit over the keys that share the digits found so far."""
    batch_head = tl.program_id(1).to(tl.int64)
    histogram_ptr += batch_head * _PASSES * _BINS
    prefix, _ = _digits_so_far(histogram_ptr, tl.load(budgets_ptr + batch_head % heads), digit)
    columns = tl.arange(0, width)[None, :]
    bins = tl.arange(0, _BINS)
    shift: tl.constexpr = 32 - _DIGIT_BITS * (digit + 1)
    total = tl.zeros([_BINS], tl.int32)
    for step in range(steps):
        row = (tl.program_id(0) * steps + step) * tile_rows + tl.arange(0, tile_rows)[:, None]
        inside = (columns < n_video) & (row < n_video)
        pointers = keys_ptr + (batch_head * n_blocks + row) * n_blocks + columns
        digits = _ordered(tl.load(pointers, mask=inside, other=0.0)) >> shift
        counted = inside
        if digit > 0:
            counted = inside & ((digits >> _DIGIT_BITS) == prefix)
        # tl.histogram's own mask miscounts in Triton 3.6. Keys that do not count go to digit 0, the lowest, where they
        # change no choice: the wanted rank never exceeds the number of keys that do count.
        shown = tl.where(counted, digits & (_BINS - 1), 0).to(tl.int32)
        total += tl.histogram(tl.reshape(shown, [tile_rows * width]), _BINS)
    tl.atomic_add(histogram_ptr + digit * _BINS + bins, total, mask=total != 0)


@triton.jit
def _list_kernel(
    keys_ptr, blocks_ptr, counts_ptr, bits_ptr, histogram_ptr, budgets_ptr, n_video, n_blocks, heads, words,
    width: tl.constexpr, word_bits: tl.constexpr,
):  # fmt: skip
    """The list, count and bit row of one query block, from its row of the map (which may share memory with it)."""
    row = tl.program_id(0)
    batch_head = tl.program_id(1).to(tl.int64)
    wanted = tl.load(budgets_ptr + batch_head % heads)
    threshold, _ = _digits_so_far(histogram_ptr + batch_head * _PASSES * _BINS, wanted, _PASSES)
    columns = tl.arange(0, width)
    offset = (batch_head * n_blocks + row) * n_blocks
    is_video = columns < tl.where(row < n_video, n_video, 0)
    key = tl.load(keys_ptr + offset + columns, mask=is_video, other=0.0)
    chosen = tl.where(is_video, _ordered(key) >= threshold, columns < n_blocks).to(tl.int32)
    place = tl.cumsum(chosen, 0) - 1
    tl.debug_barrier()  # the whole row is read before any of it is overwritten
    tl.store(blocks_ptr + offset + place, columns, mask=chosen > 0)
    tl.store(counts_ptr + batch_head * n_blocks + row, tl.sum(chosen, 0))
    packed = tl.sum(tl.reshape(chosen << (columns % word_bits), (width // word_bits, word_bits)), 1)
    word = tl.arange(0, width // word_bits)
    tl.store(bits_ptr + (batch_head * n_blocks + row) * words + word, packed, mask=word < words)


@functools.lru_cache(maxsize=64)
def _budgets(sparsity: tuple[float, ...], floors: tuple[int, ...], n_pairs: int, device: torch.device) -> torch.Tensor:
    """int32 `[2, heads]` on the device: entries that a head keeps, entries that each of its rows keeps at least.

    Kept, so that repeated calls copy nothing from the host.
    """
    kept = [keep_budget(share, n_pairs) for share in sparsity]
    return torch.tensor([kept, list(floors)], dtype=torch.int32, device=device)


def draft_keys(
    q: PooledBlocks, k: PooledBlocks, geometry: Geometry, scale: float, statistic: DraftStatistic
) -> torch.Tensor:
    """The map of log A: float32 `[batch, q_heads, n_blocks, n_blocks]`, written for video pairs only."""
    batch, heads, n_video, dim = q.mean.shape
    n = geometry.n_blocks
    keys = torch.empty(batch, heads, n, n, dtype=torch.float32, device=q.mean.device)
    with_max = statistic is DraftStatistic.MEAN_AND_MAX
    tile_m = 64
    _draft_kernel[(triton.cdiv(n_video, tile_m), batch * heads)](
        q.mean, q.maximum if with_max else q.mean, k.mean, k.maximum if with_max else k.mean, keys,
        scale, n_video, n, heads, heads // k.mean.shape[1], dim, with_max, tile_m, 64,
        num_warps=4,
    )  # fmt: skip
    return keys


def block_lists(keys: torch.Tensor, geometry: Geometry, rule: SelectionRule) -> BlockLists:
    """Lists from the map of log A by our rule. The map is consumed: the lists lie in its memory."""
    batch, heads, n, _ = keys.shape
    n_video = geometry.n_video_blocks
    device = keys.device
    _, gh, gw = geometry.blocks_per_axis
    words = triton.cdiv(n, WORD_BITS)
    histogram = torch.zeros(batch * heads, _PASSES.value, _BINS.value, dtype=torch.int32, device=device)
    counts = torch.empty(batch, heads, n, dtype=torch.int32, device=device)
    bits = torch.empty(batch, heads, n, words, dtype=torch.int32, device=device)
    blocks = keys.view(torch.int32)
    floors = rule.head_floors(heads, n_video)
    budgets = _budgets(rule.head_sparsity(heads), floors, n_video * n_video, device)
    width = max(WORD_BITS, triton.next_power_of_2(n_video))
    tile_rows = max(1, min(8, 8192 // width))
    steps = max(1, 32 // tile_rows)
    if any(floors) or rule.first_frame_sink or rule.same_frame:
        _force_kernel[(triton.cdiv(n_video, tile_rows), batch * heads)](
            keys, budgets, n_video, n, heads, gh * gw,
            rule.first_frame_sink, rule.same_frame, any(floors), tile_rows, width, num_warps=8,
        )  # fmt: skip
    for digit in range(_PASSES.value):
        _count_kernel[(triton.cdiv(n_video, steps * tile_rows), batch * heads)](
            keys, histogram, budgets, n_video, n, heads, digit, steps, tile_rows, width, num_warps=8,
        )  # fmt: skip
    _list_kernel[(n, batch * heads)](
        keys, blocks, counts, bits, histogram, budgets, n_video, n, heads, words,
        max(WORD_BITS, triton.next_power_of_2(n)), WORD_BITS, num_warps=4,
    )  # fmt: skip
    return BlockLists(blocks, counts, bits)
