"""`triptych results depth`: networks on their chips, and the pictures of README.md."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from triptych.golden.files import write
from triptych.golden.photo import LOOKED_AT, shipped_photo
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo import shipped
from triptych.sim.bench.ledger import PICTURES, Label, machine, table
from triptych.sim.depth.run import DepthResult, Options, Progress, file_terms, prepare, run_photo
from triptych.sim.view.chip_page import chip_page
from triptych.sim.view.pictures import save_image
from triptych.sim.view.plot import pictures_of, plot
from triptych.sim.view.runfile import load_chip
from triptych.sim.view.runs import ChipRun

PHOTO = LOOKED_AT[0]
SHOWN = ("layers", "gantt", "roofline")
"""Figures of the report in README.md."""


DEPTH_HISTORY = """\
Before the chip was made ready for silicon the same programs took 2,003,296 and 1,391,979 cycles: 4 and 18 fewer. A read
of a word that is being written waits now, as memory macros want it: the VPU waits for the scratchpad as many cycles
more; every other change costs none. Simulation takes 9.6 % (w4a8) and 8.7 % (w4a4) more of a core than then (medians of
5 alternating runs); of that 2 % is the protocol checker at the memory port."""


@dataclass(frozen=True)
class DepthRow:
    """A network on a chip: what a photo's run gave."""

    network: str
    result: DepthResult
    run: ChipRun


def depth_rows(out: Path, progress: Progress) -> str:
    """ViT-S + DPT as it is shipped on `paper`, with the pictures of the photos that are looked at, and METER on `small`
    in both widths."""
    terms = file_terms(shipped.VIT)
    options = Options(chip_config(terms.chip), terms.widths, size=terms.size, out=out / "vit", model=shipped.VIT)
    prepared = prepare(options, progress)
    looked_at = [run_photo(shipped_photo(name), prepared, options, progress) for name in LOOKED_AT]
    found = [_depth_row("ViT-S + DPT", looked_at[0])]
    for bits in (Widths.W4A8, Widths.W4A4):
        options = Options(chip_config("small"), bits, out=out / bits.value)
        found.append(
            _depth_row("METER-XXS", run_photo(shipped_photo(PHOTO), prepare(options, progress), options, progress))
        )
    rows = []
    for row in found:
        r, run = row.result, row.run
        assert r.cycles is not None
        ms = r.cycles / (run.chip.clock_mhz * 1e3)
        rows.append([
            row.network, run.chip.name, str(run.network.widths), f"{r.macs / 1e6:,.0f}", f"{r.cycles:,}",
            f"{r.macs / r.cycles:,.0f}", f"{ms:.2f}", f"{run.utilization:.1%}", str(r.bit_exact).lower(),
            f"{r.sim_seconds:.1f}", f"{r.sim_cycles_per_second:,}", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    header = ["network", "chip", "bits", "MMAC", "cycles", "MAC/cycle", "ms at 1 GHz", "MXU utilization", "bit-exact"]
    header += ["simulation, s of a core", "cycles/s", "label"]
    parts = [
        "## Depth networks on their chips",
        "ViT-S + DPT at 196x252 as it is shipped, METER-XXS at 192x256, ranges measured; memory 19.2 bytes a cycle, "
        f"latency 40; photo `{PHOTO}`; {machine()}. By `triptych results depth`.",
        "",
        table(header, rows),
    ]
    for row in found:
        run = row.run
        classes = [[e, *(f"{k} {v / run.cycles:.1%}" for k, v in c.items())] for e, c in run.counters.items()]
        width = max(len(c) for c in classes)
        body = [c + [""] * (width - len(c)) for c in classes]
        title = f"{row.network}, {run.network.widths}"
        parts += ["", f"Where the engines' cycles went, {title} (each row sums to the total exactly):", ""]
        parts.append(table(["engine", *["class"] * (width - 1)], body))
    small = found[1].run
    depthwise = [la for la in small.layers if la.mode == "depthwise"]
    share = sum(la.cycles for la in depthwise) / small.cycles
    used = sum(la.ideal_cycles for la in depthwise) / sum(la.cycles for la in depthwise)
    parts += [
        "",
        f"METER's depthwise layers take {share:.1%} of its W4A8 cycles and use {used:.1%} of the array: three words",
        "are read for an output pixel of D channels (six at stride 2), and nine of a column's D lanes have a tap. As",
        "dense convolutions they would use 1/D of it.",
    ]
    parts += ["", DEPTH_HISTORY]
    PICTURES.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(looked_at[0].output, PICTURES / "demo.png")
    strip([Path(r.output) for r in looked_at], PICTURES / "photos.png")
    report_pictures(found[0].run)
    return "\n".join(parts)


def _depth_row(network: str, result: DepthResult) -> DepthRow:
    assert result.run is not None
    return DepthRow(network, result, load_chip(Path(result.run)))


def strip(pictures: Sequence[Path], to: Path, columns: int = 2) -> None:
    """Panels of several photos as one picture, in columns of the widest."""
    panels = [Image.open(p) for p in pictures]
    width, height = max(p.width for p in panels) + 12, max(p.height for p in panels) + 6
    rows = -(-len(panels) // columns)
    whole = Image.new("RGB", (columns * width - 12, rows * height - 6), "white")
    for i, panel in enumerate(panels):
        whole.paste(panel, (i % columns * width, i // columns * height))
    save_image(whole, to)


def report_pictures(run: ChipRun) -> None:
    """The figures of the report that README.md shows, of one run."""
    for figure in chip_page(run, Path(), []).figures:
        if figure.name in SHOWN:
            drawn = pictures_of(plot(figure), PICTURES / f"report_{figure.name}")
            write(PICTURES / f"report_{figure.name}.png", drawn[PICTURES / f"report_{figure.name}.png"])
