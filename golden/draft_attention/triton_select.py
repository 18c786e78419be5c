"""Triton: draft map, budget and block sets on the device, with no synchronisation and no sort.

The map ranks pairs of video blocks by log A = logit - logsumexp(row), or by the tail's error
(`selection.error_keys`), kept as a 24-bit code (`_code`). Heads take turns in one map, which may lie in memory that is
written over later. A head's threshold is found by radix selection, eight bits of the code at a time; each kernel
derives the digits found so far from the histograms of the kernels before it, so that no state travels through the host.
The kernels of a turn:

  draft   the logits; or, by the tail's error, first the logsumexp of every row, then the codes
  rank    a row's codes, its floor and options raised to the top, and the histogram of the first digit
  count   the histogram of the next digit, twice
  sets    bit rows and counts
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from triptych.golden.draft_attention.selection import (
    LARGEST_GAIN,
    SMALLEST,
    Criterion,
    DraftStatistic,
    SelectionRule,
    keep_budget,
)
from triptych.golden.draft_attention.terms.block_sets import WORD_BITS, BlockSets, row_words
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.triton_launch import launch
from triptych.golden.draft_attention.triton_pool import PooledBlocks

MAP_BYTES = 1 << 25
"""Of the map of a turn, where it takes memory of its own: few enough to stay in L2."""

SCRATCH_BYTES = 1 << 27
"""And where it does not: then a turn more costs the host more than the way to device memory costs the device."""

_DIGIT_BITS = tl.constexpr(8)
_BINS = tl.constexpr(256)
_DIGITS = tl.constexpr(3)
_CODE_BITS = tl.constexpr(24)
_TOP_BIT = tl.constexpr(1 << 23)
_FORCED = tl.constexpr((1 << 24) - 1)
_NEAR = tl.constexpr(32.0)
_HEADROOM = tl.constexpr(16.0)  # what the logarithm of an error may rise above 0 without losing its rank


@triton.jit
def _code(depth):
    """-log A >= 0 as an integer that falls as it grows: 2^-18 a step up to 32, 2^-11 a step up to 4,000 beyond."""
    near = depth * (1 << 18)
    far = (depth - _NEAR) * (1 << 11) + (1 << 23)
    steps = tl.minimum(tl.where(depth < _NEAR, near, far), _FORCED - 1.0)
    return _FORCED - 1 - steps.to(tl.int32)


@triton.jit(do_not_specialize=["first_head"])
def _draft_kernel(
    qm_ptr, qx_ptr, km_ptr, kx_ptr, map_ptr, first_head, scale, n_video, stride, heads, groups,
    dim: tl.constexpr, with_max: tl.constexpr, tile: tl.constexpr,
):  # fmt: skip
    """One tile of logits, as float32 bits."""
    batch_head = (first_head + tl.program_id(2)).to(tl.int64)
    kv_head = batch_head // heads * (heads // groups) + batch_head % heads // groups
    rows = (tl.program_id(1) * tile + tl.arange(0, tile))[:, None]
    columns = (tl.program_id(0) * tile + tl.arange(0, tile))[None, :]
    channels = tl.arange(0, dim)
    q_offsets = batch_head * n_video * dim + rows * dim + channels[None, :]
    k_offsets = kv_head * n_video * dim + columns * dim + channels[:, None]
    q = tl.load(qm_ptr + q_offsets, mask=rows < n_video, other=0.0)
    k = tl.load(km_ptr + k_offsets, mask=columns < n_video, other=0.0)
    logits = tl.dot(q, k, input_precision="ieee")
    if with_max:
        q = tl.load(qx_ptr + q_offsets, mask=rows < n_video, other=0.0)
        k = tl.load(kx_ptr + k_offsets, mask=columns < n_video, other=0.0)
        logits = (logits + tl.dot(q, k, input_precision="ieee")) * 0.5
    offsets = tl.program_id(2).to(tl.int64) * n_video * stride + rows * stride + columns
    inside = (rows < n_video) & (columns < stride)
    tl.store(map_ptr + offsets, (logits * scale).to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def _mass(q, squares, k_mean, k_variance, log_count, scale, largest_gain: tl.constexpr):
    """Second-order logits of some query blocks over some key blocks, and the variance of the token logits."""
    squared = tl.dot(squares, k_variance, input_precision="ieee") * (scale * scale)
    logits = tl.dot(q, k_mean, input_precision="ieee") * scale
    return logits + log_count + tl.minimum(squared * 0.5, largest_gain), squared


@triton.jit(do_not_specialize=["first_head"])
def _row_sums_kernel(
    mean_ptr, square_ptr, k_mean_ptr, k_variance_ptr, log_count_ptr, sums_ptr,
    first_head, scale, n_video, heads, groups, dim: tl.constexpr, tile: tl.constexpr, largest_gain: tl.constexpr,
):  # fmt: skip
    """logsumexp of `tile` rows of second-order logits."""
    batch_head = (first_head + tl.program_id(1)).to(tl.int64)
    kv_head = batch_head // heads * (heads // groups) + batch_head % heads // groups
    rows = (tl.program_id(0) * tile + tl.arange(0, tile))[:, None]
    channels = tl.arange(0, dim)
    q_offsets = batch_head * n_video * dim + rows * dim + channels[None, :]
    q = tl.load(mean_ptr + q_offsets, mask=rows < n_video, other=0.0)
    squares = tl.load(square_ptr + q_offsets, mask=rows < n_video, other=0.0)
    largest = tl.full([tile], float("-inf"), tl.float32)
    total = tl.zeros([tile], tl.float32)
    for start in range(0, n_video, tile):
        columns = (start + tl.arange(0, tile))[None, :]
        k_offsets = kv_head * n_video * dim + columns * dim + channels[:, None]
        k_mean = tl.load(k_mean_ptr + k_offsets, mask=columns < n_video, other=0.0)
        k_variance = tl.load(k_variance_ptr + k_offsets, mask=columns < n_video, other=0.0)
        log_count = tl.load(log_count_ptr + columns, mask=columns < n_video, other=float("-inf"))
        mass, _ = _mass(q, squares, k_mean, k_variance, log_count, scale, largest_gain)
        top = tl.maximum(largest, tl.max(mass, 1))
        total = total * tl.exp(largest - top) + tl.sum(tl.exp(mass - top[:, None]), 1)
        largest = top
    row = tl.program_id(0) * tile + tl.arange(0, tile)
    tl.store(sums_ptr + batch_head * n_video + row, largest + tl.log(total), mask=row < n_video)


@triton.jit(do_not_specialize=["first_head"])
def _error_kernel(
    mean_ptr, square_ptr, k_mean_ptr, k_variance_ptr, spread_ptr, whole_ptr, log_count_ptr, sums_ptr, codes_ptr,
    first_head, scale, n_video, n_rows, stride, heads, groups,
    dim: tl.constexpr, together: tl.constexpr, tile: tl.constexpr, largest_gain: tl.constexpr, smallest: tl.constexpr,
):  # fmt: skip
    """One tile of codes by the tail's error; a row stands for `together` query blocks, whose squared errors add up."""
    batch_head = (first_head + tl.program_id(2)).to(tl.int64)
    kv_head = batch_head // heads * (heads // groups) + batch_head % heads // groups
    rows = (tl.program_id(1) * tile + tl.arange(0, tile))[:, None]
    columns = (tl.program_id(0) * tile + tl.arange(0, tile))[None, :]
    channels = tl.arange(0, dim)
    k_offsets = kv_head * n_video * dim + columns * dim + channels[:, None]
    k_mean = tl.load(k_mean_ptr + k_offsets, mask=columns < n_video, other=0.0)
    k_variance = tl.load(k_variance_ptr + k_offsets, mask=columns < n_video, other=0.0)
    log_count = tl.load(log_count_ptr + columns, mask=columns < n_video, other=0.0)
    spread = tl.load(spread_ptr + kv_head * n_video + columns, mask=columns < n_video, other=0.0)
    spread /= tl.maximum(tl.load(whole_ptr + kv_head), 1e-30)
    error = tl.zeros([tile, tile], tl.float32)  # squared
    for i in tl.static_range(together):
        blocks = rows * together + i
        q_offsets = batch_head * n_video * dim + blocks * dim + channels[None, :]
        q = tl.load(mean_ptr + q_offsets, mask=blocks < n_video, other=0.0)
        squares = tl.load(square_ptr + q_offsets, mask=blocks < n_video, other=0.0)
        mass, squared = _mass(q, squares, k_mean, k_variance, log_count, scale, largest_gain)
        total = tl.load(sums_ptr + batch_head * n_video + blocks, mask=blocks < n_video, other=float("inf"))
        here = 2.0 * (mass - total) + tl.log(squared + smallest) + tl.log(spread + smallest)
        if i == 0:
            error = here
        else:
            top = tl.maximum(error, here)
            error = top + tl.log(tl.exp(error - top) + tl.exp(here - top))
    code = tl.where(columns < n_video, _code(tl.maximum(_HEADROOM - 0.5 * error, 0.0)), -1)
    offsets = tl.program_id(2).to(tl.int64) * n_rows * stride + rows * stride + columns
    tl.store(codes_ptr + offsets, code, mask=(rows < n_rows) & (columns < stride))


