"""From which length and sparsity on the whole call is faster than dense attention.

    python tests/gpu/draft_crossover.py --out DIR

Grids of 32 x 32 tokens a frame, 24 heads of 128, bf16, with the tail; dense is PyTorch's own choice of kernel and
cuDNN's, whichever is faster.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from draft_bench import Shape, median_ms, output_folder, random_inputs, save
from draft_peers import cudnn_dense

from triptych.golden.draft_attention import draft_attention
from triptych.golden.draft_attention.terms.geometry import Geometry

FRAMES = (4, 8, 16, 32, 64, 128, 256)
SPARSITIES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97)


def main() -> None:
    folder = output_folder()
    rows: list[dict[str, Any]] = []
    for frames in FRAMES:
        shape = Shape("32 x 32", 24, Geometry((frames, 32, 32)))
        inputs = [random_inputs(shape, seed) for seed in (1, 2)]
        repeats = 3 if frames >= 128 else 9
        dense = min(
            median_ms([lambda x=x, run=run: run(*x) for x in inputs], repeats)
            for run in (cudnn_dense, torch.nn.functional.scaled_dot_product_attention)
        )
        for sparsity in SPARSITIES:
            for pool in ((8, 16), (8, 8)):
                call = partial(
                    draft_attention, grid=shape.geometry.grid, sparsity=sparsity, pool=pool, backend="hopper"
                )
                ms = median_ms([partial(call, *x) for x in inputs], repeats)
                row = {"tokens": shape.geometry.length, "sparsity": sparsity, "block": 8 * pool[1]}
                rows.append({**row, "dense_ms": dense, "ms": ms})
        print(
            shape.geometry.length,
            round(dense, 2),
            [(r["sparsity"], round(r["ms"], 2)) for r in rows[-16::2]],
            flush=True,
        )
        save(folder, "draft_crossover", rows)


if __name__ == "__main__":
    main()
