"""What the chip costs, of the files that `triptych area`, `timing` and `energy` leave beside a run: a section each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from triptych.sim.label import Label
from triptych.sim.view.cost_files import AREA, ENERGY, TIMING, AreaFile, EnergyFile, Instance, Part, TimingFile
from triptych.sim.view.figure import Axis, Bars, Box, Boxes, Figure, Item, Quantity, Section, Series, Table, sections
from triptych.sim.view.palette import nth
from triptych.sim.view.records import FieldError, from_json
from triptych.sim.view.runs import ChipRun
from triptych.sim.view.treemap import treemap

GROUPS = (
    ("MXU", "blue", r"/u_mxu(/|$)"),
    ("VPU: reductions", "pink", r"/u_vpu/.*reduc"),
    ("VPU: functions", "red", r"/u_vpu/.*(function|table|exp)"),
    ("VPU: storage", "yellow", r"/u_vpu/.*(store|scalars|parameters|prog)"),
    ("VPU: requantise", "orange", r"/u_vpu/.*(lane|requant)"),
    ("VPU: control", "sky", r"/u_vpu(/|$)"),
    ("DMA and scratchpad", "green", r"/u_(dma|spad|read_arbiter|load|store)"),
    ("front end, registers, top", "grey", r""),
)
"""What an instance belongs to, by the first pattern that its path has."""

Record = TypeVar("Record")


def cost_sections(run: ChipRun, folder: Path) -> tuple[list[Section], list[Quantity]]:
    """Sections of the files in `folder` that are of the run's chip, and their numbers."""
    items: list[Item] = []
    numbers = []
    area = beside(folder / AREA, AreaFile)
    if area is not None and area.config == run.chip.name and area.instances:
        items += [area_map(area), area_table(area)]
        total = area.instances[0].total
        numbers.append(Quantity("area", f"logic, {area.library}", total, area.unit, Label(area.label), -1))
    timing = beside(folder / TIMING, TimingFile)
    if timing is not None and timing.config == run.chip.name and timing.paths:
        items += [floorplan(timing), path_table(timing)]
        slow = max(timing.paths, key=lambda p: p.delay)
        numbers.append(Quantity("fmax", f"clock, {timing.library}", 1e3 / slow.delay, "MHz", Label.PLACED, 1))
    energy = beside(folder / ENERGY, EnergyFile)
    if energy is not None and energy.config == run.chip.name and energy.parts:
        items.append(energy_bars(energy))
        total = sum(p.mj for p in energy.parts) + sum(energy.memories.values())
        frame = f"a frame of {energy.network}, {energy.library}"
        numbers.append(Quantity("energy", frame, total, "mJ", Label.ESTIMATED, -1))
    return sections(("cost", "What it costs", items)), numbers


def beside(path: Path, kind: type[Record]) -> Record | None:
    """A file's content; None where it is missing or no such file."""
    try:
        return from_json(kind, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError, FieldError):
        return None


def group_of(path: str) -> int:
    """Index in GROUPS."""
    return next(n for n, (_, _, pattern) in enumerate(GROUPS) if re.search(pattern, path))


def area_map(area: AreaFile) -> Figure:
    """A treemap: groups, and in each the instances by the area of their own cells."""
    whole = sum(i.own for i in area.instances)
    mine: list[list[Instance]] = [[] for _ in GROUPS]
    for instance in area.instances:
        if instance.own > 0:
            mine[group_of(instance.path)].append(instance)
    order = sorted((n for n in range(len(GROUPS)) if mine[n]), key=lambda n: -sum(i.own for i in mine[n]))
    places = treemap([sum(i.own for i in mine[n]) for n in order], (0.0, 0.0, 1.6, 1.0))
    boxes = []
    for group, place in zip(order, places, strict=True):
        parts = sorted(mine[group], key=lambda i: -i.own)
        shown = [i for i in parts if i.own > 0.002 * whole]
        rest = sum(i.own for i in parts) - sum(i.own for i in shown)
        named = [(i.path.removeprefix("quartdepth/"), i.own) for i in shown]
        named += [(f"{len(parts) - len(shown)} smaller", rest)] if rest > 0 else []
        for (name, own), (x, y, width, height) in zip(named, treemap([v for _, v in named], place), strict=True):
            text = f"{own / whole:.1%}"
            boxes.append(Box(name.rpartition("/")[2], group, x / 1.6, y, width / 1.6, height, own, f"{name}: {text}"))
    groups = [(name, colour) for name, colour, _ in GROUPS]
    title = f"area by unit: {area.config}, {area.library}, memories apart"
    return Figure("area", title, Label(area.label), Boxes(boxes, groups, area.unit))


