"""`triptych sweep`: the networks that it knows, its table, its section of docs/results.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo.vit import DptConfig, VitConfig
from triptych.sim.bench.ledger import Label, table
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError
from triptych.sim.model import shapes
from triptych.sim.model.sweep import Point, Row, grid, on_dask, on_rtl, plot_sweep, sweep
from triptych.sim.view.plot import save_figure

MODELS = ("vit", "meter")


def network(model: str) -> Network:
    """Raises TriptychError for a name that is not known."""
    if model not in MODELS:
        raise TriptychError(f"--model must be {' or '.join(MODELS)}, not '{model}'")
    if model == "vit":
        return shapes.depth_vit(VitConfig(), DptConfig(), (196, 252), Widths.W4A4, coded=True)
    return shapes.meter((192, 256), Widths.W4A4)


def with_rtl(net: Network, rows: Sequence[Row], most: int, step: Callable[[str, int, int], None]) -> list[Row]:
    """The first points of the front, from the smallest chip on, with cycles of RTL."""
    chosen = sorted((r for r in rows if r.pareto), key=lambda r: r.point.mm2)[:most]
    out = []
    for row in rows:
        if row in chosen:
            step(f"RTL of {row.point.depth}x{row.point.cols}", 0, 0)
            try:
                row = on_rtl(net, row)
            except TriptychError as error:
                row = replace(row, error=str(error))
        out.append(row)
    return out


def _cells(row: Row) -> list[str]:
    p = row.point
    rtl = "" if row.rtl is None or row.cycles is None else f"{row.rtl:,} ({row.cycles / row.rtl - 1:+.2%})"
    figures = ["", "", ""] if row.cycles is None else [f"{row.cycles:,}", f"{row.ms:.2f}", f"{row.mac_cycle:,}"]
    memory = f"{p.gb_s:g} GB/s, {p.latency_ns:g} ns"
    lanes, full = p.both_lanes
    told = str(lanes) if full == lanes else f"{lanes}, {full} full"
    shape = [f"{p.depth}x{p.cols}", str(p.spad_kib), str(p.rows), told, memory, str(p.clock_mhz)]
    return [*shape, *figures, f"{p.mm2:.2f}", "yes" if row.pareto else "", rtl, row.error]


HEADER = ["array", "KiB", "rows", "lanes", "memory", "MHz", "cycles", "ms", "MAC/cycle", "mm² at 45 nm", "Pareto",
          "RTL (clock against it)", "error"]  # fmt: skip


def text_table(rows: Sequence[Row]) -> str:
    """All points."""
    return table(HEADER, [_cells(row) for row in rows])


NAMES = {"vit": "ViT-S + DPT at 196x252", "meter": "METER-XXS at 192x256"}


def section(model: str, net: Network, rows: Sequence[Row], picture: Path) -> str:
    """A network's part of docs/results.md; its picture goes beside the others."""
    shutil.copyfile(picture, ROOT / "docs" / "img" / f"sweep_{model}.png")
    text = (
        f"{NAMES[model]}, W4A4 with uniform codes, {net.macs / 1e9:.2f} GMAC; cycles by the compiler's clock, areas by "
        f"lines through `small` and `paper`: `{Label.ESTIMATED.value}`; RTL: `{Label.RTL_SIMULATED.value}`. A point "
        "that cannot be made keeps its row."
    )
    shown = f"![time over area](img/sweep_{model}.png)"
    return f"### {NAMES[model]}\n{text}\n\n{shown}\n\n{text_table(rows)}"


def publish(parts: Sequence[str]) -> str:
    """The section of docs/results.md."""
    return "## Which chip\nBy `triptych results sweep`.\n\n" + "\n\n".join(parts)


def published() -> dict[str, list[Point]]:
    """Points that the section shows, by network: arrays, scratchpads, half the lanes, half of them full as on `paper`.
    One array cannot be made, and one scratchpad is too small for another."""
    common: dict[str, Sequence[Any]] = {"rows": [64], "gb_s": [19.2], "latency_ns": [40.0], "clock_mhz": [1000]}

    def points(
        arrays: Sequence[tuple[int, int]], scratchpads: Sequence[int], lanes: int = 0, full: int = 0
    ) -> list[Point]:
        return [
            point
            for depth, cols in arrays
            for point in grid(
                depth=[depth], cols=[cols], spad_kib=scratchpads, lanes=[lanes], full_lanes=[full], **common
            )
        ]

    meter = points([(16, 8), (16, 16), (32, 16), (32, 32), (24, 24)], [64, 256]) + points([(32, 32)], [256], 16)
    vit = points([(32, 16), (32, 32), (64, 32)], [1024]) + points([(32, 32)], [1024], 16)
    vit += points([(32, 32)], [1024], 32, 16) + points([(64, 32)], [1024], 32, 16)
    return {"meter": meter, "vit": vit}


def sweep_rows(out: Path, progress: Callable[[str, int, int], None], scheduler: str | None = None, rtl: int = 2) -> str:
    """The section: both networks, on Dask. rtl: points of each front that run on RTL too."""
    parts, mapper = [], on_dask(scheduler)
    for model, points in published().items():
        progress(f"sweep of {NAMES[model]}", 0, 0)
        net = network(model)
        rows = with_rtl(net, sweep(net, points, mapper, progress, keep=True), rtl, progress)
        save_figure(plot_sweep(rows), out / f"sweep_{model}")
        parts.append(section(model, net, rows, out / f"sweep_{model}.png"))
    return publish(parts)
