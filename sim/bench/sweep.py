"""`triptych sweep`: the networks that it knows, its table, its section of docs/results.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo.vit import DptConfig, VitConfig
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError
from triptych.sim.model import shapes
from triptych.sim.model.sweep import Row, on_rtl

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
    shape = [f"{p.depth}x{p.cols}", str(p.spad_kib), str(p.rows), str(p.lanes or p.cols), memory, str(p.clock_mhz)]
    return [*shape, *figures, f"{p.mm2:.2f}", "yes" if row.pareto else "", rtl, row.error]


HEADER = ["array", "KiB", "rows", "lanes", "memory", "MHz", "cycles", "ms", "MAC/cycle", "mm² at 45 nm", "Pareto",
          "RTL (clock against it)", "error"]  # fmt: skip


def text_table(rows: Sequence[Row]) -> str:
    """All points."""
    return table(HEADER, [_cells(row) for row in rows])


def publish(model: str, net: Network, rows: Sequence[Row], picture: Path) -> None:
    """Writes the section and its picture."""
    shutil.copyfile(picture, ROOT / "docs" / "img" / "sweep.png")
    name = {"vit": "ViT-S + DPT at 196x252", "meter": "METER-XXS at 192x256"}[model]
    text = (
        f"{name}, W4A4 with uniform codes, {net.macs / 1e9:.2f} GMAC; cycles by the compiler's clock, areas by a line "
        f"through `small` and `paper`: `{Label.ESTIMATED.value}`; RTL: `{Label.RTL_SIMULATED.value}`. By "
        f"`triptych sweep --model {model}`. A point that cannot be made keeps its row."
    )
    shown = "![time over area](img/sweep.png)"
    replace_section("quartdepth-sweep", f"## Which chip\n{text}\n\n{shown}\n\n{text_table(rows)}")
