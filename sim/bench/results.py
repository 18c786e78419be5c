"""`triptych results`: measures QuartDepth and writes its rows of `docs/results.md` and the pictures of the README."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triptych.golden.quartdepth.arithmetic.functions import worst_errors
from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.golden.quartdepth.chip.isa import Format, Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.bench import cost
from triptych.sim.bench.badges import write_badges
from triptych.sim.bench.cost_model import cost_model_rows
from triptych.sim.bench.depth_rows import depth_rows
from triptych.sim.bench.ledger import PICTURES, Label, machine, replace_section, table
from triptych.sim.bench.load_rate import load_rows
from triptych.sim.bench.paper import paper_rows
from triptych.sim.bench.sweep import sweep_rows
from triptych.sim.bench.vit_layers import vit_layers_rows
from triptych.sim.depth.run import Progress
from triptych.sim.errors import TriptychError
from triptych.sim.model.area import measure_area, plot_area
from triptych.sim.model.liberty import read_library
from triptych.sim.model.process import SRAM_BIT, TWO_PORTS
from triptych.sim.rtl.run import chip_build, run_program
from triptych.sim.view.plot import save_figure

BADGES = "badges"
"""Of no section of its own: they are drawn from all of them, after each."""

SPEED_LIMITS = """\
What limits it, in host instructions a chip cycle at full W4A4 activity (callgrind): first 17,200; nibbles summed
apart in the array, one shift a column, 15,300; inputs registered on the board, so that nothing is evaluated twice,
13,700; tables, tail mask, row function and register names that cost nothing when idle, 12,300; FIFOs without a
counter, 12,100. Of these the array's columns are 3,300, the rest is control that is evaluated whether it moves or
not. The profile-guided build runs 1.3 times as fast. No gain: `-O2`, g++'s memset strategy, nibbles masked instead
of shifted (not vectorised). On a shared host the same executable varies by a quarter and more between runs."""


def speed_rows(progress: Progress) -> str:
    """Simulation speed of the whole `paper` chip with the array busy."""
    config = chip_config("paper")
    progress("building the paper chip (once)", 0, 0)
    chip_build(config, tuned=True).executable()
    rows = []
    for source, mode, rate in ((Format.UINT4, "W4A4", config.macs_w4a4), (Format.INT8, "W4A8", config.macs_w4a8)):
        network = single.conv2d((32, 32, 512), 256, (3, 3), source=source, output=source, seed=1)
        compiled = compile_network(network, config)
        image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
        progress(f"paper chip, {mode}", 0, 0)
        count = len(compiled.instructions)
        runs = [run_program(config, image, compiled.prog_base, count, tuned=True) for _ in range(9)]
        if any(r.trap is not Trap.NONE for r in runs):
            raise TriptychError(f"the paper chip trapped: {runs[0].trap.name}")
        times = sorted(r.seconds for r in runs)
        seconds = times[len(times) // 2]
        cycles = runs[0].cycles
        rows.append([
            mode, f"{network.macs / 1e9:.2f}", f"{cycles:,}", f"{network.macs / rate / cycles:.1%}",
            f"{cycles / seconds / 1e3:.0f}", f"{network.macs / seconds / 1e9:.2f}",
            f"{network.macs / times[0] / 1e9:.2f}", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    header = ["mode", "GMAC", "cycles", "MXU utilization", "kcycles/s", "GMAC/s simulated", "fastest run", "label"]
    text = f"A 3x3 convolution, 512 to 256 channels, 32x32; profile-guided build, median of 9 runs; {machine()}."
    return f"## Simulation speed of the `paper` chip\n{text}\n\n{table(header, rows)}\n\n{SPEED_LIMITS}"


def function_rows() -> str:
    """Worst errors of the functions over all their inputs."""
    rows = [[str(getattr(f, "name", f)), f"{e:.3f}"] for f, e in worst_errors().items()]
    text = (
        "Against float64, in units of the last place: EXP2N and GELU over all 16-bit inputs, RECIP and RSQRT over all"
    )
    tail = "inputs below 2^16 and 2^20 larger ones. Measured on the golden model, which the RTL equals."
    return f"## Functions\n{text}\n{tail}\n\n{table(['function', 'worst error'], rows)}"


AREA_HISTORY = """\
The table before this one (`small` alone, 707,335 µm²) was wrong in three ways. 6,654 µm² were missing: Yosys had
resolved the drivers of the vector engine's parameter buffers to x and dropped 1,024 flip-flops (of `paper`, which did
not synthesise at all, 4,096 and 26,528 µm²). The program store's 16,384 bits were flip-flops; they are a memory now.
Memories had no area. Now the run ends at a driver conflict, a latch, a net without a driver or a loop.