def area_table(area: AreaFile) -> Table:
    """Groups with their area, share and memories."""
    whole = sum(i.own for i in area.instances)
    rows: list[list[Any]] = []
    for n, (name, _, _) in enumerate(GROUPS):
        mine = [i for i in area.instances if group_of(i.path) == n]
        own = sum(i.own for i in mine)
        rows.append([name, len(mine), round(own, 1), round(100 * own / whole, 2)])
    title = f"area by group; {area.instances[0].memory_bits / 8192:,.0f} KiB of memories are apart"
    return Table("area_table", title, Label(area.label), ["group", "instances", area.unit, "of the logic, %"], rows)


def floorplan(timing: TimingFile) -> Figure:
    """Parts to scale, with the clock that the slowest path into each allows; memories in grey."""
    every = [*timing.boxes, *timing.memories]
    left, low = min(b.x for b in every), min(b.y for b in every)
    wide, high = max(b.x + b.width for b in every) - left, max(b.y + b.height for b in every) - low
    clocks = {p.part: 1e3 / p.delay for p in timing.paths}
    boxes = []
    for number, place in enumerate(every):
        memory = number >= len(timing.boxes)
        said = "memories" if memory else f"{clocks[place.what]:.0f} MHz" if place.what in clocks else "no path"
        name = place.what.removeprefix("u_") + (" memories" if memory else "")
        boxes.append(
            Box(name, 1 if memory else 0, (place.x - left) / wide, 1 - (place.y - low + place.height) / high,
                place.width / wide, place.height / high, place.width * place.height, f"{name}: {said}")
        )  # fmt: skip
    drawn = Boxes(boxes, [("logic", nth(4)), ("memories, by a model", "grey")], "um^2", wide / high)
    title = f"floorplan: {timing.config}, {timing.library}, {wide:,.0f} x {high:,.0f} um"
    return Figure("floorplan", title, Label.PLACED, drawn)


def path_table(timing: TimingFile) -> Table:
    """The slowest path into every part."""
    rows: list[list[Any]] = [
        [p.part, round(1e3 / p.delay, 1), round(p.delay, 3), p.start, p.end, " → ".join(p.modules)]
        for p in sorted(timing.paths, key=lambda p: -p.delay)
    ]
    columns = ["part", "MHz", "ns", "from", "to", "through"]
    return Table("path_table", "the slowest path into every part", Label.PLACED, columns, rows)


def energy_bars(energy: EnergyFile) -> Figure:
    """A frame's energy by part of the chip and kind of memory, the largest first."""
    rows = [(p.name.removeprefix("u_"), p.mj, 0.0, _each(energy, p)) for p in energy.parts]
    rows += [(kind, 0.0, mj, "by stated pJ a byte") for kind, mj in energy.memories.items()]
    rows.sort(key=lambda row: -(row[1] + row[2]))
    series = [
        Series("logic, by OpenSTA", "blue", [row[1] for row in rows]),
        Series("memories, stated", "grey", [row[2] for row in rows]),
    ]
    bars = Bars([row[0] for row in rows], series, Axis("mJ a frame"), [row[3] for row in rows])
    title = f"energy of a frame: {energy.config}, {energy.library}"
    return Figure("energy_parts", title, Label.ESTIMATED, bars)


def _each(energy: EnergyFile, part: Part) -> str:
    """pJ a cycle in each window."""
    return "pJ a cycle: " + "; ".join(f"{kind} {pj:.1f}" for kind, pj in zip(energy.kinds, part.pj, strict=False))
