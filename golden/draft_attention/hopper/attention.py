"""Block-sparse attention on Hopper: one call, tiles read and written in place."""

from __future__ import annotations

import ctypes
import functools
import math
from dataclasses import replace
from typing import Literal, get_args

import torch

from triptych.golden.draft_attention.hopper.driver import Kernel, TensorMap, load_kernel
from triptych.golden.draft_attention.hopper.eight_bit import quantise
from triptych.golden.draft_attention.hopper.errors import HopperError
from triptych.golden.draft_attention.hopper.problem import (
    BLOCK,
    ELEMENTS,
    Blocking,
    Problem,
    check_inputs,
    check_strides,
    folds,
    make_problem,
    pooled_map,
    ragged_bits,
    ragged_runs,
    run_map,
    tile_order,
    token_maps,
    unfit_blocks,
    unfit_dim,
)
from triptych.golden.draft_attention.terms.block_sets import BlockSets
from triptych.golden.draft_attention.terms.contract import Call, Request
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.layout import Layout, Runs
from triptych.golden.draft_attention.terms.tail import Tail, padded_dim

Precision = Literal["bf16", "fp8"]
_THREADS = 384


class Operands16(ctypes.Structure):
    """Mirrors `struct Operands` of kernels/attention16.cu."""

    _fields_ = tuple(
        (name, TensorMap)
        for name in (
            *("q_video", "q_text", "k_video", "k_text", "v_video", "v_text"),
            *("k_mean", "v_mean", "k_runs", "v_runs"),
        )
    )


def refusal(request: Request) -> str | None:
    """Why these kernels cannot serve a request (contract.py); None when they do."""
    if (reason := unfit_dim(request.dim, request.eight_bit)) is not None:
        return reason
    if request.with_lse:
        return "the Hopper kernels return no log-sum-exp"
    blocking = _blocking(request.query_layout, request.key_layout)
    if blocking is None:
        return "the Hopper kernels take blocks without padding"
    return unfit_blocks(blocking, request.eight_bit)


def attend(call: Call) -> None:
    """Serves a call that `refusal` did not refuse."""
    blocking = _blocking(call.query_layout, call.key_layout)
    assert blocking is not None
    block_sparse_attention(
        call.q, call.k, call.v, call.sets, blocking.queries, call.scale, call.out, call.tail,
        "fp8" if call.eight_bit else "bf16", blocking.keys,
    )  # fmt: skip


