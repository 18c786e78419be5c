"""Fold measured rows into docs/results.md and draw the plots.

    python tests/gpu/draft_results.py [FOLDER]

FOLDER holds the JSON files that the benchmark programs wrote (default: tests/gpu/measured). Each file owns one marked
section; a missing file leaves its section alone.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.rtl.sources import ROOT

Rows = list[dict[str, Any]]
IMAGES = ROOT / "docs" / "img"


def facts(data: dict[str, Any]) -> str:
    """The line under a table: where its numbers come from."""
    f = data["facts"]
    line = f"`{Label.GPU_MEASURED.value}`, {f['device']}, torch {f['torch']}, cuDNN {f['cudnn']}, Triton {f['triton']}."
    return " ".join(filter(None, [line, data.get("note")]))


def series(rows: Rows, shape: str) -> dict[str, list[tuple[float, float]]]:
    """Speedup over cuDNN's dense attention by sparsity, for each kernel of one shape; whole calls for ours."""
    dense = next(r["ms"] for r in rows if r["shape"] == shape and r["kernel"] == "cuDNN")
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["shape"] != shape or row["kernel"] == "cuDNN":
            continue
        lines.setdefault(kernel_name(row), []).append((row["sparsity"], dense / row["ms"]))
        if "plan_ms" in row:
            lines.setdefault("FlashInfer fa3 with plan", []).append(
                (row["sparsity"], dense / (row["ms"] + row["plan_ms"]))
            )
    return {name: sorted(points) for name, points in lines.items()}


def kernel_name(row: dict[str, Any]) -> str:
    """What a row is called in tables and legends."""
    ours = {"hopper": "ours (Hopper)", "triton": "ours (Triton)"}
    name = ours.get(row["kernel"], row["kernel"])
    return name + (", 8 bit" if row["precision"] == "8 bit" else "") + (", pooled tail" if row["tail"] else "")


def kernel_section(data: dict[str, Any]) -> str:
    rows: Rows = data["rows"]
    parts = ["## DraftAttention: attention kernels", ""]
    for shape in dict.fromkeys(r["shape"] for r in rows):
        here = [r for r in rows if r["shape"] == shape]
        dense = next(r["ms"] for r in here if r["kernel"] == "cuDNN")
        body = []
        for row in sorted(here, key=lambda r: (r["sparsity"], r["ms"])):
            attention = row.get("attention_ms", row["ms"])
            whole = row["ms"] + row.get("plan_ms", 0.0) if "attention_ms" in row or "plan_ms" in row else None
            body.append(
                [
                    f"{100 * row['sparsity']:.0f} %",
                    kernel_name(row),
                    f"{attention:.1f}",
                    "" if whole is None else f"{whole:.1f}",
                    f"{dense / attention:.2f}x",
                    "" if whole is None else f"{dense / whole:.2f}x",
                    f"{row['error']:.1e}",
                ]
            )
        header = ["sparsity", "kernel", "attention ms", "whole call ms", "attention", "whole call", "error"]
        parts += [f"### {shape}, bf16", "", table(header, body), ""]
    parts += [
        "Factors are over cuDNN's dense attention. Whole call: pooling, draft, sets and attention for ours, plan and "
        "run for FlashInfer; FlexAttention's mask building is not timed, and both peers get tensors already in block "
        "order. Error: relative L2 against float64 on white noise, the worst of the probed heads and blocks. Times of "
        "one kernel differ by up to 5 % within a run: the card is at its power limit.",
        "",
        facts(data),
    ]
    return "\n".join(parts)


