"""Block-sparse attention on Hopper: one call, tiles read and written in place."""

from __future__ import annotations

import ctypes
from typing import Literal

import torch

from golden.draft_attention.geometry import Geometry
from golden.draft_attention.hopper.driver import Kernel, TensorMap, load_kernel
from golden.draft_attention.hopper.errors import HopperError
from golden.draft_attention.hopper.problem import (
    BLOCK,
    Problem,
    check_inputs,
    check_strides,
    folds,
    make_problem,
    pooled_map,
    token_maps,
)
from golden.draft_attention.tail import Tail

Precision = Literal["bf16", "fp8"]
_THREADS = 384
_ELEMENTS = {torch.float16: "f16", torch.bfloat16: "bf16"}


class Operands16(ctypes.Structure):
    """Mirrors `struct Operands` of kernels/attention16.cu."""

    _fields_ = tuple(
        (name, TensorMap)
        for name in (
            *("q_video", "q_text", "k_video", "k_text", "v_video", "v_text"),
            *("k_mean", "k_var", "v_mean"),
        )
    )


def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    blocks: torch.Tensor,
    counts: torch.Tensor,
    geometry: Geometry,
    scale: float,
    out: torch.Tensor | None = None,
    tail: Tail | None = None,
    precision: Precision = "bf16",
) -> torch.Tensor:
    """softmax(scale q k^T) v, each query block over the key blocks in its list (DraftAttention, section 3.3).

    `q`: `[batch, heads, length, dim]`; `k`, `v`: `[batch, kv_heads, length, dim]`, float16 or bfloat16, dim 64 or
    128, in token order, any strides with dim dense and 16-byte alignment. `blocks`: int32 `[batch, heads, n_blocks,
    n_blocks]`, of which the first `counts` (int32 `[batch, heads, n_blocks]`) of each row are read. A row
    without blocks yields zeros. `tail` adds one pooled token for every video block that is not listed. `precision`
    "bf16" multiplies in the tensors' own 16-bit type. `out` is written where given.
    Runs on the current stream without host synchronisation. Raises HopperError on what the kernels do not take.
    """
    check_inputs(q, k, v, blocks, counts, geometry, scale)
    if out is None:
        out = torch.empty_like(q)
    elif out.shape != q.shape or out.dtype != q.dtype or out.device != q.device:
        raise HopperError(f"out must be like q: {q.dtype} {tuple(q.shape)}; got {out.dtype} {tuple(out.shape)}")
    check_strides(q=q, k=k, v=v, out=out)
    with torch.cuda.device(q.device):
        if all(folds(tensor) for tensor in (q, k, v, out)):
            _attend16(q, k, v, blocks, counts, geometry, scale, out, tail)
        else:
            for b in range(q.shape[0]):
                row = slice(b, b + 1)
                part = tail and Tail(tail.k_mean[row], tail.v_mean[row], tail.k_var[row], tail.log_count)
                _attend16(
                    q[row], k[row], v[row], blocks[row], counts[row], geometry, scale, out[row], part
                )
    return out


def _attend16(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    blocks: torch.Tensor,
    counts: torch.Tensor,
    geometry: Geometry,
    scale: float,
    out: torch.Tensor,
    tail: Tail | None,
) -> None:
    device = q.device.index
    next_tile = torch.zeros(1, dtype=torch.int32, device=q.device)
    problem = make_problem(out, blocks, counts, next_tile, geometry, scale, k.shape[1])
    operands = Operands16(*token_maps(q, geometry), *token_maps(k, geometry), *token_maps(v, geometry))
    keep: list[torch.Tensor] = []
    if tail is not None:
        keep = _add_tail(problem, operands, tail, blocks, counts, geometry)
    defines = (f"HEAD_DIM={q.shape[3]}", f'ELEMENT="{_ELEMENTS[q.dtype]}"', f"TAIL={int(tail is not None)}")
    _launch(load_kernel(device, "attention16.cu", "attention16", defines), operands, problem, device)
    del keep  # the caching allocator reuses memory in stream order: safe once the launch is queued


def _launch(kernel: Kernel, operands: ctypes.Structure, problem: Problem, device: int) -> None:
    tiles = problem.query_heads * (problem.n_video_blocks + problem.n_text_blocks)
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    kernel.launch(min(tiles, multiprocessors), _THREADS, (operands, problem))


def _add_tail(
    problem: Problem,
    operands: Operands16,
    tail: Tail,
    blocks: torch.Tensor,
    counts: torch.Tensor,
    geometry: Geometry,
) -> list[torch.Tensor]:
    """Fills in what the kernel needs for the pooled tail; returns tensors that must outlive the launch."""
    n_video = geometry.n_video_blocks
    tiles = -(-n_video // BLOCK)
    words = tiles * (BLOCK // 32)
    rows = counts.numel()
    listed = torch.empty(rows, words, dtype=torch.int32, device=blocks.device)
    log_counts = torch.nn.functional.pad(tail.log_count, (0, tiles * BLOCK - n_video))
    kernel = load_kernel(blocks.device.index, "lists.cu", "listed_bits", (), 4 * words)
    kernel.launch(
        rows,
        128,
        (
            *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (blocks, counts, listed)),
            *(ctypes.c_int32(number) for number in (geometry.n_blocks, n_video, words)),
        ),
    )
    operands.k_mean, operands.k_var, operands.v_mean = (
        pooled_map(tensor) for tensor in (tail.k_mean, tail.k_var, tail.v_mean)
    )
    problem.tail_tiles = tiles
    problem.listed = listed.data_ptr()
    problem.log_counts = log_counts.data_ptr()
    return [listed, log_counts]
