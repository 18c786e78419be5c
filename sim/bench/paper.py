"""Table "paper and ours": encoder + DPT at the paper's sizes by the compiler's clock, beside what the paper states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler import estimate as clock
from triptych.golden.quartdepth.compiler.compile import CompileError, compile_network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo.depth_anything import Size
from triptych.sim.bench.ledger import Label, table
from triptych.sim.build import cache
from triptych.sim.build.sources import ROOT
from triptych.sim.model.shapes import depth_vit

LATENCIES = (40, 100, 200)


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


@dataclass(frozen=True)
class Ours:
    """side: of our image, a multiple of 14. cycles: at each latency. kib: scratchpad, more than `paper` has where
    the program does not fit, for which `error` is the reason."""

    row: Cited
    side: int
    gmac: float
    cycles: list[int]
    error: str
    kib: int


def points(progress: Callable[[str, int, int], None]) -> list[Ours]:
    """Our network of each of the paper's rows."""
    code = sorted((ROOT / "golden" / "quartdepth").rglob("*.py"))
    found = []
    for number, row in enumerate(PAPER):
        side = round(row.pixels / 14) * 14
        progress(f"ViT-{row.backbone.value} at {side}", number, len(PAPER))

        def make(row: Cited = row, side: int = side) -> dict[str, Any]:
            network = depth_vit(row.backbone.backbone, row.backbone.head, (side, side), Widths.W4A4)
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
            return {"gmac": network.macs / 1e9, "cycles": each, "error": error, "kib": chip.spad_bytes // 1024}

        key = cache.fingerprint(code, row.backbone.value, side, LATENCIES)
        kept = cache.value("paper-table", f"{row.backbone.value}-{side}-{key}", make)
        found.append(Ours(row, side, float(kept["gmac"]), [int(c) for c in kept["cycles"]], str(kept["error"]),
                          int(kept["kib"])))  # fmt: skip
    return found


def paper_rows(progress: Callable[[str, int, int], None], mm2: dict[str, float], gmac_j: float | None = None) -> str:
    """The table. mm2: the `paper` chip as measured and scaled, by what it says; gmac_j: from `triptych energy`."""
    rows = []
    for ours in points(progress):
        row, letter = ours.row, ours.row.backbone.value[0].upper()
        ms = [c / 1e6 for c in ours.cycles]
        rate = ours.gmac / ms[0] * 1e3
        size = f"{ours.side}x{ours.side}" + (f", scratchpad of {ours.kib // 1024} MiB" if ours.error else "")
        rows.append([
            f"ViT-{letter} + DPT, {size}", f"{ours.gmac:.1f}", f"{ms[0]:.1f}",
            f"{ms[1]:.1f} / {ms[2]:.1f}", f"{rate:,.0f}", Label.ESTIMATED.value,
            f"Metric3D ViT-{letter}, {row.pixels}", f"{row.gmac:.1f}", f"{row.ms:.1f}", f"{1e3 / row.ms:.1f}",
            f"{row.gmac / row.ms * 1e3:,.0f}", f"{rate / (row.gmac / row.ms * 1e3):.2f}x",
        ])  # fmt: skip
    header = ["ours", "GMAC", "ms", "ms at latency 100 / 200", "GMAC/s", "label", "the paper's (cited)", "GMAC",
              "ms", "FPS", "GMAC/s", "GMAC/s, ours over the paper's"]  # fmt: skip
    text = (
        "`paper` against the paper (2503.16709): both 2,048 W4A4 MAC a cycle, 1 GHz, 19.2 GB/s. Ours: DINOv2 encoder "
        "and the DPT head of Depth Anything V2, uniform 4-bit codes, 8-bit keys and values, latency 40, by the "
        "compiler's clock, which RTL at 252 checks (section of the compiler's clock). The paper's: Metric3D v2 with "
        "its own head, from its emulator, no RTL; its GMAC are inferred. The networks are not the same, so frames a "
        "second are not compared; GMAC a second are. Where keys and values of all tokens do not fit into the 1 MiB of "
        "`paper`, the row says with how much they do: the compiler keeps them on the chip."
    )
    area = "; ".join(f"{what} {value:.2f} mm²" for what, value in mm2.items())
    power = "not estimated yet" if gmac_j is None else f"{gmac_j:.0f} GMAC/J (`estimated`)"
    tail = (
        f"Area: ours {area or 'by `triptych area --config paper --library ...`'}; the paper's {PAPER_MM2} mm² at 28 nm "
        f"(W4A4, cited). Energy: ours {power}; the paper's best {PAPER_GMAC_J} GMAC/J (cited)."
    )
    return f"## Paper and ours\n{text}\n\n{table(header, rows)}\n\n{tail}"