def overhead_section(data: dict[str, Any]) -> str:
    rows: Rows = data["rows"]
    header = ["stage, ms", *(r["shape"] for r in rows)]
    body = [[name, *(f"{r['ms'][name]:.2f}" for r in rows)] for name in rows[0]["ms"]]
    body.append(["memory over q + k + v", *(f"{100 * r['memory_share']:.1f} %" for r in rows)])
    body.append(["host synchronisation", *("none" if r["no_synchronisation"] else "yes" for r in rows)])
    body.append(["same sets from a CUDA graph", *("yes" if r["graph_capture"] else "no" for r in rows)])
    body.append(["mask entries apart", *(f"{r['errors']['mask entries apart']:.0f}" for r in rows)])
    names = {"_pool_kernel": "pooling", "_draft_kernel": "draft", "_rank_kernel": "rank", "_count_kernel": "count"}
    names["_sets_kernel"] = "sets"
    kernels = [[word, *(f"{r['kernels'].get(name, 0.0):.2f}" for r in rows)] for name, word in names.items()]
    text = (
        "'Mask entries apart' compares with the rule on the kernels' own map; memory is with the tail. Below, the call "
        "with the tail by kernel, on the device alone (PyTorch's profiler; pooling of q, k and v together): run "
        "alone, 'draft, budget and sets' waits for the host between its launches; within a call or a graph it does not."
    )
    return "\n".join(
        [
            "## DraftAttention: everything but attention",
            "",
            table(header, body),
            "",
            text,
            "",
            table(["kernel, ms", *header[1:]], kernels),
            "",
            facts(data),
        ]
    )


def mean_errors(rows: Rows, method: str, sparsity: float, video: bool) -> float | None:
    """Mean error of a method over the structured fields, or over the video's layers."""
    found = [
        r["error"]
        for r in rows
        if r["method"] == method and r["sparsity"] == sparsity and r["data"].startswith("video") is video
    ]
    return statistics.mean(found) if found else None


def three_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def error_section(data: dict[str, Any]) -> str:
    rows: Rows = data["rows"]
    methods = list(dict.fromkeys(r["method"] for r in rows))
    parts = ["## DraftAttention: error against dense attention", ""]
    for sparsity in (0.75, 0.9):
        names = list(dict.fromkeys(r["data"] for r in rows))
        body = []
        for method in methods:
            cells = {r["data"]: r["error"] for r in rows if r["method"] == method and r["sparsity"] == sparsity}
            if cells:
                means = [mean_errors(rows, method, sparsity, video) for video in (False, True)]
                body.append(
                    [method, *(f"{cells[n]:.3f}" for n in names), *("" if m is None else f"{m:.3f}" for m in means)]
                )
        header = ["method", *names, "mean of fields", "mean of video"]
        parts += [f"### {100 * sparsity:.0f} % sparsity", "", table(header, body), ""]
    eight_bit = data["eight_bit"]
    names = list(dict.fromkeys(r["data"] for r in eight_bit))
    body = [
        [
            f"{100 * s:.0f} %",
            *(f"{r['error']:.4f}" for n in names for r in eight_bit if (r["data"], r["sparsity"]) == (n, s)),
        ]
        for s in (0.75, 0.9)
    ]
    parts += ["### 8 bit against 16 bit, same sets, without the tail", "", table(["sparsity", *names], body), ""]
    parts += [
        "Relative L2 against float64 dense attention, every method under the same block kernel. Fields: 8 x 48 x 80 "
        "tokens, 8 heads of 128 (tests/gpu/draft_fields.py). Video: q, k, v of four layers of a small denoising "
        f"transformer trained in the run on TUM fr1/rpy (loss {data['training']['first_loss']:.2f} to "
        f"{data['training']['last_loss']:.3f}), 8 x 48 x 64 tokens, 4 heads of 64.",
        "",
        facts(data),
    ]
    return "\n".join(parts)


