"""Which code serves a call: the reference on CPU, the Hopper kernels on sm_90, Triton on other CUDA devices."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Sequence
from enum import Enum

import torch

from triptych.golden.draft_attention import reference
from triptych.golden.draft_attention.selection import Criterion, DraftStatistic, SelectionRule, draft_mask
from triptych.golden.draft_attention.terms.block_sets import BlockSets, sets_from_mask
from triptych.golden.draft_attention.terms.contract import Call, Request, copy_engine_reads
from triptych.golden.draft_attention.terms.errors import DraftAttentionError
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.layout import Layout
from triptych.golden.draft_attention.terms.tail import Tail, log_counts
from triptych.golden.draft_attention.trust import trusted_tail

KERNEL_BLOCKS = (64, 128)
KERNEL_DTYPES = (torch.float16, torch.bfloat16)
LARGEST_DIM = 256


class Backend(Enum):
    """Who computes."""

    REFERENCE = "reference"
    TRITON = "triton"
    HOPPER = "hopper"


def choose_backend(device: torch.device) -> Backend:
    """The best backend for tensors on `device`. Raises DraftAttentionError where none fits."""
    if device.type == "cpu":
        return Backend.REFERENCE
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability == (9, 0):
            return Backend.HOPPER
        if capability >= (8, 0):
            return Backend.TRITON
        raise DraftAttentionError(
            f"no kernel for CUDA compute capability {capability[0]}.{capability[1]} (8.0 or newer is needed); "
            'pass backend="reference" for the slow PyTorch path'
        )
    raise DraftAttentionError(f'no kernel for device type "{device.type}"; pass backend="reference" or move to CUDA')


@functools.cache
def _warn_without_compiler(reason: str) -> None:
    warnings.warn(f"{reason}; Triton's kernels serve instead, at about half the speed", RuntimeWarning, stacklevel=2)


def serving_backend(named: Backend | None, device: torch.device, request: Request) -> Backend:
    """Who serves `request`: the named backend, or the best one on `device` that takes it.

    On a Hopper GPU what its kernels refuse goes to Triton's. Raises DraftAttentionError when nobody serves it.
    """
    chosen = choose_backend(device) if named is None else named
    if chosen is Backend.HOPPER:
        from triptych.golden.draft_attention import hopper

        reason = hopper.refusal(request) or _kernel_refusal(chosen, device, request)
        missing = hopper.missing_compiler() if reason is None and device.type == "cuda" else None
        if reason is None and missing is None:
            return chosen
        if named is not None or request.eight_bit:
            raise DraftAttentionError(reason or str(missing))
        chosen = Backend.TRITON
        if missing is not None:
            _warn_without_compiler(missing)
    if request.eight_bit:
        raise DraftAttentionError(f'eight_bit needs the Hopper kernel; "{chosen.value}" serves this call')
    if chosen is Backend.TRITON and (reason := _kernel_refusal(chosen, device, request)):
        raise DraftAttentionError(reason)
    return chosen


def _kernel_refusal(backend: Backend, device: torch.device, request: Request) -> str | None:
    """Why no kernel of ours serves this request; None when `backend` may."""
    interpreted = backend is Backend.TRITON and os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != "cuda" and not interpreted:
        return f'backend "{backend.value}" needs CUDA tensors; got {device.type}'
    if interpreted and request.dtype == torch.bfloat16:
        return "Triton's interpreter multiplies bfloat16 as integers; give it float16"
    if request.dtype not in KERNEL_DTYPES:
        return f"kernels take float16 or bfloat16; got {request.dtype}; convert q, k and v"
    if request.dim % 8 or request.dim > LARGEST_DIM:
        return f"kernels take head dims that are multiples of 8 up to {LARGEST_DIM}; got {request.dim}; pad with zeros"
    for layout in (request.query_layout, request.key_layout):
        if layout.block_size not in KERNEL_BLOCKS:
            what = f"pools of 64 or 128 tokens, such as (8, 16), (4, 4, 4) or (8, 8); got {_named(layout)}"
            return f'kernels take {what}; pass backend="reference" for others'
    return None


def _named(layout: object) -> str:
    return str(layout.pool) if isinstance(layout, Geometry) else f"blocks of {getattr(layout, 'block_size', '?')}"


def readable(backend: Backend, x: torch.Tensor) -> torch.Tensor:
    """`x`, or a copy in fresh memory where the backend cannot read its strides."""
    if backend is Backend.HOPPER:
        return x if copy_engine_reads(x) else x.clone(memory_format=torch.contiguous_format)
    return x if x.stride(-1) == 1 or backend is Backend.REFERENCE else x.contiguous()


def _writable(backend: Backend, out: torch.Tensor) -> torch.Tensor:
    """`out`, or other memory for the result where the backend cannot write its strides."""
    fits = copy_engine_reads(out) if backend is Backend.HOPPER else out.stride(-1) == 1
    return out if fits or backend is Backend.REFERENCE else torch.empty_like(out, memory_format=torch.contiguous_format)


def select(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    geometry: Geometry,
    rule: SelectionRule,
    scale: float,
    with_tail: bool,
    scratch: torch.Tensor | None = None,
) -> tuple[BlockSets, Tail | None]:
    """Everything but attention, on kernels: pool, draft map, budget, sets, and the tail's tokens.

    `scratch`: dense memory of any type that may be written over, for the map.
    No host synchronisation after the first call for a shape; capturable in a CUDA graph (the faithful rule runs on
    PyTorch operators instead).
    """
    from triptych.golden.draft_attention import triton_pool, triton_select, triton_trust

    with_max = rule.statistic is DraftStatistic.MEAN_AND_MAX
    by_error = rule.criterion is Criterion.TAIL_ERROR
    if rule.faithful:
        sets = sets_from_mask(draft_mask(q, k, geometry, rule, scale), geometry)
        return sets, kernel_tail(q, k, v, geometry, scale) if with_tail else None
    pooled_q = triton_pool.pool_blocks(q, geometry, with_max=with_max, with_square=by_error)
    pooled_k = triton_pool.pool_blocks(k, geometry, with_max=with_max, with_var=with_tail or by_error)
    pooled_v = None
    if with_tail or by_error:
        pooled_v = triton_pool.pool_blocks(v, geometry, with_spread=by_error)
    counts = log_counts_on(geometry, q.device)
    error = None
    if by_error:
        assert pooled_v is not None
        assert pooled_v.spread is not None
        error = triton_select.ErrorStatistics(counts, pooled_v.spread)
    sets = triton_select.select_blocks(pooled_q, pooled_k, geometry, rule, scale, error=error, scratch=scratch)
    tail = None
    if with_tail:
        assert pooled_v is not None
        tail = triton_trust.trusted_tail(pooled_q, pooled_k, pooled_v, k, v, geometry, scale, counts)
    return sets, tail


def kernel_tail(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, scale: float) -> Tail:
    """The tail's tokens as kernels read them."""
    from triptych.golden.draft_attention import triton_pool, triton_trust

    pooled_q, pooled_v = (triton_pool.pool_blocks(x, geometry) for x in (q, v))
    pooled_k = triton_pool.pool_blocks(k, geometry, with_var=True)
    counts = log_counts_on(geometry, k.device)
    return triton_trust.trusted_tail(pooled_q, pooled_k, pooled_v, k, v, geometry, scale, counts)


