"""What FastCar's twins take of an UltraScale+ device: Yosys `synth_xilinx -family xcup`, the core of a board by parts.

The lane is mapped once and counted as often as the board has it; the rest of the core is mapped with the lanes as black
boxes. No place and route: no wires, no timing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from triptych.golden.files import scratch
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.build import cache, children
from triptych.sim.build.sources import INCLUDES, fastcar_sources
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.boards import Board, board
from triptych.sim.fastcar.hls_estimate import estimate_kernels
from triptych.sim.model.yosys import WORKER

LUT_CELLS = ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6")
MEMORY_LUTS = {
    "RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8, "RAM64X1D": 2, "RAM64X1S": 1, "RAM128X1D": 4,
    "RAM128X1S": 2, "RAM256X1D": 8, "RAM256X1S": 4, "RAM512X1S": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
"""LUTs that a distributed memory or shift register takes (UG974)."""
BOX_PARAMETERS = (
    "Width", "Chain", "Words", "Inputs", "Entries", "WordW", "InputW", "EntryW", "Chains", "Latency", "s",
)  # fmt: skip
FLOPS = ("FDCE", "FDPE", "FDRE", "FDSE")
BLOCKS = {"RAMB36E2": 1.0, "RAMB18E2": 0.5}
URAM = "URAM288"


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
    return Used(logic + memory, memory, flops, blocks, cells.get("DSP48E2", 0), cells.get(URAM, 0))


def synthesise(top: str, parameters: Mapping[str, int], boxes: tuple[str, ...] = ()) -> Used:
    """Maps module `top` of `rtl/fastcar` (cached by content). Raises TriptychError when Yosys fails."""
    key = cache.fingerprint(fastcar_sources(), top, sorted(parameters.items()), boxes)
    return count(cache.value("utilization", f"{top}-{key}", lambda: _cells(top, parameters, boxes)))


def _cells(top: str, parameters: Mapping[str, int], boxes: tuple[str, ...]) -> dict[str, int]:
    sizes = " ".join(f"-G {k}={v}" for k, v in parameters.items())
    boxed = " ".join(f"--blackboxed-module {name}" for name in boxes)
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    files = " ".join(str(p) for p in fastcar_sources())
    with scratch() as held:
        script, out = held / "script", held / "stat.json"
        script.write_text(
            f"read_slang --threads 1 --unroll-limit 100000 -D SYNTHESIS {boxed} {includes} {sizes} "
            f"--top {top} {files}\n"
            # A black box keeps no parameters: its ports have their widths already.
            + "".join(f"setparam -unset {p} t:{box}\n" for box in boxes for p in BOX_PARAMETERS)
            + f"synth_xilinx -family xcup -noiopad -noclkbuf -flatten -top {top}\n"
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


def core_parts(target: Board) -> list[tuple[str, int, Used]]:
    """The core of a board as (part, how many, each). A cluster's lanes, and what stands around them."""
    entries = -(-32 // target.lanes) * target.lanes
    inputs = -(-32 // target.lanes) * -(-11008 // target.width)
    lane = {"Width": target.width, "Words": target.lanes, "Inputs": inputs, "Entries": entries}
    core = {"Width": target.width, "Lanes": target.lanes, "Words": target.lanes, "Inputs": inputs}
    return [
        ("lane", target.clusters * target.lanes, synthesise("lane", lane)),
        ("core without lanes", target.clusters, synthesise("fastcar_core", core, ("lane",))),
    ]


DEVICES = {"KV260": {"LUT": 117_120, "FF": 234_240, "RAMB36E2": 144, "URAM288": 64, "DSP48E2": 1_248}}
"""What there is (AMD DS987)."""
MOST = 0.9


def step_parts(target: Board) -> list[tuple[str, int, Used]]:
    """The whole step of a cluster as (part, how many, each)."""
    lane = core_parts(target)[0]
    step = synthesise("fastcar_step", {"Lanes": target.lanes, "Words": target.lanes}, ("lane",))
    return [lane, ("step without lanes", target.clusters, step)]


def step_rows(name: str) -> str:
    """The whole step in RTL on a device, and what that is of it."""
    header = ["part", "count", "LUT", "of them memory", "FF", "RAMB36E2", "URAM288", "DSP48E2", "label"]
    total, rows = Used(0, 0, 0, 0.0, 0), []

    def row(part: str, number: int, u: Used) -> list[str]:
        figures = (u.luts, u.memory_luts, u.flops, u.blocks, u.urams, u.dsps)
        return [part, str(number), *(f"{v:,g}" for v in figures), Label.YOSYS_MAPPED.value]

    for part, number, each in step_parts(board(name)):
        rows.append(row(f"{part} (each)", number, each))
        total = total.plus(each.times(number))
    rows.append(row("the step", 1, total))
    there = DEVICES[name]
    used = {
        "LUT": total.luts,
        "FF": total.flops,
        "RAMB36E2": total.blocks,
        "URAM288": total.urams,
        "DSP48E2": total.dsps,
    }
    share = {k: used[k] / there[k] for k in there}
    rows.append([
        f"of the {name}", "", f"{share['LUT']:.0%}", "", f"{share['FF']:.0%}", f"{share['RAMB36E2']:.0%}",
        f"{share['URAM288']:.0%}", f"{share['DSP48E2']:.0%}", Label.YOSYS_MAPPED.value,
    ])  # fmt: skip
    over = [f"{k} {v:.0%}" for k, v in share.items() if v > MOST]
    verdict = f"Over {MOST:.0%}: {', '.join(over)}." if over else f"All at {MOST:.0%} or less."
    head = f"The whole step (`fastcar_step`, {board(name).lanes} lanes, one query head a pass). {verdict}"
    return f"{head}\n\n{table(header, rows)}"


def utilization_rows(name: str) -> str:
    """The section of docs/results.md for a board: its twins as mapped, its HLS kernels as estimated."""
    target = board(name)
    header = ["part", "count", "LUT", "of them memory", "FF", "RAMB36E2", "DSP48E2", "label"]
    rows = []
    total = Used(0, 0, 0, 0.0, 0)

    def row(part: str, number: int, used: Used, label: Label) -> list[str]:
        figures = (used.luts, used.memory_luts, used.flops, used.blocks, used.dsps)
        return [part, str(number), *(f"{v:,g}" if isinstance(v, float) else f"{v:,}" for v in figures), label.value]

    for part, number, each in core_parts(target):
        rows.append(row(f"{part} (each)", number, each, Label.YOSYS_MAPPED))
        total = total.plus(each.times(number))
    rows.append(row("all twins", 1, total, Label.YOSYS_MAPPED))
    rest = estimate_kernels()
    for kernel, dsps, reason in rest:
        rows.append([f"{kernel}: {reason}", "1", "", "", "", "", f"{dsps:,}", Label.ESTIMATED.value])
    macs = 2 * target.lane_dsp
    lane_dsps = target.clusters * target.lanes * core_parts(target)[0][2].dsps
    text = (
        f"`synth_xilinx -family xcup`, no place and route. {lane_dsps:,} DSP48E2 for {macs:,} W4A8 products a cycle: "
        f"{lane_dsps / macs:.3f} a product. {target.name} has {target.dsp:,}. The HLS kernels beside the lanes "
        f"would take {sum(d for _, d, _ in rest):,} more by this estimate, which counts products of addresses too. "
        "By `python -m triptych.sim.fastcar.utilization`."
    )
    core = f"## FastCar on the {target.name}: utilization\n{text}\n\n{table(header, rows)}"
    return f"{core}\n\n{step_rows(name)}" if name in DEVICES else core


def main() -> int:
    """Writes the KV260's utilization into docs/results.md. Returns the exit status."""
    try:
        replace_section("fastcar-utilization", utilization_rows("KV260"))
    except TriptychError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
