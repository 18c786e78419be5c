"""Area of the chip by hierarchy, from Yosys: mapped to a cell library, or estimated in transistors without one.

Memories (`ram_1r1w`) and clock gates are black boxes: the memories' bits are counted, not their area.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from triptych.golden.files import scratch, write
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import MICROWORD_BYTES
from triptych.sim.build import cache, children
from triptych.sim.errors import TriptychError
from triptych.sim.model.liberty import read_liberty
from triptych.sim.rtl.sources import INCLUDES, parameters, sources

MEMORIES = ("ram_1r1w",)
"""Modules in whose place a memory compiler puts macros."""

CELLS = ("clock_gate",)
"""Modules in whose place the library has a cell."""

MEMORY_BITS: dict[str, Callable[[ChipConfig], int]] = {
    "spad": lambda c: 8 * c.spad_bytes,
    "mxu_acc": lambda c: 2 * 32 * c.rows * c.cols,
    "vpu_program_store": lambda c: 8 * MICROWORD_BYTES * c.prog_words,
}
"""Bits of the memories inside a module that holds some."""

MAP_TO_LIBRARY = "+strash;dc2;&get,-n;&st;&dch;&nf;&put;buffer,-c;topo;upsize,{D};dnsize,{D};stime,-p"
MAP_TO_GATES = "+strash;dc2;map"

FLOP_TRANSISTORS = 24
"""Assumed for a flip-flop with enable and reset where no library says."""

# Run by a Python of its own: Yosys writes to stdout and ends the process on errors.
WORKER = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in open(sys.argv[1]).read().splitlines():
    ys.run_pass(command, design)
"""


@dataclass(frozen=True)
class Area:
    """One instance: path from the top, module, area of its own cells and of the whole (`unit`), memory bits."""

    path: str
    module: str
    own: float
    total: float
    memory_bits: int


@dataclass(frozen=True)
class AreaReport:
    """unit: 'um^2' (label yosys-mapped) or 'transistors' (label estimated). instances: depth first from the top."""

    config: str
    library: str
    unit: str
    instances: list[Area]

    @property
    def top(self) -> Area:
        """The chip."""
        return self.instances[0]


def _commands(config: ChipConfig, library: Path | None, out: Path) -> list[str]:
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    sizes = " ".join(f"-G {k}={v}" for k, v in parameters(config).items())
    files = " ".join(str(p) for p in sources())
    read = f"read_slang --threads 1 -D SYNTHESIS --keep-hierarchy {includes} {sizes}"
    # Read first, so that a memory of each size is a box with its own ports.
    boxes = " ".join(f"{name}*" for name in (*MEMORIES, *CELLS))
    commands = [f"{read} --top quartdepth {files}", "hierarchy -top quartdepth", f"blackbox {boxes}"]
    commands.append("synth -noabc -top quartdepth")
    if library is not None:
        commands += [f"dfflibmap -liberty {library}", f"abc -liberty {library} -script {MAP_TO_LIBRARY}"]
        stat = f"stat -json -liberty {library}"
    else:
        commands.append(f"abc -g cmos2 -script {MAP_TO_GATES}")
        stat = "stat -json -tech cmos"
    return [*commands, "opt_clean -purge", f"tee -q -o {out} {stat}"]


def _measure(config: ChipConfig, library: Path | None) -> dict[str, dict[str, object]]:
    """Yosys' statistics by module."""
    with scratch() as held:
        script, out = (held / name for name in ("script", "stat.json"))
        script.write_text("\n".join(_commands(config, library, out)))
        run = children.run([sys.executable, "-c", WORKER, str(script)])
        if run.status or not out.exists():
            lines = run.text.splitlines()
            error = next((s for s in lines if "ERROR" in s or "error:" in s), (lines or ["no output"])[-1])
            raise TriptychError(f"Yosys failed on {config.name}: {error.strip()}")
        modules: dict[str, dict[str, object]] = json.loads(out.read_text())["modules"]
        return modules


def _stated(module: dict[str, object], library: bool) -> float:
    value = module.get("area" if library else "estimated_num_transistors", 0)
    return float(str(value).rstrip("+") or 0)


def _walk(
    modules: dict[str, dict[str, object]], name: str, path: str, config: ChipConfig, mapped: bool, out: list[Area]
) -> tuple[float, int]:
    """Appends the instance and those below it to `out`; returns its total area and memory bits.

    Yosys states a module's area with everything below it, and leaves flip-flops out of its transistor counts. Raises
    TriptychError when the areas do not add up.
    """
    module = modules[name]
    place = len(out)
    cells = module["num_cells_by_type"]
    assert isinstance(cells, dict)
    base = name.lstrip("\\").split("$")[0]
    own = _stated(module, mapped)
    below, bits = 0.0, MEMORY_BITS[base](config) if base in MEMORY_BITS else 0
    flops = 0
    for cell, count in sorted(cells.items()):
        child = f"\\{cell}" if f"\\{cell}" in modules else cell
        if child in modules and cell.split("$")[0] not in (*MEMORIES, *CELLS):
            area, inner = _walk(modules, child, f"{path}/{cell.split('.')[-1]}", config, mapped, out)
            own -= int(count) * _stated(modules[child], mapped)
            below += int(count) * area
            bits += int(count) * inner
        elif "DFF" in cell:
            flops += int(count)
    if own < -1:
        raise TriptychError(f"Yosys states less for {base} than for what it holds")
    if not mapped:
        own += FLOP_TRANSISTORS * flops
    out.insert(place, Area(path, base, own, own + below, bits))
    return own + below, bits


def measure_area(config: ChipConfig, library: Path | None = None) -> AreaReport:
    """Synthesises the chip (cached by content). library: a liberty file, also gzipped, or None for transistor counts.

    Raises TriptychError when Yosys or the library is missing or the sources do not synthesise.
    """
    text = None if library is None else read_liberty(library)
    files = [*sources(), *([library] if library else [])]
    key = cache.fingerprint(files, config, MEMORIES, MAP_TO_LIBRARY, MAP_TO_GATES)
    modules = cache.value("area", f"{config.name}-{key}", lambda: _measure_with(config, text))
    instances: list[Area] = []
    top = next(n for n in modules if n.lstrip("\\").split("$")[0] == "quartdepth")
    _walk(modules, top, "quartdepth", config, library is not None, instances)
    name = library.name.split(".")[0] if library else "none"
    return AreaReport(config.name, name, "um^2" if library else "transistors", instances)


def _measure_with(config: ChipConfig, liberty: bytes | None) -> dict[str, dict[str, object]]:
    if liberty is None:
        return _measure(config, None)
    with scratch() as held:  # unpacked, and under a name that Yosys can read
        write(held / "cells.lib", liberty)
        return _measure(config, held / "cells.lib")


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
