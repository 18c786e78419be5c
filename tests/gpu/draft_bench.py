"""What the draft attention benchmarks share: shapes, inputs, checks against float64, timing, rows.

Every benchmark is a program: `python tests/gpu/draft_<name>.py --out DIR` writes `DIR/draft_<name>.json`;
`python tests/gpu/draft_results.py DIR` then writes the tables of docs/results.md and the plots.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from triptych.golden.draft_attention import BlockSets, Geometry, reference
from triptych.golden.draft_attention.terms.tail import Tail
from triptych.sim.bench.draft_record import write_record

TensorTriple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """One model's self-attention."""

    name: str
    heads: int
    geometry: Geometry
    dim: int = 128

    @property
    def scale(self) -> float:
        return 1.0 / math.sqrt(self.dim)

    def dense_flops(self) -> float:
        """Operations of the two products of dense attention."""
        return 4.0 * self.heads * self.geometry.length**2 * self.dim


HUNYUAN = Shape("HunyuanVideo 768p", 24, Geometry((33, 48, 80), (8, 16), 256))
WAN = Shape("Wan2.1-14B 720p", 40, Geometry((21, 45, 80), (8, 16), 0))
SHAPES = {"hunyuan": HUNYUAN, "wan": WAN}


def random_inputs(shape: Shape, seed: int, dtype: torch.dtype = torch.bfloat16) -> TensorTriple:
    """Fresh normal q, k, v `[1, heads, length, dim]` in the token-major memory order of transformers."""
    generator = torch.Generator("cuda").manual_seed(seed)
    size = (1, shape.geometry.length, shape.heads, shape.dim)
    q, k, v = (torch.randn(size, generator=generator, device="cuda", dtype=dtype).transpose(1, 2) for _ in range(3))
    return q, k, v


def probe_blocks(geometry: Geometry) -> list[int]:
    """Query blocks that cover the corners: first, last of a frame, a middle one, last of the video, text."""
    _, gh, gw = geometry.blocks_per_axis
    video = [0, gw - 1, gh * gw - 1, geometry.n_video_blocks // 2, geometry.n_video_blocks - 1]
    return sorted({*video, geometry.n_blocks - 1})


def mask_of(sets: BlockSets) -> torch.Tensor:
    """bool `[batch, heads, n, n]` from the bit rows, after checking them against the counts."""
    n = sets.counts.shape[-1]
    column = torch.arange(32 * sets.bits.shape[-1], device=sets.bits.device)
    mask = ((sets.bits[..., column // 32] >> (column % 32)) & 1).bool()
    if mask[..., n:].any() or not torch.equal(mask.sum(-1, dtype=torch.int32), sets.counts):
        raise AssertionError("bit rows and counts disagree, or bits are set where there is no block")
    return mask[..., :n]


def relative_error(out: torch.Tensor, exact: torch.Tensor) -> float:
    """|out - exact| / |exact|; NaN or inf anywhere gives inf."""
    error = (out.double() - exact.double()).norm() / exact.double().norm()
    return float(error) if torch.isfinite(error) else math.inf


def float64_error(
    out: torch.Tensor, inputs: TensorTriple, mask: torch.Tensor, shape: Shape, tail: Tail | None, heads: Sequence[int]
) -> float:
    """Worst relative error of `out` over some heads, on the probe blocks, against the float64 reference.

    The tail's tokens are taken as given (their own check is against float64 pooling).
    """
    q, k, v = inputs
    geometry, worst = shape.geometry, 0.0
    blocks = probe_blocks(geometry)
    rows = torch.cat([geometry.block_tokens[b] for b in blocks])
    rows = rows[rows >= 0].to(q.device)
    for head in heads:
        one, kv = slice(head, head + 1), slice(head * k.shape[1] // q.shape[1], head * k.shape[1] // q.shape[1] + 1)
        wide = [x.double() for x in (q[:, one], k[:, kv], v[:, kv])]
        part = None
        if tail is not None:
            parts = (tail.k_mean, tail.v_mean, tail.k_spread, tail.k_profile)
            part = Tail(*(x[:, kv].double() for x in parts), tail.log_count)
        exact = reference.block_sparse_attention(*wide, mask[:, one], geometry, shape.scale, part, blocks)
        for piece in rows.split(2048):
            worst = max(worst, relative_error(out[0, head, piece], exact[0, 0, piece]))
    return worst


def poison(out: torch.Tensor) -> torch.Tensor:
    """Fill with NaN, so that an element that is not written shows."""
    return out.fill_(math.nan)


def median_ms(runs: Sequence[Callable[[], Any]], repeats: int = 5, warmup: int = 2) -> float:
    """Median time of one call; `runs` are the same work on different input sets, taken in turn."""
    for i in range(warmup):
        runs[i % len(runs)]()
    times = []
    for i in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        runs[i % len(runs)]()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def back_to_back_ms(runs: Sequence[Callable[[], Any]], seconds: float = 0.7) -> float:
    """Time of a call among calls that follow each other without a pause, as the layers of a model do.

    The card is then at its power limit, and the host's launches are hidden.
    """
    count, spent = 2, 0.0
    while spent < 1e3 * seconds:
        count = count if spent == 0.0 else int(count * max(1.5, 1.1e3 * seconds / spent))
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for i in range(count):
            runs[i % len(runs)]()
        stop.record()
        stop.synchronize()
        spent = start.elapsed_time(stop)
    return spent / count


def device_facts() -> dict[str, str]:
    """The machine and library versions of a run."""
    import triton

    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "triton": triton.__version__,
    }


def output_folder() -> Path:
    """The folder given by --out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON rows")
    folder: Path = parser.parse_known_args()[0].out
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(folder: Path, name: str, rows: list[dict[str, Any]], **extra: Any) -> None:
    """Write `name`.json whole or not at all, and what the report reads of the folder: draft.run.json."""
    temporary = folder / f".{name}.tmp"
    temporary.write_text(json.dumps({"facts": device_facts(), "rows": rows, **extra}, indent=1))
    os.replace(temporary, folder / f"{name}.json")
    write_record(folder)
