"""Everything but attention: time of each stage, memory, no host synchronisation, CUDA-graph capture.

    python tests/gpu/draft_overhead.py --out DIR

Checks before timing: pooled statistics against float64, sets against the reference's rule on the kernels' own map.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from draft_bench import SHAPES, Shape, mask_of, median_ms, output_folder, random_inputs, relative_error, save

from triptych.golden.draft_attention import dispatch, draft_attention, triton_pool, triton_select
from triptych.golden.draft_attention.pooling import block_mean, block_variance
from triptych.golden.draft_attention.selection import Criterion, SelectionRule, mask_from_keys, with_text

RULE = SelectionRule(0.9)
BY_ERROR = SelectionRule(0.9, criterion=Criterion.TAIL_ERROR)


def whole_map(shape: Shape) -> torch.Tensor:
    """Memory for the codes of all heads in one turn, to look at them."""
    n = shape.geometry.n_video_blocks
    return torch.empty(shape.heads, n, -(-n // 32) * 32, dtype=torch.int32, device="cuda")


def check(shape: Shape) -> dict[str, float]:
    """Raises AssertionError when a stage is wrong; returns what was seen."""
    q, k, _ = random_inputs(shape, 7)
    geometry = shape.geometry
    pooled = [triton_pool.pool_blocks(x, geometry, with_var=True) for x in (q, k)]
    wide = k[:, :2].double()
    errors = {
        "mean": relative_error(pooled[1].mean[:, :2], block_mean(wide, geometry)),
        "variance": relative_error(pooled[1].variance[:, :2], block_variance(wide, geometry)),
    }
    assert max(errors.values()) < 3e-3, errors
    n = geometry.n_video_blocks
    codes = whole_map(shape)
    triton_select.select_blocks(*pooled, geometry, SelectionRule(0.9, row_floor=0), shape.scale, codes)
    codes = codes[None, :, :, :n]
    logits = pooled[0].mean.double() @ pooled[1].mean.double().transpose(-1, -2) * shape.scale
    errors["map"] = float(((codes - (2**24 - 2)) / 2**18 - torch.log_softmax(logits, -1)).abs().max())
    assert errors["map"] < 2e-5, errors
    sets = triton_select.select_blocks(*pooled, geometry, RULE, shape.scale)
    expected = with_text(mask_from_keys(codes.float(), RULE.head_sparsity(shape.heads), RULE, geometry), geometry)
    mask = mask_of(sets)
    errors["mask entries apart"] = float((mask != expected).sum())
    assert errors["mask entries apart"] == 0, errors
    errors["kept"] = float(mask[:, :, :n, :n].double().mean())
    return errors


def graph_capture(shape: Shape) -> tuple[bool, float]:
    """Whether the selection replays from a CUDA graph with the same sets on new inputs, and a replay's milliseconds."""
    static = random_inputs(shape, 1)
    fresh = random_inputs(shape, 2)
    dispatch.select(*static, shape.geometry, BY_ERROR, shape.scale, with_tail=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sets, tail = dispatch.select(*static, shape.geometry, BY_ERROR, shape.scale, with_tail=True)
    for mine, new in zip(static, fresh, strict=True):
        mine.copy_(new)
    graph.replay()
    expected, expected_tail = dispatch.select(*fresh, shape.geometry, BY_ERROR, shape.scale, with_tail=True)
    same = torch.equal(sets.bits, expected.bits) and torch.equal(sets.counts, expected.counts)
    same &= torch.equal(tail.k_spread, expected_tail.k_spread) and torch.equal(tail.v_mean, expected_tail.v_mean)
    return same, median_ms([graph.replay], repeats=15, warmup=4)


def without_synchronisation(shape: Shape) -> bool:
    """Whether a warm call passes PyTorch's detector of host synchronisation."""
    inputs = random_inputs(shape, 3)
    dispatch.select(*inputs, shape.geometry, RULE, shape.scale, with_tail=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        dispatch.select(*inputs, shape.geometry, RULE, shape.scale, with_tail=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return True


def stage_times(shape: Shape) -> dict[str, float]:
    """Median milliseconds of each stage and of the whole selection."""
    geometry = shape.geometry
    inputs = [random_inputs(shape, seed) for seed in (11, 12, 13)]
    pooled = [
        (triton_pool.pool_blocks(q, geometry), triton_pool.pool_blocks(k, geometry, with_var=True))
        for q, k, _ in inputs
    ]
    stages: dict[str, Callable[[int], object]] = {
        "pool q": lambda i: triton_pool.pool_blocks(inputs[i][0], geometry),
        "pool k with variance": lambda i: triton_pool.pool_blocks(inputs[i][1], geometry, with_var=True),
        "pool v": lambda i: triton_pool.pool_blocks(inputs[i][2], geometry),
        "draft, budget and sets": lambda i: triton_select.select_blocks(*pooled[i], geometry, RULE, shape.scale),
        "all, without tail": lambda i: dispatch.select(*inputs[i], geometry, RULE, shape.scale, with_tail=False),
        "all, with tail": lambda i: dispatch.select(*inputs[i], geometry, BY_ERROR, shape.scale, with_tail=True),
    }
    return {
        name: median_ms([partial(stage, i) for i in range(3)], repeats=15, warmup=4) for name, stage in stages.items()
    }


def kernel_times(shape: Shape) -> dict[str, float]:
    """Milliseconds on the device of each kernel of one selection with the tail, by PyTorch's profiler."""
    inputs = random_inputs(shape, 5)
    dispatch.select(*inputs, shape.geometry, BY_ERROR, shape.scale, with_tail=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(5):
            dispatch.select(*inputs, shape.geometry, BY_ERROR, shape.scale, with_tail=True)
        torch.cuda.synchronize()
    return {event.key: event.device_time_total / 5e3 for event in profile.key_averages() if event.device_time_total}


def memory_share(shape: Shape) -> float:
    """Peak of what a call with the tail allocates beside its output, over the bytes of q, k and v."""
    inputs = random_inputs(shape, 4)
    call = partial(draft_attention, *inputs, grid=shape.geometry.grid, sparsity=0.9)
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = call()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before - out.numel() * out.element_size()
    return peak / sum(x.numel() * x.element_size() for x in inputs)


def main() -> None:
    folder = output_folder()
    rows = []
    for shape in SHAPES.values():
        row: dict[str, Any] = {"shape": shape.name, "errors": check(shape), "ms": stage_times(shape)}
        torch.cuda.empty_cache()
        row["memory_share"] = memory_share(shape)
        row["no_synchronisation"] = without_synchronisation(shape)
        row["graph_capture"], row["ms"]["all, with tail, from a CUDA graph"] = graph_capture(shape)
        row["kernels"] = kernel_times(shape)
        rows.append(row)
        print(row, flush=True)
        save(folder, "draft_overhead", rows)
        torch.cuda.empty_cache()
    if not all(row["graph_capture"] for row in rows):
        sys.exit("the captured graph gives other sets")


if __name__ == "__main__":
    main()
