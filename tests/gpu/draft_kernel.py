"""Attention kernels over sparsity, ours and the peers', in one run.

    python tests/gpu/draft_kernel.py --out DIR [--shapes hunyuan,wan] [--no-flashinfer]

Every kernel of ours is checked against float64 on fresh inputs with a poisoned output before it is timed. "whole call"
is what a user waits for: pool, draft, lists, tail's statistics and attention.
"""

from __future__ import annotations

import argparse
import gc
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from draft_bench import (
    SHAPES,
    Shape,
    TensorTriple,
    float64_error,
    mask_of,
    median_ms,
    output_folder,
    poison,
    random_inputs,
    relative_error,
    save,
)
from draft_peers import FlashInferRunner, cudnn_dense, flex_runner, packed_inputs

from triptych.golden.draft_attention import Backend
from triptych.golden.draft_attention.contract import Call
from triptych.golden.draft_attention.dispatch import attend, select
from triptych.golden.draft_attention.selection import SelectionRule

SPARSITIES = (0.0, 0.5, 0.75, 0.9, 0.95)
BOUND = 5e-3  # relative L2 of bf16 kernels against float64 on white noise
EIGHT_BIT_BOUND = 6e-2


def ours(
    shape: Shape,
    backend: Backend,
    sparsity: float,
    with_tail: bool,
    inputs: list[TensorTriple],
    eight_bit: bool = False,
) -> dict[str, Any]:
    """Check, then time attention alone and the whole call."""
    rule = SelectionRule(sparsity)
    geometry = shape.geometry
    chosen = [select(*triple, geometry, rule, shape.scale, with_tail) for triple in inputs]
    out = torch.empty_like(inputs[0][0])

    def kernel(i: int) -> None:
        sets, tail = chosen[i]
        attend(backend, Call(*inputs[i], sets, geometry, geometry, shape.scale, out, tail, None, eight_bit))

    def whole(i: int) -> None:
        sets, tail = select(*inputs[i], geometry, rule, shape.scale, with_tail)
        attend(backend, Call(*inputs[i], sets, geometry, geometry, shape.scale, out, tail, None, eight_bit))

    bound = EIGHT_BIT_BOUND if eight_bit else BOUND
    error = 0.0
    for i, triple in enumerate(inputs):
        poison(out)
        kernel(i)
        if not bool(torch.isfinite(out).all()):
            raise AssertionError(f"{backend.value} left elements unwritten at {sparsity}")
        sets, tail = chosen[i]
        heads = (i % shape.heads, shape.heads - 1)
        error = max(error, float64_error(out, triple, mask_of(sets), shape, tail, heads))
    if error > bound:
        raise AssertionError(f"{backend.value} is off by {error:.2e} at {sparsity}, tail {with_tail}")
    repeats = 5 if sparsity < 0.75 else 9
    return {
        "kernel": backend.value,
        "precision": "8 bit" if eight_bit else "16 bit",
        "sparsity": sparsity,
        "tail": with_tail,
        "kept": float(chosen[0][0].counts.double().mean() / geometry.n_blocks),
        "error": error,
        "attention_ms": median_ms([partial(kernel, i) for i in range(len(inputs))], repeats),
        "ms": median_ms([partial(whole, i) for i in range(len(inputs))], repeats),
    }


def dense_row(shape: Shape, sets: list[TensorTriple]) -> dict[str, Any]:
    everything = torch.ones(1, shape.heads, shape.geometry.n_blocks, shape.geometry.n_blocks, dtype=torch.bool)
    out = cudnn_dense(*sets[0])
    error = float64_error(out, sets[0], everything.cuda(), shape, None, (0,))
    ms = median_ms([lambda s=s: cudnn_dense(*s) for s in sets], 5)
    return {"kernel": "cuDNN", "precision": "16 bit", "sparsity": 0.0, "tail": False, "error": error, "ms": ms}


