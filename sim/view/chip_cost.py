"""What the chip costs, of the files that `triptych area`, `timing` and `energy` leave beside a run: a section each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from triptych.sim.label import Label
from triptych.sim.view.cost_files import AREA, AreaFile, Instance
from triptych.sim.view.figure import Box, Boxes, Figure, Quantity, Section, Table, sections
from triptych.sim.view.records import FieldError, from_json
from triptych.sim.view.runfile import ChipRun
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
    area = beside(folder / AREA, AreaFile)
    if area is None or area.config != run.chip.name:
        return [], []
    label = Label(area.label)
    top = area.instances[0]
    numbers = [Quantity("area", f"logic of the chip, {area.library}", top.total, area.unit, label, -1)]
    return sections(("area", "What it costs", [area_map(area), area_table(area)])), numbers


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
