"""How fast the chip is after placement: the slowest path into the registers of every part, by OpenSTA.

Placed, not routed, not sized again: what a flow with timing-driven sizing reaches is more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.sim.build import cache
from triptych.sim.build.sources import sources
from triptych.sim.model.flat import Flat, flatten
from triptych.sim.model.liberty import Library, read_library
from triptych.sim.model.mapped import Step, map_units
from triptych.sim.model.netlist import elaborate
from triptych.sim.model.place import Box, Placement, check_placer, place
from triptych.sim.model.process import Process, process_of
from triptych.sim.model.repair import Buffers, repair
from triptych.sim.model.sta import check_sta, run_sta, write_design

PERIOD = 1.0  # ns, of the analysis


@dataclass(frozen=True)
class Placed:
    """A placed chip, buffers in it."""

    flat: Flat
    placement: Placement
    library: Library
    process: Process
    buffers: Buffers
    clock: int

    def write(self, folder: Path) -> list[Path]:
        """Files for OpenSTA; returns the libraries'."""
        write_design(self.flat, self.placement, self.library, self.process, self.clock, {self.clock}, folder)
        return self.library.write(folder)


@dataclass(frozen=True)
class SlowPath:
    """The slowest path into a part. delay in ns, setup included; start, end: variables of the sources; modules: those
    that it runs through, in order."""

    part: str
    delay: float
    start: str
    end: str
    modules: list[str]

    @property
    def fmax_mhz(self) -> float:
        """MHz that the path allows."""
        return 1000.0 / self.delay


@dataclass(frozen=True)
class TimingReport:
    """paths: into each part's registers, from anywhere; inner: those that begin in the same part."""

    config: str
    library: str
    node: int
    paths: list[SlowPath]
    inner: list[SlowPath]
    buffers: Buffers
    boxes: list[Box]
    memories: list[Box]


def check_library(paths: Sequence[Path]) -> tuple[Library, Process]:
    """Everything that placement needs of a library. Raises TriptychError before anything is built."""
    library = read_library(paths)
    return library, process_of(library.title)


_last: dict[str, Placed] = {}  # the chip that was placed last in this process


def placed(config: ChipConfig, library: Library, process: Process, step: Step) -> Placed:
    """The chip mapped, placed and buffered. Raises TriptychError."""
    check_placer()
    key = cache.fingerprint(sources(), config, [hashlib.sha256(text).hexdigest() for text in library.texts])
    if key not in _last:
        _last.clear()
        _last[key] = _placed(config, library, process, step)
    return _last[key]


def _placed(config: ChipConfig, library: Library, process: Process, step: Step) -> Placed:
    netlist = elaborate(config)
    units = map_units(netlist, library, lambda m, n, of: step(f"synthesising {m}", n, of))
    flat = flatten(netlist, units, library)
    placement = place(flat, library, process, lambda m, n, of: step(f"placing {m}", n, of))
    clock = flat.ports["clk_i"][1][0]
    assert isinstance(clock, int)
    buffers = repair(flat, placement, library, {clock}, process.node)
    return Placed(flat, placement, library, process, buffers, clock)


def key_of(config: ChipConfig, library: Sequence[Path]) -> str:
    """What a chip's price depends on: sources, sizes, cells, and the code that finds it."""
    return cache.fingerprint([*sources(), *sorted(Path(__file__).parent.glob("*.py")), *library], config)


def measure_timing(config: ChipConfig, library: Sequence[Path], step: Step) -> TimingReport:
    """library: its Liberty files. Kept where nothing changed. Raises NoSta, TriptychError."""
    check_sta()
    cells, process = check_library(library)
    name = f"{config.name}-{cells.name}-{key_of(config, library)}"
    found: TimingReport = cache.value("timing", name, lambda: _measured(config, cells, process, step))
    return found


