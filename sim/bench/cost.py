"""Sections of docs/results.md on the chip's price: the clock after placement, paper and ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.bench.ledger import Label, table
from triptych.sim.bench.paper import paper_rows
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError
from triptych.sim.model.area import measure_area
from triptych.sim.model.energy import DRAM_PJ_BYTE, SRAM_PJ_BIT, TOGGLE, EnergyReport, measure_energy
from triptych.sim.model.repair import MOST
from triptych.sim.model.timing import TimingReport, measure_timing, plot_floorplan
from triptych.sim.view.plot import save_figure

Progress = Callable[[str, int, int], None]


def timing_rows(library: Sequence[Path], configs: Sequence[str], out: Path, progress: Progress) -> str:
    """The slowest paths of chips, and the last one's floorplan."""
    if not library:
        raise TriptychError("the section timing is of a cell library: name its files with --library")
    parts = []
    for name in configs:
        report = measure_timing(chip_config(name), library, progress)
        parts.append(_timing_table(report))
        save_figure(plot_floorplan(report), out / f"floorplan-{name}")
        shutil.copyfile(out / f"floorplan-{name}.png", ROOT / "docs" / "img" / f"floorplan_{name}.png")
        parts.append(f"![floorplan of {name}](img/floorplan_{name}.png)")
    text = (
        "The slowest path into the registers of each part of the chip, and the slowest within it. Yosys by module, "
        f"Coloquinte by part, buffers so that no net has more than {MOST} loads, wires by placed length (not routed), "
        "OpenSTA; clock ideal, cells not sized for timing: a flow that does is faster. Memories answer .309 ns after "
        "the clock (fakeram45)."
    )
    return f"## Clock after placement\n{text}\n\n" + "\n\n".join(parts)


def _timing_table(report: TimingReport) -> str:
    inner = {p.part: p for p in report.inner}
    rows = [
        [p.part, f"{p.delay:.2f}", f"{p.fmax_mhz:.0f}", f"{inner[p.part].fmax_mhz:.0f}" if p.part in inner else "",
         f"`{p.start}`", f"`{p.end}`", str(len(p.modules)), Label.STA.value]
        for p in sorted(report.paths, key=lambda p: -p.delay)
    ]  # fmt: skip
    header = ["part", "ns", "MHz", "MHz within", "from", "to", "modules on the way", "label"]
    added = f"{report.buffers.count:,} buffers of {report.buffers.kind}, {report.buffers.area:,.0f} µm²"
    return f"### `{report.config}`, {report.library}: {added}\n\n{table(header, rows)}"


def energy_rows(library: Sequence[Path], configs: Sequence[str], progress: Progress) -> str:
    """mJ a frame by part."""
    if not library:
        raise TriptychError("the section energy is of a cell library: name its files with --library")
    parts = [_energy_table(measure_energy(chip_config(name), library, progress)) for name in configs]
    text = (
        f"METER-XXS at 192x256, W4A4, a frame by RTL's counters. Cells: OpenSTA on the placed netlist, each "
        f"part in two states: at work (registers and inputs toggle in {TOGGLE:.0%} of the cycles, stated, spread by "
        "OpenSTA) and waiting (clock and leakage alone); without the clock's wires and buffers. Memories "
        f"{SRAM_PJ_BIT * 8:.2f} pJ a byte (fakeram45), DRAM {DRAM_PJ_BYTE:g} pJ a byte (stated, LPDDR4). "
        f"`{Label.ESTIMATED.value}` throughout."
    )
    return f"## Energy of a frame\n{text}\n\n" + "\n\n".join(parts)


def _energy_table(report: EnergyReport) -> str:
    rows = [
        [part.name, f"{part.busy:.1%}", f"{part.pj_busy:.1f}", f"{part.pj_idle:.1f}", f"{part.mj:.4f}",
         f"{part.mj / report.mj:.1%}"]
        for part in sorted(report.parts, key=lambda p: -p.mj)
    ]  # fmt: skip
    rows += [[name, "", "", "", f"{mj:.4f}", f"{mj / report.mj:.1%}"] for name, mj in report.memories.items()]
    header = ["part", "at work", "pJ a cycle at work", "pJ a cycle waiting", "mJ a frame", "share"]
    head = f"### `{report.config}`, {report.library}: {report.mj:.3f} mJ a frame, {report.gmac_j:.0f} GMAC/J"
    return f"{head} ({report.chip_gmac_j:.0f} without DRAM)\n\n{table(header, rows)}"


def paper_section(library: Sequence[Path], progress: Progress) -> str:
    """Paper and ours; areas where a library is named."""
    mm2: dict[str, float] = {}
    if library:
        report = measure_area(chip_config("paper"), library, progress)
        if report.node is not None:
            whole = (report.top.total + report.top.memory_area) / 1e6
            mm2[f"cells and modelled memories as measured ({report.library}, {report.node} nm)"] = whole
            mm2["scaled to 28 nm by the square of the node"] = whole * (28 / report.node) ** 2
    return paper_rows(progress, mm2)
