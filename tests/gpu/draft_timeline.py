"""Where the time of a whole call goes: the host's share, each kernel, and what lies between kernels.

    python tests/gpu/draft_timeline.py --out DIR

A call is waited for before the next, as in the column "whole call" of the kernel table. 'before' is the time from the
call to its first launch, 'between' the time in which no kernel runs from the first to the last.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from functools import partial
from typing import Any
from unittest import mock

import torch
from draft_bench import SHAPES, Shape, TensorTriple, median_ms, output_folder, random_inputs, save

from triptych.golden.draft_attention import draft_attention, triton_pool

CALLS = 6
VARIANTS: dict[str, dict[str, Any]] = {
    "90 %": {"tail": False},
    "95 %": {"tail": False, "sparsity": 0.95},
    "90 %, tail": {"tail": True},
    "90 %, 8 bit": {"tail": False, "eight_bit": True},
    "95 %, 8 bit": {"tail": False, "eight_bit": True, "sparsity": 0.95},
    "90 %, 8 bit, tail": {"tail": True, "eight_bit": True},
    "90 %, blocks of 64, tail": {"tail": True, "pool": (8, 8)},
}


def host_ms(call: Any) -> float:
    """Until the call returns, the device being idle at its start."""
    times = []
    for _ in range(CALLS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    torch.cuda.synchronize()
    return sorted(times)[CALLS // 2]


def before_ms(call: Any) -> float:
    """From the call to its first launch."""
    launch, times = triton_pool.launch, []

    def told(*arguments: Any, **options: Any) -> None:
        times.append(time.perf_counter())
        launch(*arguments, **options)

    spent = []
    with mock.patch.object(triton_pool, "launch", told):
        for _ in range(CALLS):
            torch.cuda.synchronize()
            times.clear()
            start = time.perf_counter()
            call()
            spent.append(1e3 * (times[0] - start))
    torch.cuda.synchronize()
    return sorted(spent)[CALLS // 2]


def kernel_spans(call: Any) -> list[list[tuple[str, float, float]]]:
    """Name, start and end in milliseconds of what ran on the device, for each of some calls."""
    calls = []
    for _ in range(3):
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            call()
            torch.cuda.synchronize()
        found = [
            (e.name, e.time_range.start / 1e3, e.time_range.end / 1e3)
            for e in profile.events()
            if e.device_type == torch.autograd.DeviceType.CUDA
        ]
        calls.append(sorted(found, key=lambda span: span[1]))
    return calls


def row_for(shape: Shape, name: str, options: dict[str, Any], inputs: list[TensorTriple]) -> dict[str, Any]:
    options = {"sparsity": 0.9, "backend": "hopper", **options}
    calls = [partial(draft_attention, *triple, grid=shape.geometry.grid, **options) for triple in inputs]
    ms = median_ms(calls, 15, 3)
    spans = kernel_spans(calls[0])[1]
    kernels: dict[str, float] = defaultdict(float)
    idle, until = 0.0, spans[0][1]
    for kernel, start, end in spans:
        kernels[kernel[:60]] += end - start
        idle += max(0.0, start - until)
        until = max(until, end)
    attention = sum(t for k, t in kernels.items() if k.startswith("attention"))
    return {
        "shape": shape.name, "variant": name, "ms": ms, "host_ms": host_ms(calls[0]), "before_ms": before_ms(calls[0]),
        "span_ms": until - spans[0][1], "attention_ms": attention, "between_ms": idle,
        "launches": len(spans), "kernels": dict(kernels),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="hunyuan,wan")
    parser.add_argument("--variants", default="")
    options = parser.parse_known_args()[0]
    folder = output_folder()
    rows = []
    for shape in (SHAPES[name] for name in options.shapes.split(",")):
        inputs = [random_inputs(shape, seed) for seed in (21, 22)]
        for name, how in VARIANTS.items():
            if options.variants and name not in options.variants.split(";"):
                continue
            rows.append(row_for(shape, name, how, inputs))
            shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items() if k != "kernels"}
            print(shown, flush=True)
            print({k: round(v, 3) for k, v in sorted(rows[-1]["kernels"].items(), key=lambda i: -i[1])}, flush=True)
            save(folder, "draft_timeline", rows)


if __name__ == "__main__":
    main()