def _measured(config: ChipConfig, cells: Library, process: Process, step: Step) -> TimingReport:
    chip = placed(config, cells, process, step)
    step("OpenSTA", 0, 0)
    with scratch() as held:
        files = chip.write(held)
        commands = [f"set_false_path -from [get_cells p{chip.flat.parts.index('u_reset')}_*]"]
        for p in range(len(chip.flat.parts)):
            ends = f"[get_cells p{p}_*]"
            commands += [f"puts {{PART {p} all}}", f"catch {{report_checks -format full -to {ends} -digits 4}}"]
            commands += [f"puts {{PART {p} own}}",
                         f"catch {{report_checks -format full -from {ends} -to {ends} -digits 4}}"]  # fmt: skip
        text = run_sta(held, files, PERIOD * 1e-9 / cells.time, commands)
    found = _paths(text, chip, cells.time * 1e9)
    return TimingReport(
        config.name, cells.name, process.node, [p for own, p in found if not own], [p for own, p in found if own],
        chip.buffers, chip.placement.boxes, chip.placement.memories,
    )  # fmt: skip


def _paths(text: str, chip: Placed, unit: float) -> list[tuple[bool, SlowPath]]:
    """unit: ns of the library's unit of time."""
    variables: dict[int, str] = {}
    for name, net in chip.flat.names.items():
        if net not in variables or name.count(".") > variables[net].count("."):
            variables[net] = name
    outputs = {name: cell.outputs for name, cell in chip.library.cells.items()}

    def called(cell: str) -> str:
        number = re.fullmatch(r"p\d+_c(\d+)", cell)
        if number is None:
            return f"a memory ({cell})"
        instance = chip.flat.cells[int(number[1])]
        nets = [instance.nets.get(pin) for pin in outputs[instance.kind]]
        known = [variables[net] for net in nets if isinstance(net, int) and net in variables]
        return known[0] if known else instance.path

    out = []
    for part, scope, body in re.findall(r"PART (\d+) (all|own)\n(.*?)(?=PART |DONE)", text, re.DOTALL):
        groups = [(float(found[1]), text) for text in re.split("(?=Startpoint: )", body)
                  if (found := re.search(r"^\s*(-?[\d.]+)\s+slack", text, re.MULTILINE))]  # fmt: skip
        if not groups:
            continue
        slack, body = min(groups)
        start, end = re.search(r"Startpoint: (\S+)", body), re.search(r"Endpoint: (\S+)", body)
        if start is None or end is None:
            continue
        modules: list[str] = []
        for number in re.findall(r"p\d+_c(\d+)/", body):
            path = chip.flat.cells[int(number)].path
            module = path.rpartition(".")[0] or path
            if "$" in module or path.startswith("buffer"):
                module = module.split("$")[0].rpartition(".")[0]
            if module and (not modules or modules[-1] != module):
                modules.append(module)
        delay = PERIOD - slack * unit
        out.append(
            (scope == "own", SlowPath(chip.flat.parts[int(part)], delay, called(start[1]), called(end[1]), modules))
        )
    return out


def plot_floorplan(report: TimingReport) -> Figure:
    """Parts and their memories to scale, with the frequency that each allows."""
    fmax = {p.part: p.fmax_mhz for p in report.paths}
    figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
    colours = plt.get_cmap("tab20")
    for number, box in enumerate(report.boxes):
        axes.add_patch(Rectangle((box.x, box.y), box.width, box.height, facecolor=colours(number % 20), edgecolor="k"))
        speed = f"\n{fmax[box.what]:.0f} MHz" if box.what in fmax else ""
        if box.width * box.height > 0.003 * sum(b.width * b.height for b in report.boxes):
            middle = box.x + box.width / 2, box.y + box.height / 2
            axes.text(*middle, box.what.removeprefix("u_") + speed, ha="center", va="center", fontsize=8)
    for box in report.memories:
        axes.add_patch(Rectangle((box.x, box.y), box.width, box.height, facecolor="#dddddd", edgecolor="k", hatch="//"))
    every = [*report.boxes, *report.memories]
    axes.set_xlim(0, max(b.x + b.width for b in every))
    axes.set_ylim(0, max(b.y + b.height for b in every))
    axes.set_aspect("equal")
    axes.set_xlabel("µm")
    axes.set_title(f"{report.config}, {report.library}: placed, not routed; hatched: memories (estimated)")
    return figure
