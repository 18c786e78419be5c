"""Block-sparse attention on Hopper: one call, tiles read and written in place."""

from __future__ import annotations

import ctypes
import math
from typing import Literal, get_args

import torch

from triptych.golden.draft_attention.block_sets import BlockSets
from triptych.golden.draft_attention.contract import Call, Request
from triptych.golden.draft_attention.geometry import Geometry
from triptych.golden.draft_attention.hopper.driver import Kernel, TensorMap, load_kernel
from triptych.golden.draft_attention.hopper.eight_bit import quantise
from triptych.golden.draft_attention.hopper.errors import HopperError
from triptych.golden.draft_attention.hopper.problem import (
    BLOCK,
    ELEMENTS,
    Problem,
    check_inputs,
    check_strides,
    folds,
    make_problem,
    pooled_map,
    token_maps,
)
from triptych.golden.draft_attention.layout import Layout, Runs
from triptych.golden.draft_attention.tail import Tail

Precision = Literal["bf16", "fp8"]
_THREADS = 384


class Operands16(ctypes.Structure):
    """Mirrors `struct Operands` of kernels/attention16.cu."""

    _fields_ = tuple(
        (name, TensorMap)
        for name in (
            *("q_video", "q_text", "k_video", "k_text", "v_video", "v_text"),
            *("k_mean", "k_var", "v_mean"),
        )
    )


def refusal(request: Request) -> str | None:
    """Why these kernels cannot serve a request (contract.py); None when they do."""
    if request.dim not in (64, 128):
        return f"the Hopper kernels take head dim 64 or 128; got {request.dim}"
    if request.with_lse:
        return "the Hopper kernels return no log-sum-exp"
    if request.eight_bit and request.with_tail:
        return "eight_bit has no pooled tail: leave tail out, or drop eight_bit to have it"
    geometry = _as_geometry(request.query_layout, request.key_layout)
    if geometry is None:
        return "the Hopper kernels take equal, full blocks of queries and keys"
    if geometry.block_size != BLOCK or any(size & (size - 1) for size in geometry.pool):
        return f"the Hopper kernels take blocks of {BLOCK} tokens with sides that are powers of two"
    return None


def attend(call: Call) -> None:
    """Serves a call that `refusal` did not refuse."""
    geometry = _as_geometry(call.query_layout, call.key_layout)
    assert geometry is not None
    block_sparse_attention(
        call.q, call.k, call.v, call.sets, geometry, call.scale, call.out, call.tail,
        "fp8" if call.eight_bit else "bf16",
    )  # fmt: skip


def _as_geometry(query_layout: Layout, key_layout: Layout) -> Geometry | None:
    """One geometry for queries and keys; runs of full blocks are a video of one row. None where there is no such."""
    if isinstance(query_layout, Geometry):
        return query_layout
    if not (isinstance(query_layout, Runs) and isinstance(key_layout, Runs)):
        return None
    same = (query_layout.length, query_layout.block) == (key_layout.length, key_layout.block)
    if not same or query_layout.sizes is not None or key_layout.sizes is not None:
        return None
    return Geometry((1, 1, query_layout.length), (1, 1, query_layout.block))


def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    geometry: Geometry,
    scale: float,
    out: torch.Tensor | None = None,
    tail: Tail | None = None,
    precision: Precision = "bf16",
) -> torch.Tensor:
    """softmax(scale q k^T) v, each query block over the key blocks in its set (DraftAttention, section 3.3).

    `q`: `[batch, heads, length, dim]`; `k`, `v`: `[batch, kv_heads, length, dim]`, float16 or bfloat16, dim 64 or
    128, in token order, any strides with dim dense and 16-byte alignment. A row without blocks yields zeros. `tail`
    adds one pooled token for every video block that is not in the set. `precision` "bf16" multiplies in the tensors'
    own 16-bit type, "fp8" in 8 bits (eight_bit.py; without a tail). `out` is written where given.
    Results are the same from run to run only under `torch.use_deterministic_algorithms(True)`, at some loss of speed:
    otherwise the order in which a row's blocks are added up depends on timing.
    Runs on the current stream without host synchronisation. Raises HopperError on what the kernels do not take.
    """
    check_inputs(q, k, v, sets, geometry, scale)
    if precision not in get_args(Precision):
        raise HopperError(f"precision must be one of {get_args(Precision)}; got {precision!r}")
    if out is None:
        out = torch.empty_like(q)
    elif out.shape != q.shape or out.dtype != q.dtype or out.device != q.device:
        raise HopperError(f"out must be like q: {q.dtype} {tuple(q.shape)}; got {out.dtype} {tuple(out.shape)}")
    check_strides(q=q, k=k, v=v, out=out)
    with torch.cuda.device(q.device):
        if all(folds(tensor) for tensor in (q, k, v, out)):
            _attend(q, k, v, sets, geometry, scale, out, tail, precision)
        else:
            for b in range(q.shape[0]):
                row = slice(b, b + 1)
                part = tail and Tail(tail.k_mean[row], tail.v_mean[row], tail.k_var[row], tail.log_count)
                of_row = BlockSets(sets.bits[row], sets.counts[row])
                _attend(q[row], k[row], v[row], of_row, geometry, scale, out[row], part, precision)
    return out


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    geometry: Geometry,
    scale: float,
    out: torch.Tensor,
    tail: Tail | None,
    precision: Precision,
) -> None:
    """One launch over tensors whose batch and heads share one stride.

    What it allocates may be freed on return: the caching allocator hands memory out again in stream order.
    """
    device = q.device.index
    progress = torch.zeros(2, dtype=torch.int32, device=q.device)
    problem = make_problem(out, sets, progress, geometry, scale, k.shape[1])
    defines: tuple[str, ...] = (f"HEAD_DIM={q.shape[3]}", f'ELEMENT="{ELEMENTS[q.dtype]}"')
    if precision == "fp8":
        if tail is not None:
            raise HopperError('the pooled tail needs precision "bf16"')
        prepared = quantise(q, k, v, geometry)
        _launch(load_kernel(device, "attention8.cu", "attention8", defines), prepared.operands, problem, device)
        return
    operands = Operands16(*token_maps(q, geometry), *token_maps(k, geometry), *token_maps(v, geometry))
    if tail is None:
        kernel = load_kernel(device, "attention16.cu", "attention16", (*defines, "TAIL=0"))
        _launch(kernel, operands, problem, device)
    else:
        kept = _add_tail(problem, operands, tail, geometry)
        kernel = load_kernel(device, "attention16.cu", "attention16", (*defines, "TAIL=1"))
        _launch(kernel, operands, problem, device)
        del kept


def _launch(kernel: Kernel, operands: ctypes.Structure, problem: Problem, device: int) -> None:
    tiles = problem.query_heads * (problem.n_video_blocks + problem.n_text_blocks)
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    kernel.launch(min(tiles, multiprocessors), _THREADS, (operands, problem))


def _add_tail(problem: Problem, operands: Operands16, tail: Tail, geometry: Geometry) -> torch.Tensor:
    """Fills in what the kernel needs for the pooled tail; returns a tensor that must outlive the launch."""
    tiles = -(-geometry.n_video_blocks // BLOCK)
    padding = (0, tiles * BLOCK - geometry.n_video_blocks)
    log_counts = torch.nn.functional.pad(tail.log_count, padding, value=-math.inf)
    operands.k_mean, operands.k_var, operands.v_mean = (
        pooled_map(tensor) for tensor in (tail.k_mean, tail.k_var, tail.v_mean)
    )
    problem.tail_tiles = tiles
    problem.log_counts = log_counts.data_ptr()
    return log_counts
