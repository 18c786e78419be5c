"""Ulysses on two GPUs of one host beside one of them: right, and how much faster.

    python tests/gpu/draft_ulysses.py --out DIR

90 % with the tail, calls back to back. One GPU's time is taken in the same run while the other waits.
"""

from __future__ import annotations

import datetime
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from draft_bench import Shape, back_to_back_ms, output_folder, random_inputs, relative_error, save

from triptych.golden.draft_attention import context_parallel, draft_attention
from triptych.golden.draft_attention.context_parallel import ulysses_draft_attention
from triptych.golden.draft_attention.terms.geometry import Geometry

WORLD = 2
SPARSITY = 0.9
SHAPES = (
    Shape("33 x 48 x 80 and 256 of text, 24 heads", 24, Geometry((33, 48, 80), (8, 16), 256)),
    Shape("21 x 45 x 80, 40 heads", 40, Geometry((21, 45, 80))),
    Shape("13 x 45 x 80, 24 heads", 24, Geometry((13, 45, 80))),
    Shape("13 x 45 x 80, 10 heads", 10, Geometry((13, 45, 80))),
    Shape("8 x 45 x 80, 24 heads", 24, Geometry((8, 45, 80))),
)


def worker(rank: int, folder: Path) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    torch.cuda.set_device(rank)
    limit = datetime.timedelta(seconds=120)
    dist.init_process_group("nccl", rank=rank, world_size=WORLD, timeout=limit, device_id=torch.device("cuda", rank))
    rows: list[dict[str, Any]] = []
    for shape in SHAPES[: int(os.environ.get("FIRST_SHAPES", len(SHAPES)))]:
        for tail in (True, False):
            rows.append(measured(rank, shape, tail))
            if rank == 0:
                print(rows[-1], flush=True)
                save(folder, "draft_ulysses", rows)
    profile = profiled(rank, SHAPES[0])
    if rank == 0:
        print(profile, flush=True)
        save(folder, "draft_ulysses", rows, profile=profile)
    dist.destroy_process_group()


def spans_ms(spans: list[tuple[float, float]]) -> float:
    """Length of the union of spans."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def profiled(rank: int, shape: Shape, calls: int = 6) -> dict[str, float]:
    """Milliseconds of a call with the tail, calls back to back: each kind of kernel, and what lies beside attention."""
    length = shape.geometry.length
    lengths = [length - length // 2, length // 2]
    start = sum(lengths[:rank])
    local = tuple(_own(x[:, :, start : start + lengths[rank]]) for x in random_inputs(shape, 1))
    call = partial(
        ulysses_draft_attention, *local, lengths=lengths, grid=shape.geometry.grid, sparsity=SPARSITY, tail=True
    )
    for _ in range(4):
        call()
    torch.cuda.synchronize()
    dist.barrier()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    spans: dict[str, list[tuple[float, float]]] = {}
    for event in profile.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            name = event.name.lower()
            kind = next((k for k in ("attention", "nccl", "pool", "elementwise", "copy") if k in name), "other")
            spans.setdefault(kind, []).append((event.time_range.start / 1e3, event.time_range.end / 1e3))
    every = [span for found in spans.values() for span in found]
    whole = max(end for _, end in every) - min(begin for begin, _ in every)
    beside = [span for kind, found in spans.items() if kind != "nccl" for span in found]
    times = {kind: spans_ms(found) for kind, found in spans.items()}
    times |= {"whole": whole, "nothing runs": whole - spans_ms(every), "exchange or nothing": whole - spans_ms(beside)}
    times["no attention"] = whole - times.get("attention", 0.0)
    return {kind: spent / calls for kind, spent in times.items()}


def measured(rank: int, shape: Shape, tail: bool) -> dict[str, Any]:
    length = shape.geometry.length
    lengths = [length - length // 2, length // 2]
    start = sum(lengths[:rank])
    sets = [random_inputs(shape, seed) for seed in (1, 2)]  # the same on both
    local = [tuple(_own(x[:, :, start : start + lengths[rank]]) for x in triple) for triple in sets]
    options = {"grid": shape.geometry.grid, "sparsity": SPARSITY, "tail": tail}
    one = [partial(draft_attention, *triple, **options) for triple in sets]
    two = [partial(ulysses_draft_attention, *triple, lengths=lengths, **options) for triple in local]
    context_parallel._say_it_does_not_pay.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = two[0]()
    error = relative_error(found, one[0]()[:, :, start : start + lengths[rank]])
    if error > 5e-3:
        raise AssertionError(f"{shape.name}: two GPUs and one are {error:.1e} apart")
    times = []
    for _ in range(3):
        dist.barrier()
        alone = back_to_back_ms(one, 0.3) if rank == 0 else 0.0
        dist.barrier()
        times.append((alone, together_ms(two)))
    one_ms, two_ms = (sorted(column)[1] for column in zip(*times, strict=True))
    warned = any("faster on one GPU" in str(entry.message) for entry in said)
    return {
        "shape": shape.name, "tokens": length, "heads": shape.heads, "tail": tail, "error": error,
        "one_ms": one_ms, "ms": two_ms, "warned": warned,
    }  # fmt: skip


def _own(x: torch.Tensor) -> torch.Tensor:
    """A copy of `[batch, heads, length, dim]` in the token-major memory order of transformers."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def together_ms(runs: list[Any], count: int = 16) -> float:
    """Time of a call on both ranks: as many calls on each, the slower rank counts."""
    torch.cuda.synchronize()
    dist.barrier()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for i in range(count):
        runs[i % len(runs)]()
    end.record()
    end.synchronize()
    spent = torch.tensor([begin.elapsed_time(end) / count], device="cuda")
    dist.all_reduce(spent, dist.ReduceOp.MAX)
    return float(spent)


def main() -> None:
    folder = output_folder()
    mp.spawn(worker, args=(folder,), nprocs=WORLD)


if __name__ == "__main__":
    main()
