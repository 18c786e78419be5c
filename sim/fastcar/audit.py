"""`triptych fastcar audit`: the initiation intervals that the memories of hls/ allow, beside those that it states.

Runs the instrumented kernels (`hls_audit`) on random layers, holds them against golden, and writes what bounds each
pipelined loop, what memories the arrays take, and what the multipliers take (`hls_estimate`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from triptych.golden.fastcar import integer
from triptych.golden.fastcar.config import Chooser, Controls, LayerConfig, Policy
from triptych.golden.fastcar.random_layer import random_layer, random_rows, random_state
from triptych.sim.bench.ledger import Label, table
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.csim import HLS, CSim, library
from triptych.sim.fastcar.hls_audit import (
    FILL,
    LATENCY,
    MEMORY_FILL,
    PORTS,
    ArrayInfo,
    Finding,
    Instrument,
    findings,
    rewrite,
    totals,
)
from triptych.sim.fastcar.hls_estimate import LUTS_A_BIT, Multipliers, estimate_kernels
from triptych.sim.fastcar.image import DeviceState, Program

SHAPE = LayerConfig(width=200, ffn=300, heads=8, kv_heads=4, head_dim=72, frame_tokens=8, context=48)
POSITION = 40
KV260_URAM, KV260_BRAM, KV260_DSP = 64, 144, 1248


def workload(lanes: int) -> Callable[[Path], ctypes.CDLL]:
    """Token steps of random layers: every chooser and policy, few rows and many, DRS on and off; equal to golden."""

    def run(hls: Path) -> ctypes.CDLL:
        sim = CSim(library(lanes, hls=hls, optimise="-O1"), lanes)
        turns = integer.rope_tables(SHAPE)
        controls = [
            Controls(-90_000 if chooser.is_distance else 0, Policy(int(chooser) % 4), chooser) for chooser in Chooser
        ]
        for rows, scheduling in ((5, True), (20, True), (20, False)):
            layers = [random_layer(SHAPE, i) for i in range(len(controls))]
            states = [random_state(SHAPE, rows, i) for i in range(len(controls))]
            program = Program.pack(SHAPE, layers, sim.limits)
            program.steer(controls)
            device, x = DeviceState.of(SHAPE, states), random_rows(SHAPE, rows, rows)
            result = sim.step(program, device, x, POSITION, scheduling=scheduling)
            for layer, state, control in zip(layers, states, controls, strict=True):
                x = integer.layer_step(SHAPE, layer, turns, state, x, POSITION, control).y
            if (result.y != x).any() or device.mismatches(states):
                raise TriptychError("the audited kernels differ from golden: the audit has changed what they compute")
        return sim.lib

    return run


def audited(run: Callable[[Path], ctypes.CDLL], folder: Path, hls: Path = HLS) -> tuple[Instrument, list[Finding]]:
    """Instruments hls/, lets `run` build and exercise the copy (it returns the library), and reads what was found."""
    instrument = Instrument(hls / "fastcar.cpp", (hls / "fastcar.cpp", hls / "kernels", hls / "include"))
    copy = folder / "hls"
    rewrite(instrument, hls, copy)
    library_run = run(copy)
    report = folder / "report.txt"
    library_run.audit_report(str(report).encode())
    return instrument, findings(instrument, report.read_text())


@dataclass(frozen=True)
class Audit:
    """All of it. over: loops whose bound exceeds the stated II, or whose DEPENDENCE is wrong. kernels: name,
    multipliers with one query head a pass, what it is."""

    loops: list[Finding]
    arrays: list[ArrayInfo]
    kernels: list[tuple[str, Multipliers, str]]
    lanes: int

    @property
    def over(self) -> list[Finding]:
        """What is not clean."""
        return [f for f in self.loops if not f.clean]

    def kv260(self) -> dict[str, str]:
        """What is asked of a KV260, by resource, as text."""
        memories = list(totals(self.arrays))
        amounts = {
            "URAM288": (sum(m[1] for m in memories), KV260_URAM),
            "BRAM36": (sum(m[2] for m in memories), KV260_BRAM),
            "DSP48E2": (sum(m.dsps for _, m, _ in self.kernels), KV260_DSP),
        }
        return {name: f"{used:,g} of {have:,} ({used / have:.0%})" for name, (used, have) in amounts.items()}

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        loops = [
            {"place": f.loop.place, "function": f.loop.function, "loop": f.loop.label, "stated": f.loop.interval,
             "res_mii": f.res, "res_by": f.res_by, "rec_mii": f.rec, "rec_by": f.rec_by, "false_claim": f.false_claim,
             "share": round(f.share, 3), "clean": f.clean}
            for f in self.loops
        ]  # fmt: skip
        memories = [{"function": name, "uram": uram, "bram": bram} for name, uram, bram in totals(self.arrays)]
        multipliers = [{"kernel": name, "dsps": m.dsps, "luts": m.luts} for name, m, _ in self.kernels]
        return {
            "lanes": self.lanes, "loops": loops, "memories": memories, "multipliers": multipliers,
            "over": len(self.over),
        }  # fmt: skip


def audit(lanes: int = 16) -> Audit:
    """Instruments, builds and runs the kernels. Raises TriptychError when they do not build or differ from golden."""
    with TemporaryDirectory() as folder:
        instrument, loops = audited(workload(lanes), Path(folder))
    return Audit(loops, instrument.arrays, estimate_kernels(lanes), lanes)


def latencies() -> list[list[str]]:
    """The table of what the bounds and shares assume."""
    names = {"uram": "UltraRAM", "bram": "block RAM", "lutram": "LUT RAM", "auto": "a memory that no pragma binds"}
    carried, entered = "RecMII: this and one for the write, over the distance in iterations", "the last column"
    return [
        ["read of registers", "0", carried],
        *([f"read of {names[storage]}", str(cycles), carried] for storage, cycles in LATENCY.items()),
        [f"accesses of a bank, {PORTS} ports", "1", "ResMII"],
        ["word of an m_axi port", "1", "ResMII"],
        ["entry of a pipelined loop", str(FILL), entered],
        ["entry of one that reads or writes DRAM", str(MEMORY_FILL), entered],
    ]


def body(found: Audit) -> str:
    """The section of docs/results.md."""
    header = ["loop", "stated II", "ResMII", "by", "RecMII", "by", "cycles that start an iteration"]
    lines = [
        [f"`{f.loop.function}` {f.loop.label}", str(f.loop.interval), str(f.res), f.res_by, str(f.rec),
         f.rec_by + (" (DEPENDENCE says no)" if f.false_claim else ""), f"{f.share:.0%}"]
        for f in sorted(found.loops, key=lambda f: (f.clean, f.share))
    ]  # fmt: skip
    fit = found.kv260()
    stores = [[f"`{name}`", str(u), f"{b:g}"] for name, u, b in totals(found.arrays)]
    stores.append(["all", fit["URAM288"], fit["BRAM36"]])
    products = [[f"`{name}`: {what}", f"{m.dsps:,}", f"{m.luts:,}"] for name, m, what in found.kernels]
    products.append(["all", fit["DSP48E2"], f"{sum(m.luts for _, m, _ in found.kernels):,}"])
    text = (
        f"`triptych fastcar audit --results`, {Label.ESTIMATED.value}, {found.lanes} lanes: least initiation intervals "
        "by the ports of memories and by carried dependences, from accesses recorded in C simulation, beside the "
        f"stated ones. {len(found.over)} of {len(found.loops)} loops cannot reach theirs. The last column is at the "
        "small shapes of the run; a loop that is rarely entered does not mind. Memories by width and depth of their "
        "banks; FIFOs between kernels are not in it."
    )
    return "\n\n".join(
        ["## FastCar: what the kernels' memories allow", text, table(header, lines),
         f"Latencies assumed, {Label.ESTIMATED.value}:", table(["what", "cycles", "counts for"], latencies()),
         "Against the KV260:", table(["arrays of", "URAM288", "BRAM36"], stores),
         "Multipliers, by the widths that the source states, one query head a pass; LUTs of those that are logic at "
         f"{LUTS_A_BIT} a pair of bits, as Yosys maps them:",
         table(["multipliers of", "DSP48E2", "LUT"], products)]
    )  # fmt: skip
