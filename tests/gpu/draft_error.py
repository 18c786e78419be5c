"""Error against dense attention at equal sparsity: the paper's rule, rivals' rules, ours.

    python tests/gpu/draft_error.py --out DIR [--video FOLDER_OF_JPG]

Data: structured random fields, and q, k, v of a small transformer on a real video. Dense is computed in float64.
Every method runs under the same block kernel;
draft_results.py joins these errors with the kernel's times to compare at equal time.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from draft_bench import Shape, TensorTriple, output_folder, random_inputs, relative_error, save
from draft_fields import FIELDS, structured_inputs
from draft_rivals import sparge_mask, svg_mask
from draft_video import video_inputs

from triptych.golden.draft_attention import Backend, Geometry, dispatch, reference
from triptych.golden.draft_attention.block_sets import sets_from_mask
from triptych.golden.draft_attention.contract import Call
from triptych.golden.draft_attention.dispatch import attend, choose_backend
from triptych.golden.draft_attention.pooling import pooled_tail
from triptych.golden.draft_attention.selection import SelectionRule, draft_mask

SPARSITIES = (0.5, 0.75, 0.85, 0.9, 0.95)


def dense_float64(inputs: TensorTriple, shape: Shape) -> torch.Tensor:
    """Dense attention in float64, block row by block row."""
    n = shape.geometry.n_blocks
    everything = torch.ones(1, shape.heads, n, n, dtype=torch.bool, device="cuda")
    return reference.block_sparse_attention(*(x.double() for x in inputs), everything, shape.geometry, shape.scale)


def rows_for(name: str, inputs: TensorTriple, shape: Shape, backend: Backend) -> list[dict[str, Any]]:
    """Errors of every method at every sparsity."""
    geometry, scale = shape.geometry, shape.scale
    q, k, v = inputs
    exact = dense_float64(inputs, shape)
    out = torch.empty_like(q)
    rows = []

    def measure(method: str, sparsity: float, mask_or_rule: torch.Tensor | SelectionRule, tail_order: int) -> None:
        """One row: error and kept share."""
        tail = pooled_tail(k, v, geometry, tail_order) if tail_order else None
        mask = (
            draft_mask(q, k, geometry, mask_or_rule, scale) if isinstance(mask_or_rule, SelectionRule) else mask_or_rule
        )
        out.fill_(float("nan"))
        attend(backend, Call(q, k, v, sets_from_mask(mask), geometry, geometry, scale, out, tail))
        video = slice(0, geometry.n_video_blocks)
        rows.append(
            {
                "data": name,
                "method": method,
                "sparsity": sparsity,
                "kept": float(mask[:, :, video, video].double().mean()),
                "error": relative_error(out, exact),
            }
        )

    for sparsity in SPARSITIES:
        paper = SelectionRule(sparsity, faithful=True)
        ours = SelectionRule(sparsity)
        measure("paper's rule", sparsity, paper, 0)
        measure("paper's rule, second-order tail", sparsity, paper, 2)
        measure("ours without tail", sparsity, ours, 0)
        measure("ours, first-order tail", sparsity, ours, 1)
        measure("ours", sparsity, ours, 2)
        measure("SVG-style", sparsity, svg_mask(q, k, v, geometry, sparsity, scale), 0)
        measure("SpargeAttn-style", sparsity, sparge_mask(q, k, geometry, sparsity, scale), 0)
        if sparsity in (0.75, 0.9):
            mean_row = (1 - sparsity) * geometry.n_video_blocks
            for share in (0.0, 0.25, 0.5, 1.0):
                floor = int(share * mean_row)
                measure(f"ours, floor {share:.2f}", sparsity, SelectionRule(sparsity, row_floor=floor), 2)
            measure(
                "ours, mean+max draft",
                sparsity,
                SelectionRule(sparsity, statistic=dispatch.DraftStatistic.MEAN_AND_MAX),
                2,
            )
    return rows


def eight_bit_rows(name: str, inputs: TensorTriple, shape: Shape) -> list[dict[str, Any]]:
    """The 8-bit kernel against the 16-bit one on the same sets, without the tail: relative L2 of the whole output."""
    q, k, v = inputs
    outs = [torch.empty_like(q) for _ in range(2)]
    rows = []
    for sparsity in (0.75, 0.9):
        sets = sets_from_mask(draft_mask(q, k, shape.geometry, SelectionRule(sparsity), shape.scale))
        for out, eight_bit in zip(outs, (False, True), strict=True):
            out.fill_(float("nan"))
            attend(
                Backend.HOPPER,
                Call(q, k, v, sets, shape.geometry, shape.geometry, shape.scale, out, eight_bit=eight_bit),
            )
        rows.append({"data": name, "sparsity": sparsity, "error": relative_error(outs[1], outs[0])})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--video", type=Path)
    parser.add_argument("--backend", type=Backend)
    options = parser.parse_known_args()[0]
    folder = output_folder()
    backend = options.backend or choose_backend(torch.device("cuda"))
    shape = Shape("8 x 48 x 80", 8, Geometry((8, 48, 80)))
    rows: list[dict[str, Any]] = []
    eight_bit: list[dict[str, Any]] = []

    def measure(name: str, inputs: TensorTriple, shape: Shape) -> None:
        rows.extend(rows_for(name, inputs, shape, backend))
        if backend is Backend.HOPPER:
            eight_bit.extend(eight_bit_rows(name, inputs, shape))
        at_90 = {r["method"]: round(r["error"], 4) for r in rows if r["data"] == name and r["sparsity"] == 0.9}
        print(name, at_90, eight_bit[-1:], flush=True)

    for number, field in enumerate(FIELDS):
        inputs = structured_inputs(
            field, shape.geometry.grid, shape.heads, shape.dim, 100 + number, "cuda", torch.bfloat16
        )
        measure(field.name, inputs, shape)
    training: dict[str, float] = {}
    if options.video is not None:
        layers, grid, training = video_inputs(options.video, 8, 400, "cuda")
        video_shape = Shape("real video", 4, Geometry(grid), 64)
        for number, layer in enumerate(layers):
            measure(f"video, layer {number}", layer, video_shape)
        print(training)
    if backend is Backend.HOPPER:
        eight_bit.extend(eight_bit_rows("white noise", random_inputs(shape, 9), shape))
    save(folder, "draft_error", rows, training=training, backend=backend.value, eight_bit=eight_bit)


if __name__ == "__main__":
    main()