_LOG_COUNTS: dict[tuple[Geometry, torch.device], torch.Tensor] = {}


def log_counts_on(geometry: Geometry, device: torch.device) -> torch.Tensor:
    """`log_counts`, kept for each geometry and device so that repeated calls copy nothing from the host."""
    key = (geometry, device)
    if key not in _LOG_COUNTS:
        _LOG_COUNTS[key] = log_counts(geometry, device)
    return _LOG_COUNTS[key]


def attend(backend: Backend, call: Call) -> None:
    """Block-sparse attention into `call.out` on any backend."""
    if backend is Backend.HOPPER:
        from triptych.golden.draft_attention import hopper

        hopper.attend(call)
    elif backend is Backend.TRITON:
        from triptych.golden.draft_attention import triton_attention

        triton_attention.attend(call)
    else:
        out, lse = reference.attend(
            call.q, call.k, call.v, call.sets.mask(), call.query_layout, call.key_layout, call.scale, call.tail
        )
        call.out.copy_(out)
        if call.lse is not None:
            call.lse.copy_(lse)


def dense_layout(length: int) -> Geometry:
    """Dense attention needs no boxes: full blocks of consecutive tokens waste nothing at a grid's edges."""
    return Geometry((1, 1, length), (1, 1, 128))


@functools.lru_cache(maxsize=8)
def all_blocks(batch: int, heads: int, geometry: Geometry, device: torch.device) -> BlockSets:
    """The sets of dense attention, kept so that repeated calls copy nothing from the host."""
    n = geometry.n_blocks
    one = sets_from_mask(torch.ones(1, 1, 1, n, dtype=torch.bool, device=device))
    bits = one.bits.expand(batch, heads, n, -1).contiguous()
    return BlockSets(bits, one.counts.expand(batch, heads, n).contiguous(), geometry)


def choose_sets(
    backend: Backend,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor | None,
    geometry: Geometry,
    rule: SelectionRule,
    scale: float,
) -> BlockSets:
    """The block sets alone; `v` is needed for a choice by the tail's error."""
    if backend is Backend.REFERENCE:
        return sets_from_mask(draft_mask(q, k, geometry, rule, scale, v), geometry)
    q, k, v = (readable(backend, x) for x in (q, k, k if v is None else v))
    return select(q, k, v, geometry, rule, scale, with_tail=False)[0]


