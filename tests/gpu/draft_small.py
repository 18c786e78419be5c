"""A small case of every kernel, for the sanitizer: ragged edges, text, grouped heads, tail, 8 bits.

    compute-sanitizer --tool memcheck --error-exitcode 9 python tests/gpu/draft_small.py
    ... draft_small.py --plant race      # with a bug of draft_planted.py, which the tool must find

Exits non-zero too when a result is off, so that a clean report is of kernels that did their work.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext

import torch
from draft_bench import relative_error
from draft_planted import SANITIZED, planted

from triptych.golden.draft_attention import Backend, block_sparse_attention, reference
from triptych.golden.draft_attention.dispatch import attend, select
from triptych.golden.draft_attention.selection import Criterion, SelectionRule
from triptych.golden.draft_attention.terms.contract import Call
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import Tail

BOUND, EIGHT_BIT_BOUND = 5e-3, 6e-2


def judge(name: str, out: torch.Tensor, exact: torch.Tensor, bound: float = BOUND) -> None:
    error = relative_error(out, exact)
    print(f"{name}: {error:.1e}", flush=True)
    if error > bound:
        sys.exit("off")


def video_kernels(dim: int, generator: torch.Generator) -> None:
    """Selection, pooling, trust, attention of both backends, both block sizes, with and without the tail."""
    grid, text = (2, 13, 37), 70
    size = (2, grid[0] * grid[1] * grid[2] + text, 4, dim)
    q = torch.randn(size, generator=generator, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
    k, v = (
        torch.randn(size, generator=generator, device="cuda", dtype=torch.bfloat16)[:, :, :2].transpose(1, 2)
        for _ in range(2)
    )
    for pool in ((8, 16), (8, 8)):
        geometry = Geometry(grid, pool, text, text_first=True)
        for with_tail in (False, True):
            rule = SelectionRule(0.4, criterion=Criterion.TAIL_ERROR if with_tail else Criterion.MASS)
            sets, tail = select(q, k, v, geometry, rule, dim**-0.5, with_tail)
            wide = None
            if tail is not None:
                parts = (tail.k_mean, tail.v_mean, tail.k_spread, tail.k_profile)
                wide = Tail(*(x.double() for x in parts), tail.log_count)
            exact = reference.block_sparse_attention(
                q.double(), k.double(), v.double(), sets.mask(), geometry, dim**-0.5, wide
            )
            for backend, eight_bit in ((Backend.TRITON, False), (Backend.HOPPER, False), (Backend.HOPPER, True)):
                if eight_bit and geometry.block_size != 128:
                    continue
                out = torch.full_like(q, float("nan"))
                attend(backend, Call(q, k, v, sets, geometry, geometry, dim**-0.5, out, tail, None, eight_bit))
                name = f"dim {dim} {backend.value} {geometry.block_size}{' tail' if with_tail else ''}"
                judge(name + (" 8 bit" if eight_bit else ""), out, exact, EIGHT_BIT_BOUND if eight_bit else BOUND)


def own_masks(dim: int, generator: torch.Generator) -> None:
    """Blocks of consecutive tokens, other lengths of keys, both rectangular sizes."""
    q = torch.randn(1, 2, 500, dim, generator=generator, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(1, 2, 700, dim, generator=generator, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for block in ((64, 64), (128, 64), (128, 128)):
        shape = (1, 2, -(-500 // block[0]), -(-700 // block[1]))
        mask = torch.rand(shape, generator=generator, device="cuda") < 0.5
        mask[0, 0, 0] = False
        wide = (x.double() for x in (q, k, v))
        exact = block_sparse_attention(*wide, mask, block=block, backend="reference")
        for backend in ("triton", "hopper"):
            out = block_sparse_attention(q, k, v, mask, block=block, backend=backend)
            judge(f"dim {dim} {backend} own {block[0]} x {block[1]}", out, exact)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plant", choices=SANITIZED)
    parser.add_argument("--dims", default="64,128")
    options = parser.parse_args()
    plant = options.plant
    generator = torch.Generator("cuda").manual_seed(3)
    with planted(SANITIZED[plant]) if plant else nullcontext():
        for dim in map(int, options.dims.split(",")):
            video_kernels(dim, generator)
            own_masks(dim, generator)
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
