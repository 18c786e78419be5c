"""Sections of docs/results.md on the chip's price: the clock after placement, paper and ours."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.bench.ledger import RESULTS, Label, table
from triptych.sim.bench.paper import price_rows
from triptych.sim.bench.priced import frame_for
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError
from triptych.sim.model.area import measure_area
from triptych.sim.model.energy import DRAM_PJ_BYTE, SRAM_PJ_BIT, EnergyReport, measure_energy
from triptych.sim.model.gates import CYCLES as GATE_CYCLES
from triptych.sim.model.place import WHOLE
from triptych.sim.model.repair import MOST
from triptych.sim.model.switching import CYCLES
from triptych.sim.model.timing import TimingReport, measure_timing, plot_floorplan
from triptych.sim.view.plot import save_figure

Progress = Callable[[str, int, int], None]

TIMING_HISTORY = """\
Parts with much memory stood as wide as their cells before: `small` was a strip of 14 mm, and 124,000 buffers on the way
between its ends took 51 ns. As squares the slowest path of `small` was 4.88 ns, from the state of control through
fetch's stop, LOAD, the scratchpad's grants and STORE into the cycle counters; they add what a register says now. What
is slowest is the array: products, their sum and its shift in one cycle (4.75 ns), then the first multiplication of the
lanes behind a row scalar's memory (4.48 ns). Those figures are of parts placed cell by cell; in groups the same netlist
takes 5.05 and 4.64 ns.

