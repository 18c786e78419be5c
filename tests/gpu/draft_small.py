"""A small case of every kernel, for the sanitizer: ragged edges, text, grouped heads, tail, 8 bits.

    compute-sanitizer --tool memcheck --error-exitcode 9 python tests/gpu/draft_small.py

Exits non-zero too when a result is off, so that a clean report is of kernels that did their work.
"""

from __future__ import annotations

import sys

import torch
from draft_bench import relative_error

from triptych.golden.draft_attention import draft_attention

BOUND, EIGHT_BIT_BOUND = 5e-3, 6e-2


def main() -> None:
    grid, text = (2, 13, 37), 70
    generator = torch.Generator("cuda").manual_seed(3)
    for dim in (64, 128):
        size = (2, grid[0] * grid[1] * grid[2] + text, 4, dim)
        q = torch.randn(size, generator=generator, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
        k, v = (
            torch.randn(size, generator=generator, device="cuda", dtype=torch.bfloat16)[:, :, :2].transpose(1, 2)
            for _ in range(2)
        )
        for tail in (False, True):
            options = {"grid": grid, "sparsity": 0.4, "text": "before", "tail": tail}
            exact = draft_attention(q.double(), k.double(), v.double(), backend="reference", **options)
            calls = [("triton", False), ("hopper", False)] + ([] if tail else [("hopper", True)])
            for backend, eight_bit in calls:
                error = relative_error(draft_attention(q, k, v, backend=backend, eight_bit=eight_bit, **options), exact)
                print(f"dim {dim} {backend}{' 8 bit' if eight_bit else ''}{' tail' if tail else ''}: {error:.1e}")
                if error > (EIGHT_BIT_BOUND if eight_bit else BOUND):
                    sys.exit("off")


if __name__ == "__main__":
    main()
