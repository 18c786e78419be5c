"""Area of the chip by hierarchy, from Yosys: mapped to a cell library, or estimated in transistors without one.

Every module is synthesised by itself and once for each set of parameters (`netlist`), and kept by its content. Memories
are macros, whose area is a model's, scaled to the library's node.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.sim.build import cache
from triptych.sim.model.liberty import Library, read_library
from triptych.sim.model.mapped import MappedUnit, Step, map_units
from triptych.sim.model.netlist import CLOCK_GATE, Netlist, elaborate
from triptych.sim.model.place import macro_area
from triptych.sim.model.process import PROCESSES
from triptych.sim.model.yosys import run_yosys

MAP_TO_GATES = "+strash;dc2;map"

TRANSISTORS_OF_A_GATE = 4
"""Of a NAND of two inputs."""

FLOP_TRANSISTORS = 24
"""Assumed for a flip-flop with enable and reset where no library says."""


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
    flops: of the whole chip. gate: area of a gate equivalent, a NAND of two inputs. node: nm, if it is known."""

    config: str
    library: str
    unit: str
    instances: list[Area]
    flops: int
    gate: float
    node: int | None

    @property
    def top(self) -> Area:
        """The chip."""
        return self.instances[0]


@dataclass(frozen=True)
class Cells:
    """What a unit's own cells come to, without those below it."""

    area: float
    flops: int


def _commands(unit: str, source: Path, out: Path) -> list[str]:
    return [
        f"read_rtlil {source}", f"hierarchy -top {unit}", "proc", "opt_clean", "check -assert",
        f"synth -noabc -top {unit}", f"abc -g cmos2 -script {MAP_TO_GATES}", "opt_clean -purge",
        f"tee -q -o {out} stat -json -tech cmos",
    ]  # fmt: skip


def synthesise(netlist: Netlist, unit: str) -> dict[str, float]:
    """A unit's own cells without a library: area in transistors and flops. Raises TriptychError as `run_yosys` does."""
    with scratch() as held:
        source, out = held / "unit.il", held / "stat.json"
        source.write_text(netlist.source(unit))
        run_yosys(_commands(unit, source, out), netlist.units[unit].module)
        module = json.loads(out.read_text())["modules"][f"\\{unit}"]
    counts = module["num_cells_by_type"]
    flops = sum(count for cell, count in counts.items() if "DFF" in cell)
    gates = counts.get("\\clock_gate", 0)  # a latch and a gate: as large as a flip-flop
    area = float(str(module.get("estimated_num_transistors", 0)).rstrip("+") or 0)
    return {"area": area + FLOP_TRANSISTORS * (flops + gates), "flops": flops}


def _cells(netlist: Netlist, library: Library | None, step: Step) -> dict[str, Cells]:
    """Every unit's own cells."""
    if library is not None:
        mapped = map_units(netlist, library, step)
        return {name: _of_library(unit, library) for name, unit in mapped.items()}
    found: dict[str, Cells] = {}
    for number, name in enumerate(netlist.units):
        step(netlist.units[name].module, number, len(netlist.units))
        recipe = _commands(name, Path("unit"), Path("stat"))
        key = cache.fingerprint([], netlist.source(name), recipe, metadata.version("pyosys"))
        kept = cache.value("area", f"{name}-{key}", lambda name=name: synthesise(netlist, name))  # type: ignore[misc]
        found[name] = Cells(float(kept["area"]), int(kept["flops"]))
    return found


def _of_library(unit: MappedUnit, library: Library) -> Cells:
    cells = [library.cells[gate.kind] for gate in unit.gates if gate.kind in library.cells]
    gates = sum(gate.kind == CLOCK_GATE for gate in unit.gates)
    flops = sum(cell.next_state is not None for cell in cells)
    return Cells(sum(cell.area for cell in cells) + gates * library.clock_gate, flops)


def _quiet(module: str, number: int, of: int) -> None:
    """Says nothing."""


def measure_area(config: ChipConfig, library: Sequence[Path] = (), step: Step = _quiet) -> AreaReport:
    """Synthesises the chip, unit by unit. library: Liberty files, also gzipped; none: transistor counts. step(module,
    number, of) is called before each unit.

    Raises TriptychError when Yosys or the library is missing, when the sources do not synthesise, and when Yosys tells
    of a driver conflict, a net without a driver, a latch or a loop.
    """
    cells = read_library(library) if library else None
    gate = cells.gate if cells else TRANSISTORS_OF_A_GATE
    node = next((p.node for name, p in PROCESSES.items() if cells and name.lower() in cells.title.lower()), None)
    netlist = elaborate(config)
    found = _cells(netlist, cells, step)
    instances: list[Area] = []
    flops = _walk(netlist, found, netlist.top, "quartdepth", node, instances)
    unit = "um^2" if cells else "transistors"
    return AreaReport(config.name, cells.name if cells else "none", unit, instances, flops, gate, node)


def _walk(netlist: Netlist, cells: dict[str, Cells], name: str, path: str, node: int | None, out: list[Area]) -> int:
    """Appends the instance and, behind it, those below it; returns its flip-flops."""
    unit, place = netlist.units[name], len(out)
    own, flops = cells[name].area, cells[name].flops
    total, bits = own, sum(m.bits for _, m in unit.memories)
    memory = sum(macro_area(m, node) for _, m in unit.memories) if node else 0.0
    for instance, child in unit.children:
        below = len(out)
        flops += _walk(netlist, cells, child, f"{path}/{instance}", node, out)
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
        f"area of the {report.config} chip: {report.top.total / scale:,.0f} {unit} "
        f"({report.top.total / report.gate / 1e3:,.0f} kGE), and {kib:.0f} KiB of memory"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
