"""Attention kernels over sparsity, ours and the peers', in one run.

    python tests/gpu/draft_kernel.py --out DIR [--shapes hunyuan,wan] [--peers flex,flashinfer,fa4,sol] [--append]

Every kernel of ours is checked against float64 on fresh inputs with a poisoned output before it is timed. "whole call"
is what a user waits for: pool, draft, lists, tail's statistics and attention.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import traceback
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
from draft_peers import (
    FlashInferRunner,
    cudnn_dense,
    fa4_runner,
    flex_runner,
    packed_error,
    packed_inputs,
    sol_runner,
)

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


PEERS = {
    "flex": "FlexAttention",
    "flashinfer": "FlashInfer fa3",
    "fa4": "flash-attn-4",
    "sol": "comfy-kitchen Sol-Attn, its own choice",
}


def peer_rows(peer: str, shape: Shape, sparsity: float) -> list[dict[str, Any]]:
    """Another library on packed blocks, checked on two block rows against float64; Sol-Attn on the shape itself."""
    base = {"kernel": PEERS[peer], "precision": "16 bit", "sparsity": sparsity, "tail": False}
    if peer == "sol":
        run = sol_runner(*random_inputs(shape, 21), 1 - sparsity)
        if not bool(torch.isfinite(run()).all()):
            raise AssertionError("not finite")
        times = {"ms": median_ms([run], 11), "back_to_back_ms": back_to_back_ms([run]), "whole": True}
        return [{**base, "precision": "8 bit", "tail": True, "block": 64, **times}]
    packed = packed_inputs(shape.heads, shape.geometry.length, shape.dim, 1 - sparsity, 5, None)
    base["kept"] = float(packed.mask.double().mean())
    if peer == "flashinfer":
        runner = FlashInferRunner(shape.heads, packed.mask.shape[-1], shape.dim)
        plan_ms = median_ms([lambda: runner.plan(packed)], 3, 1)
        error = packed_error(packed, runner.run(packed).view(shape.heads, -1, shape.dim), shape.scale)
        return [{**base, "error": error, "ms": median_ms([lambda: runner.run(packed)], 5, 1), "plan_ms": plan_ms}]
    run = {"flex": flex_runner, "fa4": fa4_runner}[peer](packed)
    error = packed_error(packed, run()[0], shape.scale)
    return [{**base, "error": error, "ms": median_ms([run], 5, 1)}]


class Ledger:
    """Rows of a run, saved as they come. A kernel that fails costs its own rows, not the run."""

    def __init__(self, folder: Path, append: bool) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.failures: list[str] = []
        if append:
            self.rows = json.loads((folder / "draft_kernel.json").read_text())["rows"]

    def attempt(
        self, shape: Shape, name: str, work: Callable[[], list[dict[str, Any]]], base: dict[str, Any] | None = None
    ) -> None:
        """`base`: of a peer, which gets a line with its error; what else fails ends the run with an error status."""
        try:
            new = work()
        except Exception as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1][:200]}"
            new = [] if base is None else [{**base, "refused": reason}]
            if base is None:
                self.failures.append(f"{shape.name}, {name}: {reason}")
                print(self.failures[-1], flush=True)
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
    if not backends:
        return
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
    parser.add_argument("--peer-sparsities", default="0.9,0.75")
    parser.add_argument("--backends", default="hopper,triton", help="of ours; none where empty")
    parser.add_argument("--append", action="store_true", help="to the rows that --out holds")
    options = parser.parse_known_args()[0]
    ledger = Ledger(output_folder(), options.append)
    for shape in (SHAPES[name] for name in options.shapes.split(",")):
        our_rows(ledger, shape, [Backend(b) for b in options.backends.split(",") if b])
        for peer in filter(None, options.peers.split(",")):
            for sparsity in map(float, options.peer_sparsities.split(",")):
                base = {"kernel": PEERS[peer], "precision": "16 bit", "sparsity": sparsity, "tail": False}
                ledger.attempt(shape, f"{peer} {sparsity}", partial(peer_rows, peer, shape, sparsity), base)
    if ledger.failures:
        raise SystemExit("failed: " + "; ".join(ledger.failures))


if __name__ == "__main__":
    main()
