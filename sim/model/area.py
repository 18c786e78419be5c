"""Area of the chip by hierarchy, from Yosys: mapped to a cell library, or estimated in transistors without one.

Every module is synthesised by itself and once for each set of parameters (`netlist`), and kept by its content. Memories
are macros, whose area is a model's where the library is one of 45 nm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from triptych.golden.files import scratch, write
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.sim.build import cache
from triptych.sim.model.liberty import read_liberty
from triptych.sim.model.netlist import Memory, Netlist, elaborate
from triptych.sim.model.yosys import run_yosys

MAP_TO_LIBRARY = "+strash;dc2;&get,-n;&st;&dch;&nf;&put;buffer,-c;topo;upsize,{D};dnsize,{D};stime,-p"
MAP_TO_GATES = "+strash;dc2;map"

FLOP_TRANSISTORS = 24
"""Assumed for a flip-flop with enable and reset where no library says."""

SRAM_BIT = 16406.082 / (1024 * 32)
"""um^2 a bit, periphery included: the single-port macro fakeram45_1024x32 of OpenROAD-flow-scripts (bsg_fakeram)."""

TWO_PORTS = 1.3
"""A cell of eight transistors, which reads and writes at once, over one of six (Chang et al., VLSI Technology 2005)."""


@dataclass(frozen=True)
class Area:
    """One instance: path from the top, module, area of its own cells and of the whole without memories (`unit`), bits
    of the memories inside, their area in um^2 (0: not known for this library)."""

    path: str
    module: str
    own: float
    total: float
    memory_bits: int
    memory_area: float


@dataclass(frozen=True)
class AreaReport:
    """unit: 'um^2' (label yosys-mapped) or 'transistors' (label estimated). instances: depth first from the top.
    flops: of the whole chip."""

    config: str
    library: str
    unit: str
    instances: list[Area]
    flops: int

    @property
    def top(self) -> Area:
        """The chip."""
        return self.instances[0]


@dataclass(frozen=True)
class Cells:
    """What a unit's own cells come to, without those below it."""

    area: float
    flops: int


def macro_area(memory: Memory) -> float:
    """um^2 of a memory with a read and a write port at 45 nm: in proportion to its bits, too little for small ones."""
    return memory.bits * SRAM_BIT * TWO_PORTS


def _commands(unit: str, source: Path, library: Path | None, out: Path) -> list[str]:
    commands = [f"read_rtlil {source}", f"hierarchy -top {unit}", "proc", "opt_clean", "check -assert"]
    commands.append(f"synth -noabc -top {unit}")
    if library is not None:
        commands += [f"dfflibmap -liberty {library}", f"abc -liberty {library} -script {MAP_TO_LIBRARY}"]
        stat = f"stat -json -liberty {library}"
    else:
        commands.append(f"abc -g cmos2 -script {MAP_TO_GATES}")
        stat = "stat -json -tech cmos"
    return [*commands, "opt_clean -purge", f"tee -q -o {out} {stat}"]


def synthesise(netlist: Netlist, unit: str, library: Path | None) -> dict[str, float]:
    """A unit's own cells: area and flops. library: unpacked. Raises TriptychError as `run_yosys` does."""
    with scratch() as held:
        source, out = held / "unit.il", held / "stat.json"
        source.write_text(netlist.source(unit))
        run_yosys(_commands(unit, source, library, out), netlist.units[unit].module)
        module = json.loads(out.read_text())["modules"][f"\\{unit}"]
    flops = sum(count for cell, count in module["num_cells_by_type"].items() if "DFF" in cell)
    stated = module.get("area" if library else "estimated_num_transistors", 0)
    area = float(str(stated).rstrip("+") or 0)
    return {"area": area if library else area + FLOP_TRANSISTORS * flops, "flops": flops}


def _cells(netlist: Netlist, library: Path | None, step: Callable[[str, int, int], None]) -> dict[str, Cells]:
    """Every unit's own cells. library: unpacked."""
    mark = hashlib.sha256(library.read_bytes()).hexdigest() if library else ""
    found: dict[str, Cells] = {}
    for number, name in enumerate(netlist.units):
        step(netlist.units[name].module, number, len(netlist.units))
        recipe = _commands(name, Path("unit"), Path("library") if library else None, Path("stat"))
        key = cache.fingerprint([], netlist.source(name), recipe, mark, metadata.version("pyosys"))
        kept = cache.value("area", f"{name}-{key}", lambda name=name: synthesise(netlist, name, library))  # type: ignore[misc]
        found[name] = Cells(float(kept["area"]), int(kept["flops"]))
    return found


def _quiet(module: str, number: int, of: int) -> None:
    """Says nothing."""


def measure_area(
    config: ChipConfig, library: Path | None = None, step: Callable[[str, int, int], None] = _quiet
) -> AreaReport:
    """Synthesises the chip, unit by unit. library: a liberty file, also gzipped, or None for transistor counts.
    step(module, number, of) is called before each unit.

    Raises TriptychError when Yosys or the library is missing, when the sources do not synthesise, and when Yosys tells
    of a driver conflict, a net without a driver, a latch or a loop.
    """
    text = None if library is None else read_liberty(library)
    netlist = elaborate(config)
    with scratch() as held:
        unpacked = None
        if text is not None:  # under a name that Yosys can read
            unpacked = held / "cells.lib"
            write(unpacked, text)
        cells = _cells(netlist, unpacked, step)
    name = library.name.split(".")[0] if library else "none"
    instances: list[Area] = []
    flops = _walk(netlist, cells, netlist.top, "quartdepth", "45" in name, instances)
    return AreaReport(config.name, name, "um^2" if library else "transistors", instances, flops)


def _walk(netlist: Netlist, cells: dict[str, Cells], name: str, path: str, modelled: bool, out: list[Area]) -> int:
    """Appends the instance and, behind it, those below it; returns its flip-flops."""
    unit, place = netlist.units[name], len(out)
    own, flops = cells[name].area, cells[name].flops
    total, bits = own, sum(m.bits for _, m in unit.memories)
    memory = sum(macro_area(m) for _, m in unit.memories) if modelled else 0.0
    for instance, child in unit.children:
        below = len(out)
        flops += _walk(netlist, cells, child, f"{path}/{instance}", modelled, out)
        total, bits, memory = (
            total + out[below].total, bits + out[below].memory_bits, memory + out[below].memory_area
        )  # fmt: skip
    out.insert(place, Area(path, unit.module, own, total, bits, memory))
    return flops


def plot_area(report: AreaReport, most: int = 18) -> Figure:
    """Bars: the largest instances by their own cells, labelled with their place in the hierarchy."""
    shown = sorted(report.instances, key=lambda a: -a.own)[:most]
    scale, unit = (1e3, "thousand um²") if report.unit == "um^2" else (1e3, "thousand transistors (estimated)")
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(shown) + 1.3), layout="constrained")
    axes.barh(range(len(shown)), [a.own / scale for a in shown], color="#1b7837")
    axes.set_yticks(range(len(shown)), [a.path.removeprefix("quartdepth/") for a in shown], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    kib = report.top.memory_bits / 8192
    axes.set_title(
        f"area of the {report.config} chip: {report.top.total / scale:,.0f} {unit}, and {kib:.0f} KiB of memory"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
