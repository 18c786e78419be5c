"""What people try first, on a Hopper GPU: head dims, strides, own masks, torch.compile, no nvcc, dense steps.

Outputs are compared with float64 references; memory that a kernel fails to write is poisoned.

    python tests/gpu/draft_tried.py --out DIR
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import torch
from draft_bench import output_folder, save
from draft_peers import cudnn_dense

from triptych.golden.draft_attention import block_sparse_attention, draft_attention, select_blocks
from triptych.golden.draft_attention.hopper import build, compilers, driver

GRID, TEXT = (3, 20, 36), 70
LENGTH = math.prod(GRID) + TEXT
TOLERANCE = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}


def tensors(dim: int, dtype: torch.dtype = torch.bfloat16, heads: int = 4, kv: int = 2) -> list[torch.Tensor]:
    return [torch.randn(2, n, LENGTH, dim, device="cuda", dtype=dtype) for n in (heads, kv, kv)]


def error(out: torch.Tensor, exact: torch.Tensor) -> float:
    assert torch.isfinite(out).all()
    return float((out.double() - exact).norm() / exact.norm())


def poison() -> None:
    """Leave NaN in freed memory, where an output that is not written in full will find it."""
    for _ in range(4):
        torch.full((1 << 22,), float("nan"), device="cuda")


def against_float64(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> float:
    """Error of a call; the sets are those of the call itself, so that ties do not count."""
    selection = {name: options[name] for name in ("grid", "pool", "sparsity") if name in options}
    sets = select_blocks(q, k, v, **selection)
    exact = block_sparse_attention(q.double(), k.double(), v.double(), sets, tail=True, backend="reference")
    poison()
    backend = "hopper" if q.shape[3] <= 128 else "triton"  # named: so short a call would be dense
    return error(draft_attention(q, k, v, backend=backend, **options), exact)


def head_dims() -> list[dict[str, Any]]:
    rows = []
    for pool in ((8, 16), (4, 4, 4)):
        for dim in (8, 32, 64, 72, 80, 96, 128, 256):
            for dtype in TOLERANCE:
                found = against_float64(*tensors(dim, dtype), grid=GRID, pool=pool, sparsity=0.8)
                assert found < TOLERANCE[dtype], (dim, pool, dtype, found)
                rows.append({"tried": f"head dim {dim}, pool {pool}, {dtype}", "error": found})
    return rows


def strides() -> list[dict[str, Any]]:
    q, k, v = tensors(64)
    wide = torch.randn(2, 4, LENGTH, 65, device="cuda", dtype=q.dtype)
    flat = torch.randn(q.numel() + 1, device="cuda", dtype=q.dtype)
    turned = torch.randn(2, 4, 64, LENGTH, device="cuda", dtype=q.dtype)
    cases = {
        "rows 65 elements apart": (wide[..., :64], k, v),
        "base 2 bytes off": (flat[1:].view(q.shape), k, v),
        "k, v expanded over the batch": (q, k[:1].expand(2, -1, -1, -1), v[:1].expand(2, -1, -1, -1)),
        "last axis not dense": (turned.transpose(2, 3), k, v),
    }
    rows = []
    for name, inputs in cases.items():
        found = against_float64(*inputs, grid=GRID, sparsity=0.8)
        assert found < TOLERANCE[torch.bfloat16], (name, found)
        rows.append({"tried": name, "error": found})
    return rows


def own_masks() -> list[dict[str, Any]]:
    rows = []
    for block in (64, 128, (128, 64), (64, 128)):
        for sizes in (False, True):
            q_block, k_block = block if isinstance(block, tuple) else (block, block)
            q = torch.randn(2, 4, 1000, 128, device="cuda", dtype=torch.bfloat16)
            k, v = (torch.randn(2, 2, 1700, 128, device="cuda", dtype=q.dtype) for _ in range(2))
            n_q, n_k = -(-1000 // q_block), -(-1700 // k_block)
            mask = torch.rand(2, 4, n_q, n_k, device="cuda") < 0.4
            mask[0, 1, 2] = False
            given = None
            if sizes:
                given = tuple(
                    torch.randint(0, b + 1, (2, n), device="cuda") for b, n in ((q_block, n_q), (k_block, n_k))
                )
            options = {"block": block, "block_sizes": given, "return_lse": True}
            exact, exact_lse = block_sparse_attention(
                q.double(), k.double(), v.double(), mask, backend="reference", **options
            )
            poison()
            out, lse = block_sparse_attention(q, k, v, mask, **options)
            plain = block_sparse_attention(q, k, v, mask, block=block, block_sizes=given)
            found = max(error(out, exact), error(plain, exact))
            seen = exact_lse > -math.inf
            assert found < TOLERANCE[torch.bfloat16], (block, sizes, found)
            assert torch.equal(lse > -math.inf, seen)
            assert (out[~seen] == 0).all()
            assert (plain[~seen] == 0).all()
            assert (lse[seen] - exact_lse[seen]).abs().max() < 2e-2
            rows.append({"tried": f"own mask, blocks {block}{', variable' if sizes else ''}", "error": found})
    return rows


def milliseconds(call: Callable[[], Any], repeats: int = 7) -> float:
    call()
    call()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[repeats // 2]


def compiled() -> list[dict[str, Any]]:
    """A whole layer's attention in a graph: equal to eager, and no slower."""
    grid = (17, 48, 80)
    q, k, v = (torch.randn(1, 12, math.prod(grid), 128, device="cuda", dtype=torch.bfloat16) for _ in range(3))

    def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return draft_attention(q, k, v, grid=grid, sparsity=0.9)

    rows = []
    expected = call(q, k, v)
    assert torch.equal(call(q, k, v), expected)
    for mode in (None, "max-autotune"):
        graph = torch.compile(call, fullgraph=True, mode=mode)
        assert torch.equal(graph(q, k, v), expected), mode
        times = {"eager": milliseconds(partial(call, q, k, v)), "compiled": milliseconds(partial(graph, q, k, v))}
        rows.append({"tried": f"torch.compile, fullgraph, mode {mode}", **times})
    return rows


