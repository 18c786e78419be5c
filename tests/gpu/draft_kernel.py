"""Attention kernels over sparsity, ours and the peers', in one run.

    python tests/gpu/draft_kernel.py --out DIR [--shapes hunyuan,wan] [--peers flex,flashinfer]

Every kernel of ours is checked against float64 on fresh inputs with a poisoned output before it is timed. "whole call"
is what a user waits for: pool, draft, lists, tail's statistics and attention.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from draft_bench import (
    SHAPES,
    Shape,
    TensorTriple,
    back_to_back_ms,
    float64_error,
    mask_of,
    median_ms,
    output_folder,
    poison,
    random_inputs,
    relative_error,
    save,
)
from draft_peers import FlashInferRunner, cudnn_dense, flex_runner, packed_error, packed_inputs

from triptych.golden.draft_attention import Backend, draft_attention
from triptych.golden.draft_attention.dispatch import attend, select
from triptych.golden.draft_attention.selection import Criterion, SelectionRule
from triptych.golden.draft_attention.terms.contract import Call
from triptych.golden.draft_attention.terms.geometry import Geometry

SPARSITIES = (0.0, 0.5, 0.75, 0.9, 0.95)
BOUND = 5e-3  # relative L2 of bf16 kernels against float64 on white noise
EIGHT_BIT_BOUND = 6.5e-2


@dataclass(frozen=True)
class Variant:
    """One of our ways to compute a call."""

    backend: Backend
    sparsity: float
    tail: bool
    pool: tuple[int, int] = (8, 16)
    eight_bit: bool = False

    @property
    def rule(self) -> SelectionRule:
        return SelectionRule(self.sparsity, criterion=Criterion.TAIL_ERROR if self.tail else Criterion.MASS)


def ours(shape: Shape, variant: Variant, inputs: list[TensorTriple]) -> dict[str, Any]:
    """Check, then time attention alone and the whole call."""
    base = shape.geometry
    geometry = Geometry(base.grid, variant.pool, base.text_length, base.text_first)
    placed = replace(shape, geometry=geometry)
    chosen = [select(*triple, geometry, variant.rule, shape.scale, variant.tail) for triple in inputs]
    out = torch.empty_like(inputs[0][0])

    def kernel(i: int) -> None:
        sets, tail = chosen[i]
        call = Call(*inputs[i], sets, geometry, geometry, shape.scale, out, tail, None, variant.eight_bit)
        attend(variant.backend, call)

    def whole(i: int) -> None:
        draft_attention(
            *inputs[i], grid=base.grid, pool=variant.pool, sparsity=variant.sparsity, tail=variant.tail,
            eight_bit=variant.eight_bit, backend=variant.backend,
        )  # fmt: skip

    bound = EIGHT_BIT_BOUND if variant.eight_bit else BOUND
    error = 0.0
    for i, triple in enumerate(inputs):
        poison(out)
        kernel(i)
        if not bool(torch.isfinite(out).all()):
            raise AssertionError(f"{variant} left elements unwritten")
        sets, tail = chosen[i]
        heads = (i % shape.heads, shape.heads - 1)
        error = max(error, float64_error(out, triple, mask_of(sets), placed, tail, heads))
    if error > bound:
        raise AssertionError(f"{variant} is off by {error:.2e}")
    repeats = 5 if variant.sparsity < 0.75 else 11
    times = {
        name: median_ms([partial(run, i) for i in range(len(inputs))], repeats)
        for name, run in (("attention_ms", kernel), ("ms", whole))
    }
    times["back_to_back_ms"] = back_to_back_ms([partial(whole, i) for i in range(len(inputs))])
    return {
        "kernel": variant.backend.value,
        "precision": "8 bit" if variant.eight_bit else "16 bit",
        "sparsity": variant.sparsity,
        "tail": variant.tail,
        "block": geometry.block_size,
        "kept": float(chosen[0][0].counts.double().mean() / geometry.n_blocks),
        "error": error,
        **times,
    }


def compiled_row(shape: Shape, inputs: list[TensorTriple]) -> dict[str, Any]:
    """The call with the tail under torch.compile without a graph break, beside eager in the same turn."""

    def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return draft_attention(q, k, v, grid=shape.geometry.grid, sparsity=0.9) + 0.0

    compiled = torch.compile(call, fullgraph=True)
    same = relative_error(compiled(*inputs[0]), call(*inputs[0]))
    if same > BOUND:
        raise AssertionError(f"compiled and eager are {same:.2e} apart")
    runs = {name: [partial(f, *x) for x in inputs] for name, f in (("eager_ms", call), ("ms", compiled))}
    turns = [{name: back_to_back_ms(run) for name, run in runs.items()} for _ in range(3)]
    times = {name: statistics.median(turn[name] for turn in turns) for name in runs}
    base = {"kernel": "torch.compile", "precision": "16 bit", "sparsity": 0.9, "tail": True}
    return {**base, **times}


def dense_row(shape: Shape, sets: list[TensorTriple]) -> dict[str, Any]:
    everything = torch.ones(1, shape.heads, shape.geometry.n_blocks, shape.geometry.n_blocks, dtype=torch.bool)
    out = cudnn_dense(*sets[0])
    error = float64_error(out, sets[0], everything.cuda(), shape, None, (0,))
    runs = [partial(cudnn_dense, *triple) for triple in sets]
    times = {"ms": median_ms(runs, 5), "back_to_back_ms": back_to_back_ms(runs, 1.5)}
    return {"kernel": "cuDNN", "precision": "16 bit", "sparsity": 0.0, "tail": False, "error": error, **times}


def peer_rows(shape: Shape, sparsity: float, flashinfer: FlashInferRunner | None) -> list[dict[str, Any]]:
    """FlashInfer, or FlexAttention when None, on packed blocks, checked on two block rows against float64."""
    length = shape.geometry.length
    packed = packed_inputs(shape.heads, length, shape.dim, 1 - sparsity, 5, None)
    rows: list[dict[str, Any]] = []
    base = {"precision": "16 bit", "sparsity": sparsity, "tail": False, "kept": float(packed.mask.double().mean())}
    if flashinfer is None:
        run = flex_runner(packed)
        rows.append(
            {
                "kernel": "FlexAttention",
                **base,
                "error": packed_error(packed, run()[0], shape.scale),
                "ms": median_ms([run], 4, 1),
            }
        )
    else:
        plan_ms = median_ms([lambda: flashinfer.plan(packed)], 3, 1)
        error = packed_error(packed, flashinfer.run(packed).view(shape.heads, -1, shape.dim), shape.scale)
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


def variants(backend: Backend) -> list[Variant]:
    """What is timed of ours."""
    if backend is Backend.TRITON:
        return [Variant(backend, 0.9, tail) for tail in (False, True)]
    plain = [Variant(backend, sparsity, False) for sparsity in SPARSITIES]
    tails = [Variant(backend, sparsity, True, pool) for pool in ((8, 16), (8, 8)) for sparsity in SPARSITIES[2:]]
    eight = [Variant(backend, s, tail, eight_bit=True) for tail in (False, True) for s in SPARSITIES[2:]]
    return plain + tails + eight


def our_rows(ledger: Ledger, shape: Shape, backends: list[Backend]) -> None:
    """cuDNN's dense attention and our kernels on the same inputs."""
    sets = [random_inputs(shape, seed) for seed in (21, 22)]
    ledger.attempt(shape, "cuDNN", lambda: [dense_row(shape, sets)])
    for backend in backends:
        for variant in variants(backend):
            ledger.attempt(shape, str(variant), lambda variant=variant: [ours(shape, variant, sets)])
    if Backend.HOPPER in backends:
        ledger.attempt(shape, "torch.compile", lambda: [compiled_row(shape, sets)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="hunyuan,wan")
    parser.add_argument("--peers", default="flex,flashinfer", help="which of them are installed")
    parser.add_argument("--backends", default="hopper,triton")
    options = parser.parse_known_args()[0]
    ledger = Ledger(output_folder())
    peers = options.peers.split(",")
    shapes = [SHAPES[name] for name in options.shapes.split(",")]
    for shape in shapes:
        our_rows(ledger, shape, [Backend(b) for b in options.backends.split(",")])
        for sparsity in (0.9, 0.75) if "flex" in peers else ():
            ledger.attempt(shape, f"FlexAttention {sparsity}", partial(peer_rows, shape, sparsity, None))
    for shape in shapes if "flashinfer" in peers else ():
        for sparsity in (0.9, 0.75):
            ledger.attempt(shape, f"FlashInfer {sparsity}", partial(flashinfer_rows, shape, sparsity))
    if ledger.failures:
        raise SystemExit("failed: " + "; ".join(ledger.failures))


if __name__ == "__main__":
    main()
