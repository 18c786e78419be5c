"""The three calls as PyTorch operators (`torch.ops.triptych.*`), opaque to torch.compile and torch.export.

Each takes tensors and plain numbers alone, so that a graph can hold it, and has a fake implementation that tells the
shape, dtype and strides of what it returns. Nothing behind them is traced: kernels are launched as in eager mode, the
inputs are checked when the operator runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch

from triptych.golden.draft_attention.dispatch import (
    Backend,
    attend_sets,
    choose_sets,
    dense_attention,
    dense_kernel_pays,
    run,
    serving_backend,
    sparse_pays,
)
from triptych.golden.draft_attention.selection import Criterion, DraftStatistic, SelectionRule
from triptych.golden.draft_attention.terms.block_sets import BlockSets, row_words
from triptych.golden.draft_attention.terms.contract import Request
from triptych.golden.draft_attention.terms.errors import DraftAttentionError
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.layout import Layout, Runs, check_runs


def _check_tensors(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    if any(x.dim() != 4 for x in (q, k, v)):
        raise DraftAttentionError(
            f"q, k and v must be [batch, heads, length, dim]; got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    if k.shape != v.shape:
        raise DraftAttentionError(f"k and v must have one shape; got {tuple(k.shape)} and {tuple(v.shape)}")
    if (q.shape[0], q.shape[3]) != (k.shape[0], k.shape[3]):
        raise DraftAttentionError(f"q and k must agree in batch and dim; got {tuple(q.shape)} and {tuple(k.shape)}")
    if min(q.shape) < 1 or min(k.shape) < 1 or q.shape[1] % k.shape[1]:
        raise DraftAttentionError(f"{q.shape[1]} query heads are no multiple of {k.shape[1]} key heads")
    if not (q.dtype == k.dtype == v.dtype) or not q.dtype.is_floating_point:
        raise DraftAttentionError(f"q, k and v must share one float dtype; got {q.dtype}, {k.dtype}, {v.dtype}")
    if not (q.device == k.device == v.device):
        raise DraftAttentionError(f"q, k and v must lie on one device; got {q.device}, {k.device}, {v.device}")


def _check_self_attention(q: torch.Tensor, k: torch.Tensor) -> None:
    if q.shape[2] != k.shape[2]:
        raise DraftAttentionError(
            f"q and k must agree in batch, length and dim (self-attention); got {tuple(q.shape)} and {tuple(k.shape)}"
        )


def _backend(name: str | None) -> Backend | None:
    try:
        return None if name is None else Backend(name)
    except ValueError as error:
        raise DraftAttentionError(str(error)) from None


@functools.lru_cache(maxsize=256)
def _rule(
    sparsity: tuple[float, ...],
    faithful: bool,
    row_floor: int | None,
    first_frame_sink: bool,
    same_frame: bool,
    statistic: str,
    heads: int,
    with_tail: bool,
) -> SelectionRule:
    try:
        kind = DraftStatistic(statistic)
    except ValueError as error:
        raise DraftAttentionError(str(error)) from None
    shares = sparsity[0] if len(sparsity) == 1 else sparsity
    by_error = with_tail and not faithful and kind is DraftStatistic.MEAN
    criterion = Criterion.TAIL_ERROR if by_error else Criterion.MASS
    rule = SelectionRule(shares, faithful, row_floor, first_frame_sink, same_frame, kind, criterion)
    rule.head_sparsity(heads)
    return rule


def _logit_scale(scale: float | None, dim: int) -> float:
    return 1.0 / math.sqrt(dim) if scale is None else scale


def _worth_it(q: torch.Tensor, sparsity: Sequence[float]) -> bool:
    """Whether our kernels, sparse or with nothing to leave out, are faster than PyTorch's dense attention."""
    return sparse_pays(q, sparsity) if any(sparsity) else q.device.type != "cuda" or dense_kernel_pays(q)


@functools.lru_cache(maxsize=256)
def _geometry(length: int, grid: tuple[int, ...], pool: tuple[int, ...], text: str) -> Geometry:
    """Kept, as the rule is: a call that waits for the host would feel it."""
    return Geometry.for_length(length, grid, pool, text)  # type: ignore[arg-type]


