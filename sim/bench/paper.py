"""Table "paper and ours": encoder + DPT at the paper's sizes by the compiler's clock, beside what the paper states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from triptych.golden.quartdepth.chip.config import SPAD_BYTES, chip_config
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler import estimate as clock
from triptych.golden.quartdepth.compiler.compile import Compiled, CompileError, compile_network, split
from triptych.golden.quartdepth.compiler.schedule import MAX_TOKENS
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

LATENCIES = (clock.Memory().latency, 100, 200)

TOO_LARGE = """\
Attention keeps a head's keys and values on the chip, and two blocks of scores."""

HISTORY = """\
With queries of eight bits and a byte for each key the clock said for ViT-S at 518 43,189,217 cycles (57.6 GMAC, 1,334
GMAC/s), at 1022 359,521,684 (418.7 GMAC, 1,165 GMAC/s, 1.24 times the paper's), this with a scratchpad of 2 MiB: a
head's keys and values took 682,240 bytes, and 629,760 were free beside two blocks of 32 queries' scores. With keys two
a byte they take 511,680, which fits into 1 MiB. ViT-S at 1022 was refused then, for its program has more than 65,535
instructions of an engine however long they are.
The head is what needs so many, not attention: of one block and the head 60,239 VECTORs and 52,805 LOADs are those of
the last doubling, from 584 to 1022 columns: hardly two columns have the same factors, and each has microwords of its
own. By one and two blocks cycles were 1.85 % fewer than by all twelve, ViT-S at 518 on 32 whole lanes."""


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

SHORT = (1, 2)
"""Blocks of the two encoders by which a deep one's cycles are extrapolated: all of its blocks are alike. The head
reads the last one as often as it would read others."""

HEADLESS_GMAC = 1000.0
"""Of the paper's networks from which on what a block takes is found on encoders without the head, whose program takes
minutes to compile."""

WHOLE_GMAC = 50.0
"""Of the paper's networks, as it states them, the largest for which ours is compiled with all blocks."""


@dataclass(frozen=True)
class Ours:
    """side: of our image, a multiple of 14. cycles: at each latency, by the compiler's clock. kib: scratchpad, more
    than `paper` has where the program does not fit, for which `error` is the reason. rtl: cycles of RTL at the first
    latency, 0: not run. programs: that run one after the other; of the longer of two shorter encoders for a deep one.
    short: what the clock says by the two shorter encoders; cycles are these for a deep one."""

    row: Cited
    side: int
    gmac: float
    cycles: list[int]
    error: str
    kib: int
    rtl: int
    programs: int
    short: list[int]


@dataclass(frozen=True)
class Clocked:
    """A network on `paper`, or on one with a scratchpad that it fits into. Cycles at each latency."""

    gmac: float
    cycles: list[int]
    error: str
    kib: int
    rtl: int
    programs: int


def _code() -> list[Path]:
    """What cycles depend on: everything between a network's shape and its program."""
    root = ROOT / "golden" / "quartdepth"
    parts = [root / part for part in ("arithmetic", "chip", "compiler", "network", "zoo")]
    found = [path for part in parts for path in part.rglob("*.py")]
    return sorted([*found, root / "ptq" / "levels.py", ROOT / "sim" / "model" / "shapes.py"])