def _blocking(query_layout: Layout, key_layout: Layout) -> Blocking | None:
    """Both sides as geometries: runs of full blocks are text without a video. None where a block has padding."""
    sides = []
    for layout in (query_layout, key_layout):
        if isinstance(layout, Runs) and layout.sizes is None:
            sides.append(Geometry((1, 1, layout.length), (1, 1, layout.block)))
        elif isinstance(layout, Geometry):
            sides.append(layout)
        else:
            return None
    return Blocking(*sides)


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
    key_geometry: Geometry | None = None,
) -> torch.Tensor:
    """softmax(scale q k^T) v, each query block over the key blocks in its set (DraftAttention, section 3.3).

    `q`: `[batch, heads, length, dim]`; `k`, `v`: `[batch, kv_heads, length, dim]`, float16 or bfloat16, dim a
    multiple of 8 up to 128, in token order, any strides with dim dense and 16-byte alignment; the copy engine fills a
    tile up to 64 or 128 channels with zeros. A row without blocks yields zeros. `tail`
    adds one pooled token for every video block that is not in the set. `precision` "bf16" multiplies in the tensors'
    own 16-bit type, "fp8" in 8 bits (eight_bit.py; dim 64 or 128). `out` is written where given.
    Blocks hold 128 tokens or 64. `key_geometry`: how the keys lie in blocks where that differs from the queries (other
    length, or blocks of 64 under query blocks of 128).
    Results are the same from run to run on one kind of GPU: the order in which a row's blocks are added up follows from
    the row's number and the number of multiprocessors.
    Runs on the current stream without host synchronisation. Raises HopperError on what the kernels do not take.
    """
    blocking = Blocking(geometry, key_geometry or geometry)
    check_inputs(q, k, v, sets, blocking, scale)
    if (reason := unfit_dim(q.shape[3], precision == "fp8")) is not None:
        raise HopperError(reason)
    if precision not in get_args(Precision):
        raise HopperError(f"precision must be one of {get_args(Precision)}; got {precision!r}")
    if out is None:
        out = torch.empty_like(q)
    elif out.shape != q.shape or out.dtype != q.dtype or out.device != q.device:
        raise HopperError(f"out must be like q: {q.dtype} {tuple(q.shape)}; got {out.dtype} {tuple(out.shape)}")
    check_strides(q=q, k=k, v=v, out=out)
    with torch.cuda.device(q.device):
        if all(folds(tensor) for tensor in (q, k, v, out)):
            _attend(q, k, v, sets, blocking, scale, out, tail, precision)
        else:
            for b in range(q.shape[0]):
                row = slice(b, b + 1)
                part = tail and tail.of(row)
                of_row = replace(sets, bits=sets.bits[row], counts=sets.counts[row])
                _attend(q[row], k[row], v[row], of_row, blocking, scale, out[row], part, precision)
    return out


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    blocking: Blocking,
    scale: float,
    out: torch.Tensor,
    tail: Tail | None,
    precision: Precision,
) -> None:
    """One launch over tensors whose batch and heads share one stride.

    What it allocates may be freed on return: the caching allocator hands memory out again in stream order.
    """
    device = q.device.index
    progress = torch.empty(1, dtype=torch.int32, device=q.device)
    problem = make_problem(out, sets, progress, blocking, scale, k.shape[1])
    order = tile_order(sets, blocking, progress)
    problem.order = order.data_ptr()
    query_block, key_block = blocking.sizes
    defines: tuple[str, ...] = (
        f"HEAD_DIM={padded_dim(q.shape[3])}", f'ELEMENT="{ELEMENTS[q.dtype]}"',
        f"QUERY_BLOCK={query_block}", f"KEY_BLOCK={key_block}",
        f"SHARED_ROWS={int(sets.paired or query_block == BLOCK)}",
    )  # fmt: skip
    defines = (*defines, f"TAIL={int(tail is not None)}")
    kept = () if tail is None else _add_tail(problem, tail, blocking.keys)
    if precision == "fp8":
        prepared = quantise(q, k, v, blocking.keys, tail)
        _launch(load_kernel(device, "attention8.cu", "attention8", defines), prepared.operands, problem, device)
    else:
        operands = Operands16(
            *token_maps(q, blocking.queries), *token_maps(k, blocking.keys), *token_maps(v, blocking.keys)
        )
        if runs := ragged_runs(blocking.keys) if query_block == BLOCK else 0:
            defines = (*defines, f"RUNS={runs}")
            ragged = ragged_bits(blocking.keys, q.device)
            problem.ragged = ragged.data_ptr()
            operands.k_runs, operands.v_runs = (run_map(tensor, blocking.keys) for tensor in (k, v))
        if tail is not None:
            operands.k_mean, operands.v_mean = (pooled_map(tensor) for tensor in (tail.k_mean, tail.v_mean))
        _launch(load_kernel(device, "attention16.cu", "attention16", defines), operands, problem, device)
    del kept, order


def _launch(kernel: Kernel, operands: ctypes.Structure, problem: Problem, device: int) -> None:
    tiles = problem.query_heads * (problem.queries.n_video + problem.queries.n_text)
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    kernel.launch(min(tiles, multiprocessors), _THREADS, (operands, problem))


@functools.lru_cache(maxsize=64)
def _shares(geometry: Geometry, device: torch.device) -> torch.Tensor:
    """float16 `[128 * tiles, 2]`: log2 of a block's share of full blocks' tokens, -infinity beyond the blocks; and 0.

    Kept, so that repeated calls copy nothing from the host.
    """
    n = geometry.n_video_blocks
    shares = torch.zeros(-(-n // BLOCK) * BLOCK, 2)
    shares[:, 0] = -math.inf
    shares[:n, 0] = (geometry.block_counts[:n] / geometry.block_size).log2()
    return shares.to(device=device, dtype=torch.float16)


def _add_tail(problem: Problem, tail: Tail, geometry: Geometry) -> tuple[torch.Tensor, ...]:
    """Fills in what the kernel needs for the pooled tail; returns tensors that must outlive the launch."""
    spread = tail.k_spread.flatten(0, 1)
    shares = _shares(geometry, spread.device)
    pooled = shares.repeat(len(spread), 1, 1)
    pooled[:, : geometry.n_video_blocks, 1] = spread
    problem.tail_tiles = len(shares) // BLOCK
    problem.pooled = pooled.data_ptr()
    problem.profile = tail.k_profile.data_ptr()
    return pooled, tail.k_profile
