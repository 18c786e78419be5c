"""Races in shared memory: one small call of draft attention, to be run under `compute-sanitizer --tool racecheck`.

    compute-sanitizer --tool racecheck python tests/gpu/draft_races.py planted|triton|hopper|eight

`planted` is a kernel with a race (a value is read that another thread writes, without a barrier): racecheck must name
it, else it would see nothing in the others either. The others check their result against the reference as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from triptych.golden.draft_attention.api import draft_attention

GRID, DIM, TEXT = (2, 24, 32), 64, 40
PLANTED = """
extern "C" __global__ void shifted(float* out) {
    __shared__ float held[128];
    held[threadIdx.x] = out[threadIdx.x];
    out[threadIdx.x] = held[(threadIdx.x + 33) % 128];
}
"""
BOUNDS = {"triton": 1e-2, "hopper": 1e-2, "eight": 1e-1}  # relative L2 against the reference


def planted() -> None:
    """The race."""
    import cupy

    kernel = cupy.RawKernel(PLANTED, "shifted")
    kernel((1,), (128,), (cupy.arange(128, dtype=cupy.float32),))
    cupy.cuda.Device().synchronize()


def call(name: str) -> float:
    """One call on random inputs; its relative error."""
    generator = torch.Generator("cuda")
    generator.manual_seed(7)
    length = GRID[0] * GRID[1] * GRID[2] + TEXT
    q, k, v = (
        torch.randn(1, heads, length, DIM, generator=generator, device="cuda", dtype=torch.float16)
        for heads in (2, 1, 1)
    )
    options = {"grid": GRID, "sparsity": 0.5, "pool": (8, 16)}
    out = draft_attention(q, k, v, backend="hopper" if name == "eight" else name, eight_bit=name == "eight", **options)
    right = draft_attention(q.float().cpu(), k.float().cpu(), v.float().cpu(), backend="reference", **options)
    return float((out.float().cpu() - right).norm() / right.norm())


def main() -> int:
    """Runs what the command line names; 1 when its result is wrong."""
    name = sys.argv[1]
    if name == "planted":
        planted()
        return 0
    error = call(name)
    print(f"{name}: relative error {error:.2e}, bound {BOUNDS[name]:.0e}")
    return int(not error < BOUNDS[name])


if __name__ == "__main__":
    raise SystemExit(main())
