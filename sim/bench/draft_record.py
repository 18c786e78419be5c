"""DraftAttention's benchmarks as a run for the report: what the draft_*.json of a folder hold."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych.sim.errors import TriptychError
from triptych.sim.view.origin import origin
from triptych.sim.view.runfile import ENDING, save
from triptych.sim.view.runs import (
    BlockMask,
    Crossover,
    GpuRun,
    KernelTime,
    MethodError,
    Stage,
)

Rows = list[dict[str, Any]]
METHODS = {
    "paper's rule": (False, 128), "SpargeAttn-style": (False, 128), "SVG-style": (False, 128),
    "ours without tail": (False, 128), "ours, blocks of 128": (True, 128), "ours, blocks of 64": (True, 64),
}  # fmt: skip
"""Methods whose error is shown: whether the kernel that is timed has a tail, and the tokens in its blocks."""
TIMED = "HunyuanVideo 768p"


def kernel_name(row: dict[str, Any]) -> str:
    """What a row of draft_kernel.json is called in tables and legends."""
    ours = {"hopper": "ours (Hopper)", "triton": "ours (Triton)"}
    name = ours.get(row["kernel"], row["kernel"])
    name += ", blocks of 64" if row.get("block") == 64 else ""
    return name + (", 8 bit" if row["precision"] == "8 bit" else "") + (", pooled tail" if row["tail"] else "")


def is_video(row: dict[str, Any]) -> bool:
    """Whether a row of draft_error.json is of the layers on a video."""
    return "layer" in row["data"]


def gpu_run(folder: Path) -> GpuRun:
    """The record of a folder. Raises TriptychError where it holds no measurement, or one that is damaged."""
    files = {p.stem.removeprefix("draft_"): p for p in sorted(folder.glob("draft_*.json")) if ENDING not in p.name}
    try:
        held = {name: json.loads(path.read_text()) for name, path in files.items()}
        facts = next(data["facts"] for name, data in held.items() if name != "frames")
        rows: dict[str, Rows] = {name: data["rows"] for name, data in held.items()}
        kernels = list(_kernels(rows.get("kernel", [])))
        return GpuRun(
            "DraftAttention benchmarks", origin(), facts["device"],
            {name: str(version) for name, version in facts.items() if name != "device"},
            kernels,
            [
                Crossover(r["tokens"], r["sparsity"], r["block"], r["dense_ms"], r["ms"])
                for r in rows.get("crossover", [])
            ],
            [Stage(r["shape"], stage, ms) for r in rows.get("overhead", []) for stage, ms in r["ms"].items()],
            list(_errors(rows.get("error", []), rows.get("kernel", []))),
            [BlockMask(r["head"], r["sparsity"], r["kept"]) for r in rows.get("frames", [])],
        )  # fmt: skip
    except StopIteration:
        raise TriptychError(f"{folder} holds no draft_*.json: run a benchmark with --out first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TriptychError(f"{folder} holds a draft_*.json that is damaged: {error!r}") from error


def write_record(folder: Path) -> Path:
    """Writes draft.run.json of what the folder holds. Raises TriptychError, FileError."""
    path = folder / f"draft{ENDING}"
    save(gpu_run(folder), path)
    return path


def _kernels(rows: Rows) -> Iterator[KernelTime]:
    for r in rows:
        if "refused" not in r and r["kernel"] != "torch.compile":
            yield KernelTime(r["shape"], kernel_name(r), r["sparsity"], r["ms"], r.get("error"))


def _errors(rows: Rows, kernels: Rows) -> Iterator[MethodError]:
    times = {
        (r["sparsity"], r["tail"], r["block"]): r["ms"]
        for r in kernels
        if (r["shape"], r["kernel"], r["precision"]) == (TIMED, "hopper", "16 bit") and "refused" not in r
    }
    for method, (tail, block) in METHODS.items():
        for sparsity in sorted({r["sparsity"] for r in rows}):
            for video, data in ((False, "structured fields"), (True, "layers on a video")):
                found = [
                    r["error"]
                    for r in rows
                    if (r["method"], r["sparsity"], is_video(r), r["held_out"]) == (method, sparsity, video, False)
                ]
                if found:
                    ms = times.get((sparsity, tail, block))
                    yield MethodError(method, data, sparsity, statistics.mean(found), ms)
