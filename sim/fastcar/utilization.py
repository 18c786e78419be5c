"""What FastCar's step in RTL takes of UltraScale+ devices: Yosys `synth_xilinx -family xcup`, a board's step by parts.

A part is mapped once and counted as often as the board has it: lanes, the core of a cluster around them, and the
row-wise half, of which there is one, unit by unit. Inner parts are black boxes of outer ones. No place and route: no
wires, no timing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.golden.fastcar.config import LLAMA_7B, MAX_ROWS
from triptych.golden.files import scratch
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.build import cache, children
from triptych.sim.build.sources import INCLUDES, fastcar_sources
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.boards import BOARDS, CHAIN, Board, board
from triptych.sim.fastcar.devices import DEVICES
from triptych.sim.model.yosys import WORKER

LUT_CELLS = ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6")
MEMORY_LUTS = {
    "RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8, "RAM64X1D": 2, "RAM64X1S": 1, "RAM128X1D": 4,
    "RAM128X1S": 2, "RAM256X1D": 8, "RAM256X1S": 4, "RAM512X1S": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
"""LUTs that a distributed memory or shift register takes (UG974)."""
FLOPS = ("FDCE", "FDPE", "FDRE", "FDSE")
BLOCKS = {"RAMB36E2": 1.0, "RAMB18E2": 0.5, "RAMB36E1": 1.0, "RAMB18E1": 0.5}
DSPS = ("DSP48E2", "DSP48E1")
URAM = "URAM288"
ULTRASCALE, CASCADED = "xcup", "xc7"
"""Families of `synth_xilinx`. It moves adders and registers into DSPs for the 7 series alone, whose DSP48E1 adds to its
product and hands sums to its neighbour as a DSP48E2 does, for operands of 25 bits at most: the lanes' have 23."""