Row scalars were flip-flops with three reads of 256:1 (of `paper` 96,871 µm²; now 1,949 and 8 kbit of memory), so were
the four queues in front of the engines (71,104; 15,539 and 7 kbit) and what was fetched (19,484; 923 and 2 kbit). The
vector engine may have fewer lanes than the array has columns: with 16 lanes, into which an accumulator row leaves in
two parts, that of `paper` is 330,263 (before, with 32 and the flip-flops: 701,736), and the chip some 30 % smaller
than the 1,475,919 of before. But half the lanes are not free: a ViT-S + DPT with uniform codes takes 5,064,083 cycles
with 32 lanes, 5,504,039 with 16 and 6,676,953 with 8 by the compiler's clock of that day, 5,507,393 with 16 on RTL,
for softmax and LayerNorms wait for them. So `paper` keeps 32. With 16 the engine is still 32 % of the logic: a lane
is 16,000, of which the multiplier takes 3,774, the second one 2,188, the function 2,894, the clamp 1,294, the encoder
941, two shifts 1,376, registers 2,870.

Lanes split by what they do (requantisers, a few functions, cheap exponentials) were worked out and left. With 16 lanes
the frame of ViT-S + DPT (queries of eight bits still) takes 4,800,306 cycles by the compiler's clock (1,594 MAC a
cycle), with 32 lanes 4,210,712 (1,818). What is lost: 212,291 in attention, 208,208 around LayerNorms, 159,278 in the
head's convolutions, which wait for doublings, 9,767 in its other layers. Given back with 16 lanes otherwise:
exponentials at 32 a cycle 4,669,494 (1,639); row sums of LayerNorm for nothing, too, taken where the residual is
added, 4,553,093 (1,681); exponentials and LayerNorm at 32 4,512,898 (1,696); exponentials and doublings at 32
4,537,066 (1,687); all three 4,380,471 (1,747); with row sums for nothing and GELU at 8 a cycle 4,351,026 (1,759). So
exponentials alone do not bring the rate back: whatever reads the scratchpad has to run at 32 a cycle, with a
multiplier, a second operand, a clamp and an encoder each. Such a narrow lane is not cheap: parts mapped by themselves
take, in µm², a multiplier of 32 x 16 bits 3,774, 25 x 16 2,966, 17 x 16 2,156, 9 x 16 1,012; rounding shift and
saturation of 48 bits 774, of 33 559; the clamp 770, without rounding and on 17 bits 585; the encoder of 15 comparisons
948, of four in a row 727. Two multipliers of 17 x 16, two shifts of 33 bits, such a clamp and such an encoder come to
6,742, sixteen times to 107,900, without registers and exponentials; three quarters of the chip of before leave 49,000,
for the array has grown by 36,123 with its codes of five bits (612,542; with 16 lanes the units' sum is some 1,057,000,
STORE and scratchpad as in the table of before: 28 % less). So both at once, a quarter less and 1,750 MAC a cycle, were
not reached; nor were 22 % for the engine. Yosys' Booth recoding makes the multipliers 2,786 (32 x 16), 2,253, 1,488
and 928; the tools recode nothing here, as before. Sixteen lanes alone are an engine of 322,926, of which the lanes are
255,689.

`paper` as a whole, measured for the first time, is 1,328,746 µm² (1,665 kGE) with 32 whole lanes, a tenth less than
the sum of units of before: the vector engine 595,447 (44.8 %; its lanes 509,906), the array 404,847, its weights
125,356, STORE 30,328, the scratchpad 12,790. With half of its lanes plain it was 1,199,974, the engine 466,675. These
were too little by 12,807: the tool's black box for all memories had the width of one, wider ones were cut, and of
`paper` 24 of 32 accumulators' adders and 768 flip-flops behind them were gone (of the smaller chips half). Now each
memory has a box of its own, and a port that is cut ends the run.

The tables are of RTL on which ViT-S + DPT in the box takes 4,365,854 cycles, bit-exact. `paper` is 26.5 %
below the 1,475,919 of before (25 were wanted), its engine a third of it (22 % were wanted), its 32 lanes 284,967.
Products are written by Booth's digits: 32 x 16 bits 2,429 instead of 3,774, 17 x 16 1,396 instead of 2,188, the
function's 1,144 instead of 1,254. Wide registers stand behind clock gates (3.99 each, counted) instead of holding by
multiplexers: the stationary tile 110,035 instead of 125,356, the array's edge 31,755 instead of 38,075, parameters
19,360 instead of 27,279, a read port 3,415 instead of 4,376, the written words 9,174 instead of 10,353. Codes are found
by halving, 751 instead of 941; the second operand is added and compared by one adder, 1,221 instead of 1,407 with its
clamp; what is saturated is rounded in 33 bits, 905 instead of 940 (no gain behind the second product, 590 instead of
540); the lanes' largest is found in 16 bits and codes are decoded in the full lanes alone, 9,478 instead of 12,529; a
function's last shift 407 instead of 485.