def peer_rows(shape: Shape, sparsity: float, flashinfer: FlashInferRunner | None) -> list[dict[str, Any]]:
    """FlashInfer, or FlexAttention when None, on packed blocks, checked on two block rows against float64."""
    length = shape.geometry.length
    packed = packed_inputs(shape.heads, length, shape.dim, 1 - sparsity, 5, None)
    rows: list[dict[str, Any]] = []

    def check(out: torch.Tensor) -> float:
        worst = 0.0
        for head, block in ((0, 0), (shape.heads - 1, packed.mask.shape[-1] - 1)):
            q, k, v = (x[0, head].double() for x in (packed.q, packed.k, packed.v))
            seen = packed.mask[head, block].repeat_interleave(128)
            here = slice(block * 128, block * 128 + 128)
            exact = torch.softmax(q[here] @ k[seen].T * shape.scale, -1) @ v[seen]
            worst = max(worst, relative_error(out[head, here], exact))
        if worst > BOUND:
            raise AssertionError(f"a peer is off by {worst:.2e}: it is not set up for the same work")
        return worst

    base = {"precision": "16 bit", "sparsity": sparsity, "tail": False, "kept": float(packed.mask.double().mean())}
    if flashinfer is None:
        run = flex_runner(packed)
        rows.append({"kernel": "FlexAttention", **base, "error": check(run()[0]), "ms": median_ms([run], 4, 1)})
    else:
        plan_ms = median_ms([lambda: flashinfer.plan(packed)], 3, 1)
        error = check(flashinfer.run(packed).view(shape.heads, -1, shape.dim))
        ms = median_ms([lambda: flashinfer.run(packed)], 5, 1)
        rows.append({"kernel": "FlashInfer fa3", **base, "error": error, "ms": ms, "plan_ms": plan_ms})
    return rows


def flashinfer_rows(shape: Shape, sparsity: float) -> list[dict[str, Any]]:
    """FlashInfer with buffers that live for this row alone."""
    runner = FlashInferRunner(shape.heads, math.ceil(shape.geometry.length / 128), shape.dim)
    return peer_rows(shape, sparsity, runner)


class Ledger:
    """Rows of a run, saved as they come. A kernel that fails costs its own rows, not the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def attempt(self, shape: Shape, name: str, work: Callable[[], list[dict[str, Any]]]) -> None:
        try:
            new = work()
        except Exception as error:  # recorded, and the run ends with an error status
            self.failures.append(f"{shape.name}, {name}: {type(error).__name__}: {str(error)[:300]}")
            print(self.failures[-1], flush=True)
            new = []
        for row in new:
            self.rows.append({"shape": shape.name, **row})
            print({k: round(v, 5) if isinstance(v, float) else v for k, v in self.rows[-1].items()}, flush=True)
        save(self.folder, "draft_kernel", self.rows, failures=self.failures)
        gc.collect()
        torch.cuda.empty_cache()


def our_rows(ledger: Ledger, shape: Shape, backends: list[Backend]) -> None:
    """cuDNN's dense attention and our kernels on the same inputs."""
    sets = [random_inputs(shape, seed) for seed in (21, 22)]
    ledger.attempt(shape, "cuDNN", lambda: [dense_row(shape, sets)])
    for backend in backends:
        for sparsity in SPARSITIES if backend is Backend.HOPPER else (0.9,):
            for tail in (False, True) if sparsity in (0.75, 0.9, 0.95) else (False,):
                work = partial(ours, shape, backend, sparsity, tail, sets)
                ledger.attempt(shape, f"{backend.value} {sparsity}", lambda work=work: [work()])
    if Backend.HOPPER in backends:
        for sparsity in (0.75, 0.9):
            work = partial(ours, shape, Backend.HOPPER, sparsity, False, sets, True)
            ledger.attempt(shape, f"8 bit {sparsity}", lambda work=work: [work()])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="hunyuan,wan")
    parser.add_argument("--no-flashinfer", action="store_true")
    parser.add_argument("--backends", default="hopper,triton")
    options = parser.parse_known_args()[0]
    ledger = Ledger(output_folder())
    shapes = [SHAPES[name] for name in options.shapes.split(",")]
    for shape in shapes:
        our_rows(ledger, shape, [Backend(b) for b in options.backends.split(",")])
        for sparsity in (0.9, 0.75, 0.5):
            ledger.attempt(shape, f"FlexAttention {sparsity}", partial(peer_rows, shape, sparsity, None))
    for shape in [] if options.no_flashinfer else shapes:
        for sparsity in (0.9, 0.75):
            ledger.attempt(shape, f"FlashInfer {sparsity}", partial(flashinfer_rows, shape, sparsity))
    if ledger.failures:
        raise SystemExit("failed: " + "; ".join(ledger.failures))


if __name__ == "__main__":
    main()