@dataclass(frozen=True)
class Used:
    """Cells of a part: LUTs (of them as memory or shift registers), flip-flops, RAMB36E2, DSP48E2, URAM288."""

    luts: int
    memory_luts: int
    flops: int
    blocks: float
    dsps: int
    urams: int = 0

    def times(self, count: int) -> Used:
        """That many of it."""
        return Used(*(type(v)(v * count) for v in vars(self).values()))

    def plus(self, other: Used) -> Used:
        """Both."""
        return Used(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def count(cells: Mapping[str, int]) -> Used:
    """Device resources of Yosys' cell counts. Raises TriptychError on a memory or multiplier that was not mapped."""
    known = {*MEMORY_LUTS, *BLOCKS, URAM}
    unknown = [c for c in cells if c.startswith(("$", "RAM", "SRL", "URAM")) and c not in known]
    if unknown:
        raise TriptychError(f"Yosys left {', '.join(sorted(unknown))}: teach sim/fastcar/utilization.py what they take")
    memory = sum(MEMORY_LUTS[c] * n for c, n in cells.items() if c in MEMORY_LUTS)
    logic = sum(n for c, n in cells.items() if c in LUT_CELLS)
    blocks = sum(BLOCKS[c] * n for c, n in cells.items() if c in BLOCKS)
    flops = sum(n for c, n in cells.items() if c in FLOPS)
    return Used(logic + memory, memory, flops, blocks, sum(cells.get(d, 0) for d in DSPS), cells.get(URAM, 0))


def _reached(top: str, boxes: tuple[str, ...]) -> list[Path]:
    """The files of a module, of all inside it but the boxes' insides, and of the packages."""
    files = {p.stem: p for p in fastcar_sources()}
    found, todo = {name for name in files if name.endswith("_pkg")}, [top]
    while todo:
        name = todo.pop()
        found.add(name)
        if name not in boxes:
            words = set(re.findall(r"\w+", files[name].read_text()))
            todo += [other for other in files if other in words and other not in found]
    return [p for name, p in files.items() if name in found]


def _parameters_of(module: str) -> set[str]:
    """Of a black box, which keeps none: its ports have their widths already. Loops' variables count, to slang."""
    text = next(p for p in fastcar_sources() if p.stem == module).read_text()
    return set(re.findall(r"(?:parameter|localparam|for \()[^=;]*?(\w+)\s*=", text))


def synthesise(top: str, parameters: Mapping[str, int], boxes: tuple[str, ...] = (), family: str = ULTRASCALE) -> Used:
    """Maps module `top` of `rtl/fastcar` (cached by content). Raises TriptychError when Yosys fails."""
    families = () if family == ULTRASCALE else (family,)
    key = cache.fingerprint(_reached(top, boxes), top, sorted(parameters.items()), boxes, *families)
    return count(cache.value("utilization", f"{top}-{key}", lambda: _cells(top, parameters, boxes, family)))


def _cells(top: str, parameters: Mapping[str, int], boxes: tuple[str, ...], family: str) -> dict[str, int]:
    sizes = " ".join(f"-G {k}={v}" for k, v in parameters.items())
    boxed = " ".join(f"--blackboxed-module {name}" for name in boxes)
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    files = " ".join(str(p) for p in fastcar_sources())
    with scratch() as held:
        script, out = held / "script", held / "stat.json"
        script.write_text(
            f"read_slang --threads 1 --unroll-limit 100000 -D SYNTHESIS {boxed} {includes} {sizes} "
            f"--top {top} {files}\n"
            + "".join(f"setparam -unset {p} t:{box}\n" for box in boxes for p in sorted(_parameters_of(box)))
            + f"synth_xilinx -family {family} -noiopad -noclkbuf -flatten -top {top}\n"
            f"tee -q -o {out} stat -json"
        )
        arguments = [sys.executable, "-c", WORKER, str(script)]
        run = children.run(arguments)
        if run.status or not out.exists():
            lines = run.text.splitlines()
            error = next((s for s in lines if "ERROR" in s), (lines or ["no output"])[-1])
            raise TriptychError(f"Yosys failed on {top}: {error.strip()}")
        cells: dict[str, int] = json.loads(out.read_text())["design"]["num_cells_by_type"]
    return {name: int(number) for name, number in cells.items() if name not in boxes}


HISTORY = """\
Attention's mapping did not end in 17 minutes of a core: its sums of values, an array written at a word's number, were
a memory of 64 write ports to Yosys (`opt_mem_priority`). With a register for each sum it takes a minute. So were
products in unpacked arrays, which DSPs then do not take into their registers. A product in logic was the sum of whole
shifted operands, 186 LUTs of 9 x 9 bits and 139 of 8 x 8; rows as wide as one operand, of which a bit leaves at each,
take 89 and 71. That is 10,560 LUTs of the step."""

MOST = 0.9
PRODUCT = ("lut_multiplier",)
MEMORY = ("step_ram",)
UNITS = ("attention_unit", "row_norm", "row_add", "row_pipe")


def step_parts(target: Board) -> list[tuple[str, int, Used]]:
    """The whole step of a board as (part, how many, each)."""
    words = 1 << (target.lanes - 1).bit_length()
    passes = -(-MAX_ROWS // target.lanes)
    inputs = passes * -(-LLAMA_7B.ffn // target.width)
    ultra = int(bool(DEVICES[target.name].urams))
    lane = {"Width": target.width, "Words": words, "Inputs": inputs, "Entries": passes * words}
    core = {"Width": target.width, "Lanes": target.lanes, "Words": words, "Inputs": inputs}
    stored = {"Words": inputs, "Bytes": target.width}
    attention = {"HeadWords": 64, "KeyWords": 2, "Tokens": 4096, "Group": 1, "Fabric": 1, "Ultra": ultra}
    rest = {"Lanes": target.lanes, "Words": words, "Ultra": ultra}
    mixed = target.clusters if target.lut_chains else 0
    in_ultra, lanes = target.clusters * target.ultra_lanes, target.clusters * target.lanes

    def lane_of(chains: int) -> Used:
        return synthesise("lane", {**lane, "LutChains": chains} if chains else lane, MEMORY, CASCADED)

    parts = [
        ("lane", lanes - mixed, lambda: lane_of(0)),
        (f"lane, {CHAIN * target.lut_chains} of its products in LUTs", mixed, lambda: lane_of(target.lut_chains)),
        ("a lane's inputs, block RAM", lanes - in_ultra, lambda: synthesise(*MEMORY, {**stored, "Ultra": 0})),
        ("a lane's inputs, UltraRAM", in_ultra, lambda: synthesise(*MEMORY, {**stored, "Ultra": 1})),
        ("core around its lanes", target.clusters, lambda: synthesise("fastcar_core", core, ("lane", "tas_unit"))),
        ("score", 1, lambda: synthesise("tas_unit", {"Width": target.width, "Fabric": 1}, PRODUCT)),
        ("a product of the score", target.width, lambda: synthesise(*PRODUCT, {"Left": 9, "Right": 9})),
        ("attention", 1, lambda: synthesise("attention_unit", attention, PRODUCT)),
        ("a product with a key", target.width, lambda: synthesise(*PRODUCT, {"Left": 8, "Right": 8})),
        ("norm", 1, lambda: synthesise("row_norm", {})),
        ("residual", 1, lambda: synthesise("row_add", {})),
        ("behind the sums", 1, lambda: synthesise("row_pipe", {"Words": words})),
        ("control, ports, memories", 1, lambda: synthesise("fastcar_step", rest, ("fastcar_core", *UNITS))),
    ]
    return [(name, number, mapped()) for name, number, mapped in parts if number]


def board_rows(target: Board) -> str:
    """The whole step in RTL on a board, and what that is of its device."""
    header = ["part", "count", "LUT", "of them memory", "FF", "RAMB36E2", "URAM288", "DSP48E2", "label"]
    total, rows = Used(0, 0, 0, 0.0, 0), []

    def row(part: str, number: int, u: Used) -> list[str]:
        figures = (u.luts, u.memory_luts, u.flops, u.blocks, u.urams, u.dsps)
        return [part, str(number), *(f"{v:,g}" for v in figures), Label.YOSYS_MAPPED.value]

    for part, number, each in step_parts(target):
        rows.append(row(f"{part} (each)", number, each))
        total = total.plus(each.times(number))
    rows.append(row("the step", 1, total))
    shares = shares_of(total, target.name)
    cells = [f"{v:.1%}" for v in shares.values()]
    rows.append([f"of the {target.name}", "", cells[0], "", *cells[1:], Label.YOSYS_MAPPED.value])
    over = [f"{k} {v:.1%}" for k, v in shares.items() if v > MOST]
    verdict = f"Over {MOST:.0%}: {', '.join(over)}." if over else f"All at {MOST:.0%} or less."
    memory = "UltraRAM" if DEVICES[target.name].urams else "block RAM"
    shape = f"{target.clusters} x {target.lanes} lanes, memories in {memory}"
    return f"**{target.name}**: {shape}. {verdict}\n\n{table(header, rows)}"


def shares_of(total: Used, name: str) -> dict[str, float]:
    """What it is of a device, by resource."""
    there = DEVICES[name]
    amounts = {
        "LUT": (total.luts, there.luts), "FF": (total.flops, there.flops), "RAMB36E2": (total.blocks, there.blocks),
        "URAM288": (total.urams, there.urams), "DSP48E2": (total.dsps, there.dsps),
    }  # fmt: skip
    return {resource: used / have if have else float(used > 0) for resource, (used, have) in amounts.items()}


def utilization() -> str:
    """The section of docs/results.md, of all boards."""
    text = (
        "`synth_xilinx -family xcup` of `fastcar_step` by parts, no place and route: a lane and a cluster's core as "
        "often as the board has them, score and row-wise half once (LLaMA-7B's sizes, one query head a pass, 8 "
        "elements a cycle; boards with several clusters share them, and what joins their sums is not built). A lane's "
        "64 DSP48E2 are 128 W4A8 products a cycle, attention's 32 for values 64; the scores' products are LUTs. "
        "Lanes are mapped for the 7 series, since Yosys leaves adders and registers of chains of DSP48E2 outside, "
        "in LUTs and FFs; their DSP48E1 count as the E2 that they are here. A cluster's lanes hold the inputs of 32 "
        "rows, 352 KB whatever their number: with 32 clusters that is more than the block RAM, so that `ultra_lanes` "
        "of `boards.py` lie in UltraRAM. The U280's lanes alone would take 90.8% of its DSPs, so that sixteen "
        "products of each cluster are logic (`lut_chains`). For the HLS kernels see *what the kernels' memories "
        "allow*. By `python -m triptych.sim.fastcar.utilization`."
    )
    return "\n\n".join(["## FastCar: utilization", text, HISTORY, *map(board_rows, BOARDS.values())])


def main(names: Sequence[str]) -> int:
    """Prints the utilization of the named boards, or writes that of all into docs/results.md. Returns the status."""
    try:
        if names:
            print("\n\n".join(board_rows(board(name)) for name in names))
        else:
            replace_section("fastcar-utilization", utilization())
    except (TriptychError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
