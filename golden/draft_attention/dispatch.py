"""Which code serves a call: the reference on CPU, the Hopper kernel on sm_90, Triton on other CUDA devices."""

from __future__ import annotations

import os
from enum import Enum

import torch

from triptych.golden.draft_attention import reference
from triptych.golden.draft_attention.errors import DraftAttentionError
from triptych.golden.draft_attention.geometry import Geometry
from triptych.golden.draft_attention.pooling import pooled_tail
from triptych.golden.draft_attention.selection import (
    BlockSets,
    DraftStatistic,
    SelectionRule,
    draft_mask,
    sets_from_mask,
)
from triptych.golden.draft_attention.tail import Tail, log_counts

KERNEL_BLOCK = 128
KERNEL_DIMS = (64, 128)
KERNEL_DTYPES = (torch.float16, torch.bfloat16)


class Backend(Enum):
    """Who computes."""

    REFERENCE = "reference"
    TRITON = "triton"
    HOPPER = "hopper"


def choose_backend(device: torch.device) -> Backend:
    """The backend for tensors on `device`. Raises DraftAttentionError where none fits."""
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


def check_kernel_inputs(backend: Backend, q: torch.Tensor, geometry: Geometry, eight_bit: bool, tail: bool) -> None:
    """Raises DraftAttentionError when a backend cannot serve these tensors and options."""
    if eight_bit and backend is not Backend.HOPPER:
        raise DraftAttentionError(f'eight_bit needs the Hopper kernel; "{backend.value}" serves this call')
    if eight_bit and tail:
        raise DraftAttentionError("eight_bit has no pooled tail: leave tail out, or drop eight_bit to have it")
    if backend is Backend.REFERENCE:
        return
    interpreted = backend is Backend.TRITON and os.environ.get("TRITON_INTERPRET") == "1"
    if q.device.type != "cuda" and not interpreted:
        raise DraftAttentionError(f'backend "{backend.value}" needs CUDA tensors; got {q.device.type}')
    if interpreted and q.dtype == torch.bfloat16:
        raise DraftAttentionError("Triton's interpreter multiplies bfloat16 as integers; give it float16")
    if q.dtype not in KERNEL_DTYPES:
        raise DraftAttentionError(f"kernels take float16 or bfloat16; got {q.dtype}; convert q, k and v")
    if q.shape[-1] not in KERNEL_DIMS:
        raise DraftAttentionError(f"kernels take head dim 64 or 128; got {q.shape[-1]}")
    if geometry.block_size != KERNEL_BLOCK:
        raise DraftAttentionError(
            f"kernels take pools of {KERNEL_BLOCK} tokens, such as (8, 16) or (2, 8, 8); got {geometry.pool}; "
            'pass backend="reference" for others'
        )


def select(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    geometry: Geometry,
    rule: SelectionRule,
    scale: float,
    with_tail: bool,
) -> tuple[BlockSets, Tail | None]:
    """Everything but attention, on kernels: pool, draft map, budget, sets, and the tail's tokens.

    No host synchronisation after the first call for a shape; capturable in a CUDA graph (the faithful rule runs on
    PyTorch operators instead).
    """
    from triptych.golden.draft_attention import triton_pool, triton_select

    with_max = rule.statistic is DraftStatistic.MEAN_AND_MAX
    if rule.faithful:
        sets = sets_from_mask(draft_mask(q, k, geometry, rule, scale))
        return sets, pooled_tail(k, v, geometry) if with_tail else None
    pooled_q = triton_pool.pool_blocks(q, geometry, with_max=with_max)
    pooled_k = triton_pool.pool_blocks(k, geometry, with_max=with_max, with_var=with_tail)
    tail = None
    if with_tail:
        assert pooled_k.variance is not None
        v_mean = triton_pool.pool_blocks(v, geometry).mean
        tail = Tail(pooled_k.mean, v_mean, pooled_k.variance, log_counts_on(geometry, q.device))
    return triton_select.select_blocks(pooled_q, pooled_k, geometry, rule, scale), tail


_LOG_COUNTS: dict[tuple[Geometry, torch.device], torch.Tensor] = {}


def log_counts_on(geometry: Geometry, device: torch.device) -> torch.Tensor:
    """`log_counts`, kept for each geometry and device so that repeated calls copy nothing from the host."""
    key = (geometry, device)
    if key not in _LOG_COUNTS:
        _LOG_COUNTS[key] = log_counts(geometry, device)
    return _LOG_COUNTS[key]


def attend(
    backend: Backend,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    geometry: Geometry,
    scale: float,
    out: torch.Tensor,
    tail: Tail | None,
    eight_bit: bool = False,
) -> None:
    """Block-sparse attention into `out` on a kernel backend; `eight_bit` needs the Hopper one."""
    if backend is Backend.HOPPER:
        from triptych.golden.draft_attention import hopper

        hopper.block_sparse_attention(
            q, k, v, sets, geometry, scale,
            out=out, tail=tail, precision="fp8" if eight_bit else "bf16",
        )  # fmt: skip
    else:
        from triptych.golden.draft_attention import triton_attention

        triton_attention.block_sparse_attention(q, k, v, sets, geometry, scale, out=out, tail=tail)


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
        mask = draft_mask(q, k, geometry, rule, scale)
        tail = pooled_tail(k, v, geometry) if with_tail else None
        return reference.block_sparse_attention(q, k, v, mask, geometry, scale, tail)
    heads, groups = q.shape[1], q.shape[1] // k.shape[1]
    step = heads if heads_per_pass is None else max(groups, heads_per_pass // groups * groups)
    sparsity = rule.head_sparsity(heads)
    out = torch.empty_like(q)
    for first in range(0, heads, step):
        last = min(first + step, heads)
        here, kv_here = slice(first, last), slice(first // groups, last // groups)
        part = rule.with_sparsity(sparsity[here])
        pieces = q[:, here], k[:, kv_here], v[:, kv_here]
        sets, tail = select(*pieces, geometry, part, scale, with_tail)
        attend(backend, *pieces, sets, geometry, scale, out[:, here], tail, eight_bit)
    return out
