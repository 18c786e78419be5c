"""The plots of docs/img that draft_results.py draws, and what they and its tables call things."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from triptych.sim.bench.draft_record import is_video, kernel_name
from triptych.sim.build.sources import ROOT

Rows = list[dict[str, Any]]
IMAGES = ROOT / "docs" / "img"


def aside(row: dict[str, Any]) -> bool:
    """Whether a row has no place in the table of kernels."""
    return bool(row["kernel"] == "torch.compile")


def refused(row: dict[str, Any]) -> bool:
    """Whether a peer gave an error instead of a time."""
    return "refused" in row


def series(rows: Rows, shape: str) -> dict[str, list[tuple[float, float]]]:
    """Speedup over cuDNN's dense attention by sparsity, for each kernel of one shape; whole calls for ours."""
    dense = next(r["ms"] for r in rows if r["shape"] == shape and r["kernel"] == "cuDNN")
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["shape"] != shape or row["kernel"] in ("cuDNN", "torch.compile") or refused(row):
            continue
        lines.setdefault(kernel_name(row), []).append((row["sparsity"], dense / row["ms"]))
        if "plan_ms" in row:
            lines.setdefault("FlashInfer fa3 with plan", []).append(
                (row["sparsity"], dense / (row["ms"] + row["plan_ms"]))
            )
    return {name: sorted(points) for name, points in lines.items()}


def mean_errors(rows: Rows, method: str, sparsity: float, video: bool, held_out: bool = False) -> float | None:
    """Mean error of a method over the structured fields, or over the layers on videos."""
    found = [
        r["error"]
        for r in rows
        if (r["method"], r["sparsity"], is_video(r), r["held_out"]) == (method, sparsity, video, held_out)
    ]
    return statistics.mean(found) if found else None


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
    methods = ["paper's rule", "SpargeAttn-style", "SVG-style", "ours without tail"]
    ours = {"ours, blocks of 128": 128, "ours, blocks of 64": 64}
    methods += ours
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
            (r["sparsity"], r["tail"], r["block"]): r["ms"]
            for r in kernel["rows"]
            if r["shape"].startswith("Hunyuan") and r["kernel"] == "hopper" and r["precision"] == "16 bit"
            if not aside(r)
        }
        for method in methods:
            points = [
                (times[key], error)
                for s in sparsities
                if (key := (s, method in ours, ours.get(method, 128))) in times
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


def draw_crossover(data: dict[str, Any]) -> None:
    rows: Rows = data["rows"]
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), sharey=True)
    for axis, block in zip(axes, (128, 64), strict=True):
        for sparsity in sorted({r["sparsity"] for r in rows}):
            points = [
                (r["tokens"], r["dense_ms"] / r["ms"]) for r in rows if (r["sparsity"], r["block"]) == (sparsity, block)
            ]
            axis.plot(*zip(*points, strict=True), "-o", label=f"{100 * sparsity:.0f} %", markersize=4)
        axis.axhline(1.0, color="grey", linestyle=":")
        axis.set(title=f"blocks of {block}", xlabel="tokens", ylabel="speed over dense", xscale="log", yscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    finish(figure, "draft_crossover")
