"""Everything but attention: time of each stage, memory, no host synchronisation, CUDA-graph capture.

    python tests/gpu/draft_overhead.py --out DIR

Checks before timing: pooled statistics against float64, lists against the reference's rule on the kernels' own map.
"""

from __future__ import annotations

import sys

import torch
from draft_bench import HUNYUAN, SHAPES, Shape, mask_of, median_ms, output_folder, random_inputs, relative_error, save

from golden.draft_attention import SelectionRule, dispatch, triton_pool, triton_select
from golden.draft_attention.pooling import block_mean, block_variance
from golden.draft_attention.selection import floored_mask, with_text

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
    # log_softmax of a normalised map changes it by rounding only, so ties aside the rule must give the same mask
    expected = with_text(floored_mask(video.double(), RULE.head_sparsity(shape.heads), RULE, geometry), geometry)
    errors["mask entries apart"] = float((mask_of(lists) != expected).sum())
    assert errors["mask entries apart"] <= 2 * shape.heads, errors
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


def main() -> None:
    folder = output_folder()
    rows = []
    for shape in SHAPES.values():
        geometry = shape.geometry
        errors = check(shape)
        sets = [random_inputs(shape, seed) for seed in (11, 12, 13)]
        pooled = [
            (triton_pool.pool_blocks(q, geometry), triton_pool.pool_blocks(k, geometry, with_var=True))
            for q, k, _ in sets
        ]
        maps = [triton_select.draft_keys(*pair, geometry, shape.scale, RULE.statistic) for pair in pooled]
        spare = [m.clone() for m in maps]

        def restored_lists(i: int, maps=maps, spare=spare, geometry=geometry) -> None:
            spare[i].copy_(maps[i])
            triton_select.block_lists(spare[i], geometry, RULE)

        stages = {
            "pool q": [lambda q=q: triton_pool.pool_blocks(q, geometry) for q, _, _ in sets],
            "pool k with variance": [lambda k=k: triton_pool.pool_blocks(k, geometry, with_var=True) for _, k, _ in sets],
            "pool v": [lambda v=v: triton_pool.pool_blocks(v, geometry) for _, _, v in sets],
            "draft map": [
                lambda p=p: triton_select.draft_keys(*p, geometry, shape.scale, RULE.statistic) for p in pooled
            ],
            "copy of the map": [lambda i=i: spare[i].copy_(maps[i]) for i in range(3)],
            "budget and lists, with that copy": [lambda i=i: restored_lists(i) for i in range(3)],
            "all, without tail": [
                lambda s=s: dispatch.select(*s, geometry, RULE, shape.scale, with_tail=False) for s in sets
            ],
            "all, with tail": [
                lambda s=s: dispatch.select(*s, geometry, RULE, shape.scale, with_tail=True) for s in sets
            ],
        }
        times = {name: median_ms(runs, repeats=15, warmup=4) for name, runs in stages.items()}
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kept = dispatch.select(*sets[0], geometry, RULE, shape.scale, with_tail=True)
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
        del kept
        inputs_bytes = sum(x.numel() * x.element_size() for x in sets[0])
        rows.append(
            {
                "shape": shape.name,
                "ms": times,
                "errors": errors,
                "memory_share": peak / inputs_bytes,
                "no_synchronisation": without_synchronisation(shape),
                "graph_capture": graph_capture(shape),
            }
        )
        print(rows[-1], flush=True)
        del sets, pooled, maps, spare, stages
        torch.cuda.empty_cache()
    save(folder, "draft_overhead", rows)
    target = next(row for row in rows if row["shape"] == HUNYUAN.name)
    if not target["graph_capture"]:
        sys.exit("the captured graph gives other lists")


if __name__ == "__main__":
    main()