def attend_sets(
    backend: Backend,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    query_layout: Layout,
    key_layout: Layout,
    scale: float,
    with_tail: bool,
    with_lse: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention over given sets; the output like q, and the log-sum-exp where asked for."""
    out = torch.empty_like(q)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device) if with_lse else None
    q, k, v = (readable(backend, x) for x in (q, k, v))
    tail = None
    if with_tail:
        assert isinstance(key_layout, Geometry)
        pool = trusted_tail if backend is Backend.REFERENCE else kernel_tail
        tail = pool(q, k, v, key_layout, scale)
    target = _writable(backend, out)
    attend(backend, Call(q, k, v, sets, query_layout, key_layout, scale, target, tail, lse))
    return out if target is out else out.copy_(target), lse


def run(
    backend: Backend,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    geometry: Geometry,
    rule: SelectionRule,
    scale: float,
    with_tail: bool,
    heads_per_pass: int | None = None,
    eight_bit: bool = False,
) -> torch.Tensor:
    """One whole call. `heads_per_pass` query heads at a time share the map's memory; None takes all at once."""
    if backend is Backend.REFERENCE:
        sets = choose_sets(backend, q, k, v, geometry, rule, scale)
        return attend_sets(backend, q, k, v, sets, geometry, geometry, scale, with_tail, False)[0]
    out = torch.empty_like(q)
    target = _writable(backend, out)
    q, k, v = (readable(backend, x) for x in (q, k, v))
    heads, groups = q.shape[1], q.shape[1] // k.shape[1]
    sparsity = rule.head_sparsity(heads)
    if not rule.faithful and not any(sparsity):  # nothing to choose, and nothing left out for a tail
        runs = dense_layout(geometry.length)
        sets = all_blocks(q.shape[0], heads, runs, q.device)
        attend(backend, Call(q, k, v, sets, runs, runs, scale, target, eight_bit=eight_bit))
        return out if target is out else out.copy_(target)
    step = heads if heads_per_pass is None else max(groups, heads_per_pass // groups * groups)
    for first in range(0, heads, step):
        last = min(first + step, heads)
        here, kv_here = slice(first, last), slice(first // groups, last // groups)
        part = rule.with_sparsity(sparsity[here])
        pieces = q[:, here], k[:, kv_here], v[:, kv_here]
        # All heads at once: the output, which attention is yet to write, has room for the map.
        sets, tail = select(*pieces, geometry, part, scale, with_tail, target if step >= heads else None)
        attend(backend, Call(*pieces, sets, geometry, geometry, scale, target[:, here], tail, eight_bit=eight_bit))
    return out if target is out else out.copy_(target)


SPARSE_OVERHEAD_MS = 1.1
"""What a sparse call takes beside its attention on a Hopper GPU: launches and selection (docs/results.md)."""

DENSE_FLOPS = 6e11
"""Operations that dense attention does there in a millisecond."""

SPARSE_LEAD = 0.08
"""Share of dense attention's time by which our kernel is ahead of it at equal work."""


def sparse_pays(q: torch.Tensor, sparsity: Sequence[float]) -> bool:
    """Whether a sparse call of `[batch, heads, length, dim]` is faster than a dense one.

    Decided by shape alone, and for Hopper GPUs, where it was measured (docs/results.md, "from where on it pays"); on
    other devices a call is as sparse as was asked for.
    """
    if choose_backend(q.device) is not Backend.HOPPER:
        return True
    batch, heads, length, dim = q.shape
    dense_ms = 4.0 * batch * heads * length**2 * dim / DENSE_FLOPS
    return dense_ms * (sum(sparsity) / len(sparsity) + SPARSE_LEAD) > SPARSE_OVERHEAD_MS


def dense_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """PyTorch's own dense attention, in the memory order of q."""
    out = torch.empty_like(q)
    grouped = q.shape[1] != k.shape[1]
    return out.copy_(torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=grouped))


DENSE_KERNEL_FROM = 32768
"""Tokens from which on our dense kernel is the faster one on Hopper: measured at powers of two (docs/results.md)."""


def dense_kernel_pays(q: torch.Tensor) -> bool:
    """Whether dense attention of `[batch, heads, length, dim]` is faster on our kernel than in PyTorch."""
    if q.device.type != "cuda" or q.shape[2] < DENSE_KERNEL_FROM:
        return False
    layout = dense_layout(q.shape[2])
    try:
        request = Request(q.dtype, q.shape[3], layout, layout, False, False, False)
        return serving_backend(None, q.device, request) is Backend.HOPPER
    except DraftAttentionError:
        return False