def clocked(size: Size, side: int, blocks: int, on_rtl: bool, head: bool = True) -> Clocked:
    """The encoder with so many of its blocks, and the head unless it is left out, from the cache where nothing changed.
    Raises CompileError, TriptychError."""
    code = _code()
    whole = size.backbone
    last = blocks - 1
    taps = whole.taps if blocks == whole.depth else (last, last, last, last)
    files = [*code, *sources()] if on_rtl else code
    key = cache.fingerprint(files, size.value, side, blocks, LATENCIES, chip_config("paper"), *() if head else (False,))

    def make() -> Clocked:
        backbone = replace(whole, depth=blocks, taps=taps)
        network = depth_vit(backbone, size.head, (side, side), Widths.W4A4, coded=True)
        if not head:
            network = encoder(network, blocks)
        chip, error = chip_config("paper"), ""
        while True:
            try:
                compiled = compile_network(network, chip, None if on_rtl else MAX_TOKENS)
                break
            except CompileError as reason:
                if chip.spad_bytes == SPAD_BYTES:
                    raise
                error = error or str(reason)
                chip = replace(chip, spad_words=2 * chip.spad_words)
        programs, each = split(compiled.listing, compiled.programs), [compiled.cycles]
        for memory in map(clock.Memory, LATENCIES[1:]):
            each.append(sum(clock.estimate(program, compiled.config, memory).cycles for program in programs))
        rtl = _on_rtl(compiled, network) if on_rtl else 0
        return Clocked(network.macs / 1e9, each, error, chip.spad_bytes // 1024, rtl, len(programs))

    found: Clocked = cache.value("paper-table", f"{size.value}-{side}-{blocks}-{key}", make)
    return found


def encoder(network: Network, blocks: int) -> Network:
    """The first layers of a depth network, to the end of its encoder's last block."""
    output = [layer.name for layer in network.layers if layer.name.startswith(f"pretrained.blocks.{blocks - 1}.")][-1]
    needed = {output}
    layers = []
    for layer in reversed(network.layers):
        if layer.name in needed:
            needed.update(layer.sources)
            layers.append(layer)
    maps = {name: held for name, held in network.maps.items() if name in needed}
    return replace(network, output=output, further={}, layers=layers[::-1], maps=maps)


def extrapolated(whole: Clocked, few: Clocked, more: Clocked, blocks: int) -> Clocked:
    """A network of so many blocks by a whole one that has SHORT[0] of them: each block more takes what `more` has over
    `few`, which have SHORT blocks."""
    times = (blocks - SHORT[0]) / (SHORT[1] - SHORT[0])

    def at(begin: float, a: float, b: float) -> float:
        return begin + (b - a) * times

    cycles = [round(at(*each)) for each in zip(whole.cycles, few.cycles, more.cycles, strict=True)]
    gmac = at(whole.gmac, few.gmac, more.gmac)
    return Clocked(gmac, cycles, more.error, max(whole.kib, more.kib), 0, max(whole.programs, more.programs))


def points(progress: Callable[[str, int, int], None]) -> list[Ours]:
    """Our network of each of the paper's rows."""
    found = []
    for number, row in enumerate(PAPER):
        side = round(row.pixels / 14) * 14
        blocks, name = row.backbone.backbone.depth, f"ViT-{row.backbone.value} at {side}"
        whole, short = row.gmac <= WHOLE_GMAC, None
        if not whole or row.backbone is Size.SMALL:
            progress(f"{name}, {SHORT[0]} blocks", number, len(PAPER))
            begin = clocked(row.backbone, side, SHORT[0], False)
            with_head = row.gmac < HEADLESS_GMAC
            parts = []
            for few in SHORT:
                progress(f"{name}, {few} blocks" + ("" if with_head else " alone"), number, len(PAPER))
                parts.append(clocked(row.backbone, side, few, False, with_head))
            short = extrapolated(begin, parts[0], parts[1], blocks)
        if whole:
            progress(name, number, len(PAPER))
            ours = clocked(row.backbone, side, blocks, side == CHECKED)
        else:
            assert short is not None
            ours = short
        found.append(Ours(row, side, ours.gmac, ours.cycles, ours.error, ours.kib, ours.rtl, ours.programs,
                          short.cycles if short is not None else []))  # fmt: skip
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


def paper_rows(progress: Callable[[str, int, int], None]) -> str:
    """The table."""
    rows, found = [], points(progress)
    for ours in found:
        row, letter = ours.row, ours.row.backbone.value[0].upper()
        cited = [f"Metric3D ViT-{letter}, {row.pixels}", f"{row.gmac:.1f}", f"{row.ms:.1f}", f"{1e3 / row.ms:.1f}",
                 f"{row.gmac / row.ms * 1e3:,.0f}"]  # fmt: skip
        ms = [c / 1e6 for c in ours.cycles]
        rate = ours.gmac / ms[0] * 1e3
        size = f"{ours.side}x{ours.side}" + (f", scratchpad of {ours.kib // 1024} MiB" if ours.error else "")
        size += f", {ours.programs} programs" if ours.programs > 1 else ""
        checked = f"{ours.rtl:,} ({ours.cycles[0] / ours.rtl - 1:+.2%})" if ours.rtl else ""
        if ours.short:
            short = ours.short[0] / ours.cycles[0] - 1
            blocks = "yes" if ours.short == ours.cycles else f"{short:+.2%}"
        else:
            blocks = ""
        rows.append([
            f"ViT-{letter} + DPT, {size}", f"{ours.gmac:,.1f}", f"{ms[0]:,.1f}", f"{1e3 / ms[0]:.1f}",
            f"{ms[1]:,.1f} / {ms[2]:,.1f}", f"{rate:,.0f}", f"{rate / 2048:.1%}", checked, blocks,
            Label.ESTIMATED.value, *cited, f"{rate / (row.gmac / row.ms * 1e3):.2f}x",
        ])  # fmt: skip
    header = ["ours", "GMAC", "ms", "FPS", "ms at latency 100 / 200", "GMAC/s", "of the peak",
              "cycles on RTL (clock against them)", f"by {SHORT[0]} and {SHORT[1]} blocks", "label",
              "the paper's (cited)", "GMAC", "ms", "FPS", "GMAC/s", "GMAC/s, ours over the paper's"]  # fmt: skip
    text = (
        "`paper` against the paper (2503.16709): both 2,048 W4A4 MAC a cycle, 1 GHz, 19.2 GB/s. Ours: DINOv2 encoder "
        "and the DPT head of Depth Anything V2, uniform 4-bit codes, queries, keys and values of four bits, random "
        "weights, latency 40, by the compiler's clock, which RTL checks at 252. The paper's: Metric3D v2 with "
        "its own head, from its emulator, no RTL; its GMAC are inferred. The networks are not the same, so frames a "
        "second are not compared; GMAC a second are. Programs of more than "
        f"{WHOLE_GMAC:.0f} GMAC by the paper's count are not compiled whole: cycles of encoders of {SHORT[0]} and "
        f"{SHORT[1]} blocks are extrapolated to all (`yes`); where both are there, the column has the difference. From "
        f"{HEADLESS_GMAC:,.0f} GMAC on the second block's are by encoders without the head. "
        f"An engine's tokens count {MAX_TOKENS:,} instructions: longer programs are cut into several, each of which "
        "begins when the one before has ended (of extrapolated ones: as many as the two blocks take)."
    )
    reasons = [
        f"ViT-{ours.row.backbone.value[0].upper()} at {ours.side} does not fit into the 1 MiB of `paper`: {ours.error}."
        for ours in found if ours.error
    ]  # fmt: skip
    if reasons:
        text += "\n\n" + " ".join(reasons) + " " + TOO_LARGE
    return f"## Paper and ours\n{text}\n\n{table(header, rows)}\n\n{HISTORY}"


def price_rows(mm2: dict[str, float], gmac_j: dict[str, float]) -> str:
    """Area and energy. mm2: the `paper` chip as measured and scaled, by what it says; gmac_j: of chips whose energy was
    estimated, without DRAM."""
    area, power = Label.YOSYS_MAPPED.value, Label.ESTIMATED.value
    rows = [[f"area: {what}", f"{value:.2f} mm²", area] for what, value in mm2.items()]
    rows.append(["area: the paper's, W4A4, 28 nm", f"{PAPER_MM2} mm²", Label.CITED.value])
    rows += [[f"energy without DRAM: `{name}`", f"{found:.0f} GMAC/J", power] for name, found in gmac_j.items()]
    rows.append(["energy: the paper's best", f"{PAPER_GMAC_J} GMAC/J", Label.CITED.value])
    text = (
        "What the table before this one has no column for. Areas by *Area* (memories are modelled: `estimated`), "
        "energy by *Energy of a frame*."
    )
    return f"## Paper and ours: area and energy\n{text}\n\n{table(['what', 'figure', 'label'], rows)}"
