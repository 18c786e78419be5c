"""Everything but attention: time of each stage, memory, no host synchronisation, CUDA-graph capture.

    python tests/gpu/draft_overhead.py --out DIR

Checks before timing: pooled statistics against float64, lists against the reference's rule on the kernels' own map.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import torch
from draft_bench import SHAPES, Shape, mask_of, median_ms, output_folder, random_inputs, relative_error, save

from golden.draft_attention import SelectionRule, dispatch, triton_pool, triton_select
from golden.draft_attention.pooling import block_mean, block_variance
from golden.draft_attention.selection import mask_from_keys, with_text

RULE = SelectionRule(0.9)


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
    keys = triton_select.draft_keys(*pooled, geometry, shape.scale, RULE.statistic)
    logits = pooled[0].mean.double() @ pooled[1].mean.double().transpose(-1, -2) * shape.scale
    errors["map"] = float((keys[:, :, :n, :n] - torch.log_softmax(logits, -1)).abs().max())
    assert errors["map"] < 1e-4, errors
    video = keys[:, :, :n, :n].clone()
    lists = triton_select.block_lists(keys, geometry, RULE)
    expected = with_text(mask_from_keys(video, RULE.head_sparsity(shape.heads), RULE, geometry), geometry)
    errors["mask entries apart"] = float((mask_of(lists) != expected).sum())
    assert errors["mask entries apart"] == 0, errors
    return errors


def graph_capture(shape: Shape) -> bool:
    """Whether the whole selection replays from a CUDA graph with the same lists on new inputs."""
    static = random_inputs(shape, 1)
    fresh = random_inputs(shape, 2)
    dispatch.select(*static, shape.geometry, RULE, shape.scale, with_tail=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        lists, tail = dispatch.select(*static, shape.geometry, RULE, shape.scale, with_tail=True)
    for mine, new in zip(static, fresh, strict=True):
        mine.copy_(new)
    graph.replay()
    expected, expected_tail = dispatch.select(*fresh, shape.geometry, RULE, shape.scale, with_tail=True)
    same = torch.equal(lists.bits, expected.bits) and torch.equal(lists.counts, expected.counts)
    return same and torch.equal(tail.k_var, expected_tail.k_var) and torch.equal(tail.v_mean, expected_tail.v_mean)


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
    sets = [random_inputs(shape, seed) for seed in (11, 12, 13)]
    pooled = [
        (triton_pool.pool_blocks(q, geometry), triton_pool.pool_blocks(k, geometry, with_var=True)) for q, k, _ in sets
    ]
    maps = [triton_select.draft_keys(*pair, geometry, shape.scale, RULE.statistic) for pair in pooled]
    spare = torch.empty_like(maps[0])

    def copy(i: int) -> None:
        spare.copy_(maps[i])

    def lists(i: int) -> None:
        spare.copy_(maps[i])
        triton_select.block_lists(spare, geometry, RULE)

    stages: dict[str, Callable[[int], object]] = {
        "pool q": lambda i: triton_pool.pool_blocks(sets[i][0], geometry),
        "pool k with variance": lambda i: triton_pool.pool_blocks(sets[i][1], geometry, with_var=True),
        "pool v": lambda i: triton_pool.pool_blocks(sets[i][2], geometry),
        "draft map": lambda i: triton_select.draft_keys(*pooled[i], geometry, shape.scale, RULE.statistic),
        "copy of the map": copy,
        "budget and lists, with that copy": lists,
        "all, without tail": lambda i: dispatch.select(*sets[i], geometry, RULE, shape.scale, with_tail=False),
        "all, with tail": lambda i: dispatch.select(*sets[i], geometry, RULE, shape.scale, with_tail=True),
    }
    return {
        name: median_ms([partial(stage, i) for i in range(3)], repeats=15, warmup=4) for name, stage in stages.items()
    }


def memory_share(shape: Shape) -> float:
    """Peak of what the selection allocates, over the bytes of q, k and v."""
    inputs = random_inputs(shape, 4)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = dispatch.select(*inputs, shape.geometry, RULE, shape.scale, with_tail=True)
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    del kept
    return peak / sum(x.numel() * x.element_size() for x in inputs)


def main() -> None:
    folder = output_folder()
    rows = []
    for shape in SHAPES.values():
        row = {"shape": shape.name, "errors": check(shape), "ms": stage_times(shape)}
        torch.cuda.empty_cache()
        row["memory_share"] = memory_share(shape)
        row["no_synchronisation"] = without_synchronisation(shape)
        row["graph_capture"] = graph_capture(shape)
        rows.append(row)
        print(row, flush=True)
        save(folder, "draft_overhead", rows)
        torch.cuda.empty_cache()
    if not all(row["graph_capture"] for row in rows):
        sys.exit("the captured graph gives other lists")


if __name__ == "__main__":
    main()