With products by Booth's digits, clock gates, and `paper` half of its lanes plain, two parts were below the array: in
`small` the vector engine (5.35 ns: from the microword's kind through what it makes the lanes do to their clamp, two
comparisons one behind the other), in `paper` STORE and the counters (8.12 ns: from the address of the vector engine's
second word, an adder, through the scratchpad's grants, each of which waited for those before it). That a program runs
reached STORE's walk and the counters over six modules, by LOAD's request, which stop took back. Now, in the same
cycles, grants stand side by side (a port has its bank unless a lower one wants it, granted or not), addresses and the
classes that are counted come from registers, no request looks at stop, what a walk does next is known before the grant,
row scalars are read for both stages at once, so that the product begins at a register, clamps compare side by side, and
what a microword makes the lanes do is a register.

What is wrong with a waiting element's addresses was found in front of the request for its words: over nine modules, of
`paper` 6.33 ns. It is found while the address is made now, and five are left, LOAD's address through the grants to the
vector engine's walks, 6.04 ns (6.55 since its reads may go first). The array stays the slowest part of both chips; its
products, sum and shift in two cycles were not tried."""


CHIPS = ("small", "paper")


def said_of(section: str, name: str, text: str) -> str:
    """What docs/results.md says of a chip in a section, its picture with it; empty where it says nothing."""
    _, _, rest = text.partition(f"<!-- begin:quartdepth-{section} -->")
    body, _, _ = rest.partition("<!-- end:")
    found = re.search(rf"^### `{name}`.*?(?=^### |\Z)", body, re.DOTALL | re.MULTILINE)
    return found[0].strip() if found else ""


def timing_rows(library: Sequence[Path], configs: Sequence[str], out: Path, progress: Progress) -> str:
    """The slowest paths of chips, and their floorplans. A chip that is not named keeps what is said of it."""
    if not library:
        raise TriptychError("the section timing is of a cell library: name its files with --library")
    parts = []
    for name in dict.fromkeys([*CHIPS, *configs]):
        if name not in configs:
            parts.append(said_of("timing", name, RESULTS.read_text()))
            continue
        report = measure_timing(chip_config(name), library, progress)
        parts.append(_timing_table(report))
        save_figure(plot_floorplan(report), out / f"floorplan-{name}")
        shutil.copyfile(out / f"floorplan-{name}.png", ROOT / "docs" / "img" / f"floorplan_{name}.png")
        parts.append(f"![floorplan of {name}](img/floorplan_{name}.png)")
    text = (
        "The slowest path into the registers of each part of the chip, and the slowest within it. Yosys by module, "
        f"Coloquinte by part (more than {WHOLE:,} cells in groups first: on u_store and u_front_end of `small`, made "
        "both ways, wires are 25 and 29 % longer), buffers so that no net has more than "
        f"{MOST} loads, wires by placed length (not routed), "
        "OpenSTA; clock ideal, cells not sized for timing: a flow that does is faster. Memories answer .309 ns after "
        "the clock (fakeram45)."
    )
    return f"## Clock after placement\n{text}\n\n{TIMING_HISTORY}\n\n" + "\n\n".join(filter(None, parts))


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
    """mJ a frame by part. A chip that is not named keeps what is said of it."""
    if not library:
        raise TriptychError("the section energy is of a cell library: name its files with --library")
    parts = []
    for name in dict.fromkeys([*CHIPS, *configs]):
        if name not in configs:
            parts.append(said_of("energy", name, RESULTS.read_text()))
            continue
        frame = frame_for(chip_config(name), progress)
        report = measure_energy(
            chip_config(name), library, progress, frame.name, frame.network, frame.codes, frame.like
        )
        parts.append(_energy_table(report))
    text = (
        f"A frame. Windows of {CYCLES:,} cycles on RTL (Verilator, SAIF), one for each kind of layer, in the middle of "
        "the one that takes longest; each stands for the cycles of all layers of its kind, by RTL's counters. Measured "
        "in a window: how often each register, and what memories answer, changes. The gates between them are evaluated "
        f"without delays on {GATE_CYCLES} cycles of registers that change as often, each by itself; the table has the "
        "mean rate of a part's nets, weighted by their loads. Cells: OpenSTA on the placed netlist at that rate; no "
        "glitches. Wires are placed, not routed; without the clock's wires and buffers; gates of clocks are counted "
        "as open. "
        f"Memories {SRAM_PJ_BIT * 8:.2f} pJ a byte (fakeram45), DRAM {DRAM_PJ_BYTE:g} pJ a byte (stated, LPDDR4). "
        f"`{Label.ESTIMATED.value}` throughout. Tried: gates by OpenSTA, too. The version that Debian has takes "
        "rates at driven pins only, keeps those of the window before, and ends with a protection fault on `small`; and "
        "all nets of a part as often as its registers: 0.599 mJ for METER on `small`, of the array .1388, too little: "
        "most of its registers are weights that stand still."
    )
    return f"## Energy of a frame\n{text}\n\n" + "\n\n".join(filter(None, parts))


def _like(report: EnergyReport) -> str:
    """Where the windows are another chip's."""
    if report.like == report.config:
        return ""
    return (
        f"Windows are of the same photo on `{report.like}`: registers of `{report.config}` change as often as those of "
        "the same name there in the same kind of layer; what each kind stands for are the cycles here. "
    )


def _energy_table(report: EnergyReport) -> str:
    parts = sorted((part for part in report.parts if part.mj), key=lambda p: -p.mj)
    rows = [
        [
            part.name,
            *(f"{rate:.3f}: {pj:.1f}" for rate, pj in zip(part.rates, part.pj, strict=True)),
            f"{part.mj:.4f}",
            f"{part.mj / report.mj:.1%}",
        ]
        for part in parts
    ]
    rows += [
        [name, *[""] * len(report.windows), f"{mj:.4f}", f"{mj / report.mj:.1%}"]
        for name, mj in report.memories.items()
    ]
    kinds = [f"{w.kind}: changes a cycle, pJ a cycle" for w in report.windows]
    shown = [[w.kind, f"`{w.layer}`", f"{w.begin:,}", f"{w.end - w.begin:,}", f"{w.cycles / report.cycles:.1%}"]
             for w in report.windows]  # fmt: skip
    head = (
        f"### `{report.config}`, {report.library}: {report.mj:.3f} mJ a frame, {report.gmac_j:.0f} GMAC/J "
        f"({report.chip_gmac_j:.0f} without DRAM)\n\n{report.network}: {report.macs / 1e9:.2f} GMAC in "
        f"{report.cycles:,} cycles. {_like(report)}RTL knows {report.registers:.1%} of the registers by name; others "
        "have the mean of "
        "their part."
    )
    spans = table(["kind of layer", "window in", "from cycle", "cycles", "stands for"], shown)
    return f"{head}\n\n{spans}\n\n{table(['part', *kinds, 'mJ a frame', 'share'], rows)}"


def published_gmac_j(config: str, text: str) -> float | None:
    """What docs/results.md says of a chip's energy: GMAC a joule without DRAM, as the paper's figure is of the chip."""
    found = re.search(rf"^### `{config}`, .* GMAC/J \((\d+) without DRAM\)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def price_section(library: Sequence[Path], progress: Progress) -> str:
    """Area and energy beside the paper's; energy as it was published last. Raises TriptychError without a library."""
    if not library:
        raise TriptychError("the section price is of a cell library: name its files with --library")
    mm2: dict[str, float] = {}
    report = measure_area(chip_config("paper"), library, progress)
    if report.node is not None:
        whole = (report.top.total + report.top.memory_area) / 1e6
        mm2[f"`paper`, cells and memories as measured ({report.library}, {report.node} nm)"] = whole
        mm2["`paper`, scaled to 28 nm by the square of the node"] = whole * (28 / report.node) ** 2
        mm2["`paper`, of which cells alone"] = report.top.total / 1e6 * (28 / report.node) ** 2
    published = RESULTS.read_text()
    gmac_j = {name: published_gmac_j(name, published) for name in ("paper", "small")}
    return price_rows(mm2, {name: found for name, found in gmac_j.items() if found is not None})