22 % would be an engine of 203,900 beside the 722,892 of the rest. Of the lanes 77,700 are the 32 multipliers, 22,300
the second ones, 45,400 the flip-flops, 35,100 the functions' coefficients and values, 28,900 rounding behind the first
product and 9,400 behind the second, 19,500 sums and clamps of the full lanes and 11,400 of the others, 12,000 encoders
(a part's area times how many there are); parameters, sequencer, addresses, tables, reduction and writing are another
77,400. What was tried for it: sixteen lanes alone
(322,926 with the multipliers of then, but 4.66 million cycles), half of the lanes plain, and the above. Left: a clear
of what columns lack behind the sums instead of in the tile, which is some 7,000 of the array; STORE's four words in a
memory (6,000); parameters of one half alone, which would be fetched twice as often."""


MAIN = "NangateOpenCellLibrary"
"""The library whose areas are shown block by block; others have a section each with the whole chips."""


def area_rows(library: Sequence[Path], out: Path, progress: Progress, configs: Sequence[str]) -> str:
    """Area of chips by their largest blocks."""
    parts = []
    for config in map(chip_config, configs):
        report = measure_area(config, library, lambda module, n, of, c=config: progress(f"{c.name}: {module}", n, of))  # type: ignore[misc]
        if config.name == "small":
            save_figure(plot_area(report), out / "area")
            PICTURES.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / "area.png", PICTURES / "area.png")
        label = Label.YOSYS_MAPPED if report.unit == "um^2" else Label.ESTIMATED
        blocks = [a for a in report.instances if a.path.count("/") <= 1]
        rows = [
            [a.path, f"{a.total:,.0f}", f"{a.total / report.gate / 1e3:,.1f}",
             f"{a.total / report.top.total:.1%}", f"{a.memory_bits / 8192:.1f}",
             f"{a.memory_area:,.0f}" if a.memory_area or not a.memory_bits else "not modelled", label.value]
            for a in sorted(blocks, key=lambda a: -a.total)
        ]  # fmt: skip
        unit = report.unit.replace("^2", "²")
        header = ["block", f"cells, {unit}", "kGE", "share", "memory KiB", "memories, µm²", "label"]
        parts.append(f"### `{config.name}`: {report.flops:,} flip-flops\n\n{table(header, rows)}")
    text = (
        f"Yosys, library {report.library}, hierarchy kept, no wires. Memories are macros of {SRAM_BIT:.3f} µm² a bit "
        f"(fakeram45_1024x32 of OpenROAD-flow-scripts, one port) times {TWO_PORTS} for a second port (Chang et al., "
        "VLSI 2005), scaled by the square of the node: `estimated`. A gate equivalent is the library's "
        "smallest NAND of two inputs."
    )
    return f"## Area\n{text}\n{AREA_HISTORY}\n\n" + "\n\n".join(parts)


def other_area(library: Sequence[Path], progress: Progress, configs: Sequence[str]) -> str:
    """Areas of whole chips in another library."""
    rows, name = [], ""
    for config in map(chip_config, configs):
        report = measure_area(config, library, lambda module, n, of, c=config: progress(f"{c.name}: {module}", n, of))  # type: ignore[misc]
        top, name = report.top, report.library
        rows.append([
            f"`{config.name}`", f"{top.total:,.0f}", f"{top.total / report.gate / 1e3:,.1f}", f"{report.flops:,}",
            f"{top.memory_bits / 8192:.1f}", f"{top.memory_area:,.0f}", Label.YOSYS_MAPPED.value,
        ])  # fmt: skip
    header = ["chip", "cells, um²", "kGE", "flip-flops", "memory KiB", "memories, µm² (estimated)", "label"]
    return f"## Area in {name}\nAs above.\n\n{table(header, rows)}"


def run_results(
    sections: Sequence[str], library: Sequence[Path], out: Path, progress: Progress, configs: Sequence[str] = ()
) -> None:
    """Measures the named sections and writes them, each when it is made; what takes long in one is kept piece by
    piece. configs: chips of area (none: all), timing and energy (none: `small` and `paper`; others keep what was said
    of them). Raises TriptychError."""
    priced_chips = configs or cost.CHIPS
    makers = {
        "depth": lambda: depth_rows(out, progress),
        "speed": lambda: speed_rows(progress),
        "functions": function_rows,
        "area": lambda: area_rows(library, out, progress, configs or tuple(CONFIGS)),
        "load": lambda: load_rows(progress),
        "vit-layers": lambda: vit_layers_rows(progress),
        "cost-model": lambda: cost_model_rows(out, PICTURES, progress),
        "timing": lambda: cost.timing_rows(library, priced_chips, out, progress),
        "energy": lambda: cost.energy_rows(library, priced_chips, progress),
        "paper": lambda: paper_rows(progress),
        "price": lambda: cost.price_section(library, progress),
        "sweep": lambda: sweep_rows(out, progress),
    }
    priced = ("timing", "energy", "price")  # of a cell library alone
    other = library and read_library(library)
    known = [*makers, BADGES]
    if strangers := [name for name in sections if name not in known]:
        raise TriptychError(f"no section '{strangers[0]}': choose from {', '.join(known)}")
    for name in sections or [name for name in makers if library or name not in priced]:
        if name == BADGES:  # written behind all others
            continue
        if name == "area" and other and other.title != MAIN:
            replace_section(f"quartdepth-area-{other.name}", other_area(library, progress, configs or tuple(CONFIGS)))
        else:
            replace_section(f"quartdepth-{name}", makers[name]())
    write_badges()
