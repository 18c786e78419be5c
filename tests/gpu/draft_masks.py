"""One's own masks of 64 x 64 tokens: our kernels and fastvideo-kernel's VSA on the same mask, in one run.

    python tests/gpu/draft_masks.py --out DIR

Every kernel is checked against float64 on two block rows before it is timed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch
from draft_bench import SHAPES, Shape, median_ms, output_folder, save
from draft_peers import Packed, packed_error, packed_inputs, vsa_runners

from triptych.golden.draft_attention import block_sparse_attention
from triptych.golden.draft_attention.terms.block_sets import sets_from_mask

SPARSITY = 0.9
ALIKE = (0.0, 0.5)
"""What two neighbouring rows of the mask have in common in the draw."""


def runners(packed: Packed) -> list[tuple[str, Callable[[], torch.Tensor]]]:
    """Every kernel, `[heads, length, dim]`."""
    sets = sets_from_mask(packed.mask[None])

    def own(backend: str) -> torch.Tensor:
        return block_sparse_attention(packed.q, packed.k, packed.v, sets, block=64, backend=backend)[0]

    return [("hopper", lambda: own("hopper")), ("triton", lambda: own("triton")), *vsa_runners(packed)]


def rows_for(shape: Shape, alike: float) -> list[dict[str, Any]]:
    packed = packed_inputs(shape.heads, shape.geometry.length, shape.dim, 1 - SPARSITY, 5, None, 64, alike)
    neighbours = (packed.mask[:, 0:-1:2] & packed.mask[:, 1::2]).double().mean() / packed.mask.double().mean()
    flops = shape.dense_flops() * float(packed.mask.double().mean())
    base = {"shape": shape.name, "sparsity": SPARSITY, "shared": float(neighbours)}
    rows = []
    for kernel, run in runners(packed):
        try:
            error = packed_error(packed, run(), shape.scale)
            ms = median_ms([run], 9)
            rows.append({"kernel": kernel, **base, "error": error, "ms": ms, "tflops": flops / ms / 1e9})
        except Exception as error:  # a peer that does not run gets a line with its error
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
            rows.append({"kernel": kernel, **base, "refused": reason})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    folder = output_folder()
    rows: list[dict[str, Any]] = []
    for shape in SHAPES.values():
        for alike in ALIKE:
            rows += rows_for(shape, alike)
            save(folder, "draft_masks", rows)
            gc.collect()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