@triton.jit(do_not_specialize=["first_head"])
def _rank_kernel(
    map_ptr, histogram_ptr, budgets_ptr, first_head, here, n_video, n_rows, stride, heads, blocks_per_frame,
    coded: tl.constexpr, together: tl.constexpr,
    floored: tl.constexpr, sink: tl.constexpr, same_frame: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """Logits of one row become codes (unless `coded`), -1 in the padding, and the first digits are counted.

    One row a program: the search for the floor sums over the row 24 times, which is cheap within a warp alone. Heads
    are innermost: rows of one head, side by side, would wait for each other at its histogram.
    """
    turn, row = tl.program_id(0) % here, tl.program_id(0) // here
    batch_head = (first_head + turn).to(tl.int64)
    columns = tl.arange(0, width)
    pointers = map_ptr + (turn.to(tl.int64) * n_rows + row) * stride + columns
    inside = columns < stride
    if coded:
        code = tl.load(pointers, mask=inside, other=-1)
    else:
        logit = tl.load(pointers, mask=inside, other=0).to(tl.float32, bitcast=True)
        logit = tl.where(columns < n_video, logit, float("-inf"))
        largest = tl.max(logit, 0)
        log_sum = largest + tl.log(tl.sum(tl.exp(logit - largest), 0))
        code = tl.where(columns < n_video, _code(tl.maximum(log_sum - logit, 0.0)), -1)
    forced = columns < 0
    if floored:
        row_floor = tl.load(budgets_ptr + heads + batch_head % heads)
        floor_code = tl.zeros([], tl.int32)
        for bit in tl.static_range(_CODE_BITS):
            trial = floor_code | (_TOP_BIT >> bit)
            reach = tl.sum((code >= trial).to(tl.int32), 0)
            floor_code = tl.where(reach >= row_floor, trial, floor_code)
        forced = forced | (code >= floor_code)
    if sink:
        forced = forced | (columns < blocks_per_frame)
    if same_frame:
        for i in tl.static_range(together):
            forced = forced | (columns // blocks_per_frame == (row * together + i) // blocks_per_frame)
    code = tl.where(forced & (code >= 0), _FORCED, code)
    tl.store(pointers, code, mask=inside)
    # Padding goes to digit 0, the lowest, where it changes no choice: the wanted rank never exceeds what counts.
    counts = tl.histogram(tl.maximum(code, 0) >> (_CODE_BITS - _DIGIT_BITS), _BINS)
    bins = tl.arange(0, _BINS)
    tl.atomic_add(histogram_ptr + batch_head * _DIGITS * _BINS + bins, counts, mask=counts != 0, sem="relaxed")


@triton.jit
def _digits_so_far(histogram_ptr, wanted, known: tl.constexpr):
    """The first `known` digits of the wanted-th largest code."""
    prefix = tl.zeros([], tl.int32)
    rank = wanted
    bins = tl.arange(0, _BINS)
    for digit in tl.static_range(known):
        counts = tl.load(histogram_ptr + digit * _BINS + bins)
        at_least = tl.sum(counts, 0) - tl.cumsum(counts, 0) + counts
        chosen = tl.sum((at_least >= rank).to(tl.int32), 0) - 1
        rank -= tl.sum(tl.where(bins > chosen, counts, 0), 0)
        prefix = (prefix << _DIGIT_BITS) | chosen
    return prefix


@triton.jit(do_not_specialize=["first_head"])
def _count_kernel(
    codes_ptr, histogram_ptr, budgets_ptr, first_head, here, n_rows, stride, heads,
    digit: tl.constexpr, steps: tl.constexpr, tile_rows: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """One radix pass: histogram of the next digit over the codes that share the digits found so far."""
    turn, part = tl.program_id(0) % here, tl.program_id(0) // here
    batch_head = (first_head + turn).to(tl.int64)
    codes_ptr += turn.to(tl.int64) * n_rows * stride
    histogram_ptr += batch_head * _DIGITS * _BINS
    prefix = _digits_so_far(histogram_ptr, tl.load(budgets_ptr + batch_head % heads), digit)
    columns = tl.arange(0, width)[None, :]
    bins = tl.arange(0, _BINS)
    shift: tl.constexpr = _CODE_BITS - _DIGIT_BITS * (digit + 1)
    total = tl.zeros([_BINS], tl.int32)
    for step in range(steps):
        row = (part * steps + step) * tile_rows + tl.arange(0, tile_rows)[:, None]
        inside = (columns < stride) & (row < n_rows)
        digits = tl.load(codes_ptr + row * stride + columns, mask=inside, other=-1) >> shift
        counted = (digits >> _DIGIT_BITS) == prefix
        # tl.histogram's own mask miscounts in Triton 3.6: codes that do not count go to digit 0 instead, as above.
        shown = tl.where(counted, digits & (_BINS - 1), 0)
        total += tl.histogram(tl.reshape(shown, [tile_rows * width]), _BINS)
    tl.atomic_add(histogram_ptr + digit * _BINS + bins, total, mask=total != 0, sem="relaxed")


@triton.jit(do_not_specialize=["first_head"])
def _sets_kernel(
    codes_ptr, bits_ptr, counts_ptr, histogram_ptr, budgets_ptr,
    first_head, n_video, n_rows, n_blocks, stride, heads, words,
    together: tl.constexpr, tile_rows: tl.constexpr, width: tl.constexpr, word_bits: tl.constexpr,
):  # fmt: skip
    """Bit rows and counts of `tile_rows` query blocks."""
    batch_head = (first_head + tl.program_id(1)).to(tl.int64)
    codes_ptr += tl.program_id(1).to(tl.int64) * n_rows * stride
    wanted = tl.load(budgets_ptr + batch_head % heads)
    threshold = _digits_so_far(histogram_ptr + batch_head * _DIGITS * _BINS, wanted, _DIGITS)
    columns = tl.arange(0, width)[None, :]
    rows = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    row = rows[:, None]
    inside = (columns < stride) & (row < n_video)
    code = tl.load(codes_ptr + row // together * stride + columns, mask=inside, other=-1)
    dense = (columns < n_blocks) & ((columns >= n_video) | (row >= n_video))
    chosen = ((code >= threshold) | dense).to(tl.int32)
    row_inside = rows < n_blocks
    tl.store(counts_ptr + batch_head * n_blocks + rows, tl.sum(chosen, 1), mask=row_inside)
    shifted = tl.reshape(chosen << (columns % word_bits), [tile_rows, width // word_bits, word_bits])
    word = tl.arange(0, width // word_bits)[None, :]
    tl.store(
        bits_ptr + (batch_head * n_blocks + row) * words + word,
        tl.sum(shifted, 2),
        mask=row_inside[:, None] & (word < words),
    )


@functools.lru_cache(maxsize=64)
def _budgets(sparsity: tuple[float, ...], floors: tuple[int, ...], n_pairs: int, device: torch.device) -> torch.Tensor:
    """int32 `[2, heads]` on the device: entries that a head keeps, entries that each of its rows keeps at least.

    Kept, so that repeated calls copy nothing from the host.
    """
    kept = [keep_budget(share, n_pairs) for share in sparsity]
    return torch.tensor([kept, list(floors)], dtype=torch.int32, device=device)


def _room(scratch: torch.Tensor | None, heads: int, n_rows: int, stride: int, device: torch.device) -> torch.Tensor:
    """int32 `[heads of a turn, n_rows, stride]`, in `scratch` where a head fits there."""
    head = 4 * n_rows * stride
    if scratch is not None and (room := scratch.numel() * scratch.element_size()) >= head:
        turn = min(heads, max(1, min(room, SCRATCH_BYTES) // head))
        flat = scratch.as_strided((scratch.numel(),), (1,))
        return flat[: turn * head // flat.element_size()].view(torch.int32).view(turn, n_rows, stride)
    return torch.empty(min(heads, max(1, MAP_BYTES // head)), n_rows, stride, dtype=torch.int32, device=device)


@dataclass(frozen=True)
class ErrorStatistics:
    """What a choice by the tail's error needs beside the means of q and k."""

    log_counts: torch.Tensor
    """float32 `[n_video_blocks]`"""
    spread: torch.Tensor
    """of v: `PooledBlocks.spread`"""


def select_blocks(
    q: PooledBlocks,
    k: PooledBlocks,
    geometry: Geometry,
    rule: SelectionRule,
    scale: float,
    codes: torch.Tensor | None = None,
    error: ErrorStatistics | None = None,
    scratch: torch.Tensor | None = None,
) -> BlockSets:
    """The block sets of our rule from pooled q and k; with `q.square`, `k.variance` and `error` by the tail's error.

    `codes`: int32 `[heads of a turn, rows, stride]` to work in, a row for each query block (each pair of them where
    `rule.rows_together` says so); strides are a multiple of 32. By default as many heads as fit MAP_BYTES, in `scratch`
    (dense memory of any type, on 16 bytes) where that is large enough. It holds the codes of the last turn afterwards.
    """
    batch, heads, n_video, dim = q.mean.shape
    n, device = geometry.n_blocks, q.mean.device
    together = rule.rows_together(geometry)
    n_rows = -(-n_video // together)
    if codes is None:
        stride = -(-n_video // 32) * 32
        codes = _room(scratch, batch * heads, n_rows, stride, device)
    turn, _, stride = codes.shape
    _, gh, gw = geometry.blocks_per_axis
    words = row_words(n)
    groups = heads // k.mean.shape[1]
    histogram = torch.zeros(batch * heads, _DIGITS.value, _BINS.value, dtype=torch.int32, device=device)
    counts = torch.empty(batch, heads, n, dtype=torch.int32, device=device)
    bits = torch.empty(batch, heads, n, words, dtype=torch.int32, device=device)
    floors = rule.head_floors(heads, n_video)
    budgets = _budgets(rule.head_sparsity(heads), floors, n_rows * n_video, device)
    with_max = rule.statistic is DraftStatistic.MEAN_AND_MAX
    coded = rule.criterion is Criterion.TAIL_ERROR
    sums = torch.empty(batch * heads, n_video, dtype=torch.float32, device=device) if coded else None
    whole = error.spread.mean(-1) if error is not None else None
    width, set_width = triton.next_power_of_2(stride), triton.next_power_of_2(words * WORD_BITS)
    count_rows, set_rows = max(1, min(16, 16384 // width)), max(1, min(8, 8192 // set_width))
    steps, tiles = max(1, 32 // count_rows), triton.cdiv(n_video, 64)
    for first in range(0, batch * heads, turn):
        here = min(turn, batch * heads - first)
        if coded:
            assert error is not None
            side = 64 if dim <= 128 else 32  # shared memory: 96 KiB, what the smallest cards have
            launch(
                _row_sums_kernel, (triton.cdiv(n_video, side), here),
                q.mean, q.square, k.mean, k.variance, error.log_counts, sums,
                first, scale, n_video, heads, groups, dim, side, LARGEST_GAIN, num_warps=4, num_stages=2,
            )  # fmt: skip
            launch(
                _error_kernel, (triton.cdiv(n_video, side), triton.cdiv(n_rows, side), here),
                q.mean, q.square, k.mean, k.variance, error.spread, whole, error.log_counts, sums, codes,
                first, scale, n_video, n_rows, stride, heads, groups, dim, together, side, LARGEST_GAIN, SMALLEST,
                num_warps=4,
            )  # fmt: skip
        else:
            launch(
                _draft_kernel, (tiles, tiles, here),
                q.mean, q.maximum if with_max else q.mean, k.mean, k.maximum if with_max else k.mean, codes,
                first, scale, n_video, stride, heads, groups, dim, with_max, 64, num_warps=4,
            )  # fmt: skip
        launch(
            _rank_kernel, (n_rows * here,),
            codes, histogram, budgets, first, here, n_video, n_rows, stride, heads, gh * gw, coded, together,
            any(floors), rule.first_frame_sink, rule.same_frame, width, num_warps=max(1, min(8, width // 2048)),
        )  # fmt: skip
        for digit in range(1, _DIGITS.value):
            launch(
                _count_kernel, (triton.cdiv(n_rows, steps * count_rows) * here,),
                codes, histogram, budgets, first, here, n_rows, stride, heads, digit, steps, count_rows, width,
                num_warps=8,
            )  # fmt: skip
        launch(
            _sets_kernel, (triton.cdiv(n, set_rows), here),
            codes, bits, counts, histogram, budgets, first, n_video, n_rows, n, stride, heads, words, together,
            set_rows, set_width, WORD_BITS, num_warps=8,
        )  # fmt: skip
    return BlockSets(bits, counts, geometry, paired=together == 2)
