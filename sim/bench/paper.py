"""Table "paper and ours": encoder + DPT at the paper's sizes by the compiler's clock, beside what the paper states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler import estimate as clock
from triptych.golden.quartdepth.compiler.compile import Compiled, CompileError, compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors import single
from triptych.golden.quartdepth.zoo.depth_anything import Size
from triptych.sim.bench.ledger import Label, table
from triptych.sim.build import cache
from triptych.sim.build.sources import ROOT, sources
from triptych.sim.errors import TriptychError
from triptych.sim.model.shapes import depth_vit
from triptych.sim.rtl.run import run_program

LATENCIES = (40, 100, 200)

TOO_LARGE = """\
Attention keeps a head's keys and values on the chip, and two blocks of scores."""

HISTORY = """\
With queries of eight bits and a byte for each key the clock says for ViT-S at 518 43,189,217 cycles (57.6 GMAC, 1,334
GMAC/s), at 1022 359,521,684 (418.7 GMAC, 1,165 GMAC/s, 1.24 times the paper's), this with a scratchpad of 2 MiB: a
head's keys and values take 682,240 bytes, and 629,760 were free beside two blocks of 32 queries' scores. Blocks of 16
queries would fit and leave the array waiting for weights: 16 steps for a tile of 32 words. With keys two a byte they
take 511,680; that was not compiled."""


@dataclass(frozen=True)
class Cited:
    """A row of the paper's: W4A4, 28 nm, 1 GHz, 19.2 GB/s, from an emulator. gmac: of its network, inferred."""

    backbone: Size
    pixels: int
    ms: float
    gmac: float


PAPER = (
    Cited(Size.SMALL, 256, 38.3, 21.8), Cited(Size.SMALL, 512, 133.4, 98.6), Cited(Size.SMALL, 1024, 616.7, 580.0),
    Cited(Size.LARGE, 256, 167.9, 233.0), Cited(Size.LARGE, 512, 568.5, 988.0), Cited(Size.LARGE, 1024, 2725.0, 4939.0),
)  # fmt: skip
PAPER_MM2, PAPER_GMAC_J = 24.35, 640.6


CHECKED = 252
"""Pixels of the side at which RTL runs ViT-S, too."""

MOST_GMAC = 100.0
"""Of the paper's networks, as it states them, the largest for which ours is compiled; others keep a row."""


@dataclass(frozen=True)
class Ours:
    """side: of our image, a multiple of 14. cycles: at each latency, by the compiler's clock. kib: scratchpad, more
    than `paper` has where the program does not fit, for which `error` is the reason. rtl: cycles of RTL at the first
    latency, 0: not run."""

    row: Cited
    side: int
    gmac: float
    cycles: list[int]
    error: str
    kib: int
    rtl: int


def points(progress: Callable[[str, int, int], None]) -> list[Ours]:
    """Our network of each of the paper's rows."""
    code = sorted((ROOT / "golden" / "quartdepth").rglob("*.py"))
    found = []
    for number, row in enumerate(PAPER):
        side = round(row.pixels / 14) * 14
        checked = side == CHECKED and row.backbone is Size.SMALL
        if row.gmac > MOST_GMAC:
            found.append(Ours(row, side, 0.0, [], "", 0, 0))
            continue
        progress(f"ViT-{row.backbone.value} at {side}", number, len(PAPER))

        def make(row: Cited = row, side: int = side, checked: bool = checked) -> dict[str, Any]:
            size = (side, side)
            network = depth_vit(row.backbone.backbone, row.backbone.head, size, Widths.W4A4, coded=True)
            chip, error = chip_config("paper"), ""
            while True:
                try:
                    compiled = compile_network(network, chip)
                    break
                except CompileError as reason:
                    error = error or str(reason)
                    chip = replace(chip, spad_words=2 * chip.spad_words)
            memories = [clock.Memory(latency=cycles) for cycles in LATENCIES]
            each = [clock.estimate(compiled.listing, compiled.config, m).cycles for m in memories]
            rtl = _on_rtl(compiled, network) if checked else 0
            kib = chip.spad_bytes // 1024
            return {"gmac": network.macs / 1e9, "cycles": each, "error": error, "kib": kib, "rtl": rtl}

        key = cache.fingerprint([*code, *sources()] if checked else code, row.backbone.value, side, LATENCIES)
        kept = cache.value("paper-table", f"{row.backbone.value}-{side}-{key}", make)
        found.append(Ours(row, side, float(kept["gmac"]), [int(c) for c in kept["cycles"]], str(kept["error"]),
                          int(kept["kib"]), int(kept["rtl"])))  # fmt: skip
    return found