def end_to_end_section(data: dict[str, Any]) -> str:
    body = []
    for row in data["rows"]:
        sparse = "mix_speedup" in row
        body.append(
            [
                row["model"],
                row["variant"],
                f"{row['step_s']:.2f}",
                f"{row['step_speedup']:.2f}x" if sparse else "",
                f"{row['mix_speedup']:.2f}x" if sparse else "",
                f"{row['error']:.3f}" if sparse else "",
            ]
        )
    header = ["model", "attention", "step s", "step", "mix with 25 % dense steps", "output against dense"]
    text = (
        "True dimensions, random weights, one denoising step; the mix also counts one dense block. Dense runs the same "
        "processor on cuDNN."
    )
    return "\n".join(["## DraftAttention: end to end", "", table(header, body), "", text, "", facts(data)])


def draw_speed(data: dict[str, Any]) -> None:
    rows: Rows = data["rows"]
    shapes = list(dict.fromkeys(r["shape"] for r in rows))
    figure, axes = plt.subplots(1, len(shapes), figsize=(6 * len(shapes), 4.2))
    for axis, shape in zip(axes, shapes, strict=True):
        for name, points in series(rows, shape).items():
            style = "-o" if name.startswith("ours") else "--s"
            axis.plot([100 * x for x, _ in points], [y for _, y in points], style, label=name, markersize=4)
        ideal = [x / 100 for x in range(0, 96, 5)]
        axis.plot([100 * x for x in ideal], [1 / (1 - x) for x in ideal], ":", color="grey", label="1 / (1 - sparsity)")
        axis.set(title=shape, xlabel="sparsity, %", ylabel="speed over cuDNN dense", yscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    finish(figure, "draft_speed")


def draw_error(data: dict[str, Any], kernel: dict[str, Any] | None) -> None:
    """Error by sparsity, and by the time of the whole call on the HunyuanVideo shape."""
    rows: Rows = data["rows"]
    methods = ["paper's rule", "SpargeAttn-style", "SVG-style", "ours without tail", "ours"]
    sparsities = sorted({r["sparsity"] for r in rows})
    figure, axes = plt.subplots(1, 3, figsize=(16, 4.2))
    for axis, video in zip(axes[:2], (False, True), strict=True):
        for method in methods:
            axis.plot(
                [100 * s for s in sparsities],
                [mean_errors(rows, method, s, video) for s in sparsities],
                "-o",
                label=method,
            )
        title = "q, k, v of a video transformer" if video else "structured fields"
        axis.set(title=title, xlabel="sparsity, %", ylabel="relative L2 error", yscale="log")
    if kernel is not None:
        times = {
            (r["sparsity"], r["tail"]): r["ms"]
            for r in kernel["rows"]
            if r["shape"].startswith("Hunyuan") and r["kernel"] == "hopper" and r["precision"] == "16 bit"
        }
        for method in methods:
            points = [
                (times[key], error)
                for s in sparsities
                if (key := (s, method == "ours")) in times
                and (error := mean_errors(rows, method, s, False)) is not None
            ]
            axes[2].plot([t for t, _ in points], [e for _, e in points], "-o", label=method)
        axes[2].set(title="structured fields, at equal time", xlabel="whole call, HunyuanVideo shape, ms", yscale="log")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    finish(figure, "draft_error")


def finish(figure: Any, name: str) -> None:
    plt.rcParams["svg.hashsalt"] = "triptych"  # the same numbers give the same file
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    plt.switch_backend("Agg")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "measured"
    sections: dict[str, Callable[[dict[str, Any]], str]] = {
        "kernel": kernel_section,
        "overhead": overhead_section,
        "error": error_section,
        "end_to_end": end_to_end_section,
    }
    loaded = {}
    for name, section in sections.items():
        path = folder / f"draft_{name}.json"
        if path.exists():
            loaded[name] = json.loads(path.read_text())
            replace_section(f"draft-{name.replace('_', '-')}", section(loaded[name]))
    if not loaded:
        raise SystemExit(f"{folder} holds no draft_*.json: run a benchmark with --out first")
    if "kernel" in loaded:
        draw_speed(loaded["kernel"])
    if "error" in loaded:
        draw_error(loaded["error"], loaded.get("kernel"))


if __name__ == "__main__":
    main()