def traced(*tensors: torch.Tensor) -> bool:
    """Whether somebody records what is done with these tensors, so that only the operator will do."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return torch._C._len_torch_dispatch_stack() > 0 or any(type(x) is not torch.Tensor for x in tensors)


def attend_by_draft(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    grid: Sequence[int],
    pool: Sequence[int],
    text: str,
    sparsity: Sequence[float],
    scale: float | None,
    tail: bool,
    faithful: bool,
    row_floor: int | None,
    first_frame_sink: bool,
    same_frame: bool,
    statistic: str,
    backend: str | None,
    heads_per_pass: int | None,
    eight_bit: bool,
) -> torch.Tensor:
    _check_tensors(q, k, v)
    _check_self_attention(q, k)
    geometry = _geometry(q.shape[2], tuple(grid), tuple(pool), text)
    rule = _rule(tuple(sparsity), faithful, row_floor, first_frame_sink, same_frame, statistic, q.shape[1], tail)
    rule.check_floor(geometry)
    if heads_per_pass is not None and heads_per_pass < 1:
        raise DraftAttentionError(f"heads_per_pass must be >= 1; got {heads_per_pass}")
    request = Request(q.dtype, q.shape[3], geometry, geometry, tail, False, eight_bit)
    chosen = serving_backend(_backend(backend), q.device, request)
    if backend is None and not (faithful or eight_bit) and not _worth_it(q, sparsity):
        return dense_attention(q, k, v, _logit_scale(scale, q.shape[3]))
    return run(chosen, q, k, v, geometry, rule, _logit_scale(scale, q.shape[3]), tail, heads_per_pass, eight_bit)


draft_attention = torch.library.custom_op("triptych::draft_attention", attend_by_draft, mutates_args=())


@draft_attention.register_fake
def _draft_attention_fake(q: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.empty_like(q)


@torch.library.custom_op("triptych::select_blocks", mutates_args=())
def select_blocks(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor | None,
    grid: Sequence[int],
    pool: Sequence[int],
    text: str,
    sparsity: Sequence[float],
    scale: float | None,
    faithful: bool,
    row_floor: int | None,
    first_frame_sink: bool,
    same_frame: bool,
    statistic: str,
    backend: str | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    _check_tensors(q, k, k if v is None else v)
    _check_self_attention(q, k)
    geometry = _geometry(q.shape[2], tuple(grid), tuple(pool), text)
    rule = _rule(
        tuple(sparsity), faithful, row_floor, first_frame_sink, same_frame, statistic, q.shape[1], v is not None
    )
    rule.check_floor(geometry)
    request = Request(q.dtype, q.shape[3], geometry, geometry, False, False, False)
    chosen = serving_backend(_backend(backend), q.device, request)
    sets = choose_sets(chosen, q, k, v, geometry, rule, _logit_scale(scale, q.shape[3]))
    return sets.bits, sets.counts


@select_blocks.register_fake
def _select_blocks_fake(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor | None, grid: Sequence[int], pool: Sequence[int], *_: object
) -> tuple[torch.Tensor, torch.Tensor]:
    n = Geometry.for_length(q.shape[2], tuple(grid), tuple(pool)).n_blocks  # type: ignore[arg-type]
    bits = q.new_empty((q.shape[0], q.shape[1], n, row_words(n)), dtype=torch.int32)
    return bits, q.new_empty((q.shape[0], q.shape[1], n), dtype=torch.int32)


@torch.library.custom_op("triptych::block_sparse_attention", mutates_args=())
def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bits: torch.Tensor,
    counts: torch.Tensor,
    grid: Sequence[int] | None,
    pool: Sequence[int],
    text: str,
    query_block: int,
    key_block: int,
    query_sizes: torch.Tensor | None,
    key_sizes: torch.Tensor | None,
    paired: bool,
    scale: float | None,
    tail: bool,
    return_lse: bool,
    backend: str | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    _check_tensors(q, k, v)
    query_layout: Layout
    key_layout: Layout
    geometry = None
    if grid is None:
        query_layout = Runs(q.shape[2], query_block, query_sizes)
        key_layout = Runs(k.shape[2], key_block, key_sizes)
        check_runs(query_layout, q.shape[0], q.device, "queries")
        check_runs(key_layout, q.shape[0], q.device, "keys")
    else:
        _check_self_attention(q, k)
        geometry = _geometry(q.shape[2], tuple(grid), tuple(pool), text)
        query_layout = key_layout = geometry
    n_query, n_key = query_layout.n_blocks, key_layout.n_blocks
    expected = (*q.shape[:2], n_query, row_words(n_key))
    if tuple(bits.shape) != expected or tuple(counts.shape) != expected[:3]:
        raise DraftAttentionError(
            f"sets must be those of {q.shape[0]} x {q.shape[1]} heads, {n_query} query and {n_key} key blocks; "
            f"got bits {tuple(bits.shape)}, counts {tuple(counts.shape)}"
        )
    if bits.device != q.device or counts.device != q.device:
        raise DraftAttentionError(f"sets must be on {q.device}, where q is; they are on {bits.device}")
    sets = BlockSets(bits.contiguous(), counts.contiguous(), geometry, n_key, paired)
    request = Request(q.dtype, q.shape[3], query_layout, key_layout, tail, return_lse, False)
    chosen = serving_backend(_backend(backend), q.device, request)
    scale = _logit_scale(scale, q.shape[3])
    out, lse = attend_sets(chosen, q, k, v, sets, query_layout, key_layout, scale, tail, return_lse)
    return out, q.new_empty(0, dtype=torch.float32) if lse is None else lse


@block_sparse_attention.register_fake
def _block_sparse_attention_fake(q: torch.Tensor, *arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
    return_lse = arguments[-2]
    return torch.empty_like(q), q.new_empty(q.shape[:3] if return_lse else (0,), dtype=torch.float32)