def _on_rtl(compiled: Compiled, network: Network) -> int:
    """Cycles of the program on RTL, whose result must be the integer network's. Raises TriptychError."""
    codes = single.random_codes(network, 1)
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    run = run_program(compiled.config, image, compiled.prog_base, len(compiled.instructions), watchdog=1 << 31)
    if run.trap is not Trap.NONE:
        raise TriptychError(f"the chip trapped: {run.trap.name} at instruction {run.trap_pc}")
    if not np.array_equal(compiled.read_output(run.memory), network.run_integer(codes)):
        raise TriptychError("the chip's result is wrong; its cycles say nothing")
    return run.cycles


def paper_rows(progress: Callable[[str, int, int], None], mm2: dict[str, float], gmac_j: float | None = None) -> str:
    """The table. mm2: the `paper` chip as measured and scaled, by what it says; gmac_j: from `triptych energy`."""
    rows, found = [], points(progress)
    for ours in found:
        row, letter = ours.row, ours.row.backbone.value[0].upper()
        cited = [f"Metric3D ViT-{letter}, {row.pixels}", f"{row.gmac:.1f}", f"{row.ms:.1f}", f"{1e3 / row.ms:.1f}",
                 f"{row.gmac / row.ms * 1e3:,.0f}"]  # fmt: skip
        if not ours.cycles:
            name = f"ViT-{letter} + DPT, {ours.side}x{ours.side}: not compiled"
            rows.append([name, *[""] * 6, *cited, ""])
            continue
        ms = [c / 1e6 for c in ours.cycles]
        rate = ours.gmac / ms[0] * 1e3
        size = f"{ours.side}x{ours.side}" + (f", scratchpad of {ours.kib // 1024} MiB" if ours.error else "")
        checked = f"{ours.rtl:,} ({ours.cycles[0] / ours.rtl - 1:+.2%})" if ours.rtl else ""
        rows.append([
            f"ViT-{letter} + DPT, {size}", f"{ours.gmac:.1f}", f"{ms[0]:.1f}",
            f"{ms[1]:.1f} / {ms[2]:.1f}", f"{rate:,.0f}", checked, Label.ESTIMATED.value,
            *cited, f"{rate / (row.gmac / row.ms * 1e3):.2f}x",
        ])  # fmt: skip
    header = ["ours", "GMAC", "ms", "ms at latency 100 / 200", "GMAC/s", "cycles on RTL (clock against them)",
              "label", "the paper's (cited)", "GMAC", "ms", "FPS", "GMAC/s",
              "GMAC/s, ours over the paper's"]  # fmt: skip
    text = (
        "`paper` against the paper (2503.16709): both 2,048 W4A4 MAC a cycle, 1 GHz, 19.2 GB/s. Ours: DINOv2 encoder "
        "and the DPT head of Depth Anything V2, uniform 4-bit codes, queries, keys and values of four bits, random "
        "weights, latency 40, by the compiler's clock, which RTL checks at 252. The paper's: Metric3D v2 with "
        "its own head, from its emulator, no RTL; its GMAC are inferred. The networks are not the same, so frames a "
        "second are not compared; GMAC a second are."
    )
    reasons = [
        f"ViT-{ours.row.backbone.value[0].upper()} at {ours.side} does not fit into the 1 MiB of `paper`: {ours.error}."
        for ours in found if ours.error
    ]  # fmt: skip
    if reasons:
        text += "\n\n" + " ".join(reasons) + " " + TOO_LARGE
    area = "; ".join(f"{what} {value:.2f} mm²" for what, value in mm2.items())
    power = "not estimated yet" if gmac_j is None else f"{gmac_j:.0f} GMAC/J (`estimated`)"
    tail = (
        f"Area: ours {area or 'by `triptych area --config paper --library ...`'}; the paper's {PAPER_MM2} mm² at 28 nm "
        f"(W4A4, cited). Energy: ours {power}; the paper's best {PAPER_GMAC_J} GMAC/J (cited)."
    )
    return f"## Paper and ours\n{text}\n\n{table(header, rows)}\n\n{HISTORY}\n\n{tail}"