def without_nvcc() -> list[dict[str, Any]]:
    """The same call on kernels that NVRTC builds."""
    q, k, v = tensors(128)
    expected = draft_attention(q, k, v, grid=GRID, sparsity=0.8, backend="hopper")
    caches = (compilers.compiler, build._fingerprint, driver.load_kernel)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(compilers, "_nvcc", return_value=None),
        mock.patch.dict(os.environ, {"TRIPTYCH_CACHE": folder}),
    ):
        for cached in caches:
            cached.cache_clear()
        version = compilers.compiler().version
        same = torch.equal(draft_attention(q, k, v, grid=GRID, sparsity=0.8, backend="hopper"), expected)
        found = against_float64(q, k, v, grid=GRID, sparsity=0.8)
    for cached in caches:
        cached.cache_clear()
    assert found < TOLERANCE[torch.bfloat16]
    return [{"tried": f"no nvcc: {version}", "error": found, "same bits as nvcc": same}]


def dense_steps() -> list[dict[str, Any]]:
    """Our dense kernel beside cuDNN, by length."""
    rows = []
    for length in (4096, 8192, 16384, 32768, 65536, 75600, 126976):
        q, k, v = (torch.randn(1, 12, length, 128, device="cuda", dtype=torch.bfloat16) for _ in range(3))
        ours = milliseconds(partial(draft_attention, q, k, v, grid=(1, 1, length), sparsity=0.0, backend="hopper"), 5)
        rows.append(
            {"tried": f"dense, {length} tokens", "ours": ours, "cuDNN": milliseconds(partial(cudnn_dense, q, k, v), 5)}
        )
    return rows


def main() -> None:
    folder = output_folder()
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    for part in (head_dims, strides, own_masks, without_nvcc, dense_steps, compiled):
        for row in part():
            print(row, flush=True)
            rows.append(row)
        save(folder, "draft_tried", rows)


if __name__ == "__main__":
    main()
