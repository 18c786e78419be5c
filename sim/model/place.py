"""Placement of the chip's cells, part by part, with Coloquinte: positions, no routes.

Each part (an instance below the top) is a square of its own, cells in rows at `DENSITY`, memories beside them; the
parts stand in strips by size. The placer does not see wires to other parts; their lengths count all the same.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import scratch
from triptych.sim.build import cache, children
from triptych.sim.errors import TriptychError
from triptych.sim.model import clustering
from triptych.sim.model.flat import Flat
from triptych.sim.model.liberty import Library
from triptych.sim.model.netlist import Memory
from triptych.sim.model.process import FAKERAM, SRAM_BIT, TWO_PORTS, Process

DENSITY = 0.7
GRID = 0.01  # um
LARGEST_NET = 60  # pins of a net that pulls its cells together: clock, reset and enables of whole stages do not
WHOLE, GROUPS = 40_000, 25_000
"""Cells of a part that is placed cell by cell at most; groups of cells that a larger one is placed in."""
FAST = {"penalty_factor": 1.6, "gap": 0.3, "tolerance": 1e-2}
"""Coloquinte's global placement in 40 % of the time of its lowest effort; wires are 6 % longer (`small`'s u_load)."""

# HPWL times this is the length of a rectilinear Steiner tree of so many pins (Cheng, RISA, ICCAD 1994).
_PINS = [3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 35, 40, 45, 50]
_FACTOR = [1.0, 1.0828, 1.1536, 1.2206, 1.2823, 1.3385, 1.3991, 1.4493, 1.6899, 1.8924, 2.0743, 2.2334, 2.3895, 2.5356,
           2.6625, 2.7933]  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A rectangle in um, and what stands there: a part of the chip, or a part's memories."""

    what: str
    x: float
    y: float
    width: float
    height: float


@dataclass
class Placement:
    """x, y: middle of every cell in um, in the order of the netlist; macro_x, macro_y: of every memory. boxes: parts;
    memories: theirs."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    macro_x: NDArray[np.float64]
    macro_y: NDArray[np.float64]
    boxes: list[Box]
    memories: list[Box]


def check_placer() -> None:
    """Raises TriptychError when Coloquinte is not installed."""
    if util.find_spec("coloquinte") is None:
        raise TriptychError("placement needs Coloquinte: pip install -c constraints.txt -e '.[cost]'")


def macro_area(memory: Memory, node: int = FAKERAM) -> float:
    """um^2 of a memory with a read and a write port, in proportion to its bits, too little for small ones."""
    return memory.bits * SRAM_BIT * TWO_PORTS * (node / FAKERAM) ** 2


def steiner(pins: NDArray[np.int64]) -> NDArray[np.float64]:
    """What HPWL of nets with so many pins is multiplied by."""
    return np.interp(pins, _PINS, _FACTOR)


def place(flat: Flat, library: Library, process: Process, step: Callable[[str, int, int], None]) -> Placement:
    """Places all parts. step(part, number, of) is called before each. Raises TriptychError without Coloquinte."""
    check_placer()
    area = np.array([library.cells[cell.kind].area for cell in flat.cells])
    part = np.array([cell.part for cell in flat.cells])
    x, y = np.zeros(len(area)), np.zeros(len(area))
    memories = [[n for n, m in enumerate(flat.macros) if m.part == p] for p in range(len(flat.parts))]
    kept = [sum(macro_area(flat.macros[n].memory, process.node) for n in ns) for ns in memories]
    sides = [math.sqrt(area[part == p].sum() / DENSITY) for p in range(len(flat.parts))]
    boxes, rams = floorplan(flat.parts, sides, kept)
    macro_x, macro_y = np.zeros(len(flat.macros)), np.zeros(len(flat.macros))
    for p, name in enumerate(flat.parts):
        step(name, p, len(flat.parts))
        mine = np.flatnonzero(part == p)
        if mine.size:
            local = _placed(flat, mine, library, process, boxes[p])
            x[mine], y[mine] = local[0] + boxes[p].x, local[1] + boxes[p].y
        for place, n in enumerate(memories[p]):
            ram = rams[p]
            assert ram is not None
            macro_x[n] = ram.x + ram.width * (place + 0.5) / len(memories[p])
            macro_y[n] = ram.y if ram.y > boxes[p].y else ram.y + ram.height
    return Placement(x, y, macro_x, macro_y, boxes, [r for r in rams if r is not None])


def floorplan(names: list[str], sides: list[float], kept: list[float]) -> tuple[list[Box], list[Box | None]]:
    """Parts in strips, the largest first, each with its memories above it: no wider than a square of both."""
    wides = [max(side, math.sqrt(side**2 + held)) for side, held in zip(sides, kept, strict=True)]
    whole = [(w, side + held / w if w else 0.0) for w, side, held in zip(wides, sides, kept, strict=True)]
    total = sum(w * h for w, h in whole)
    limit = max(math.sqrt(total), *wides)
    boxes: list[Box | None] = [None] * len(names)
    rams: list[Box | None] = [None] * len(names)
    cx = cy = strip = 0.0
    for p in sorted(range(len(names)), key=lambda p: -whole[p][1]):
        width, height = whole[p]
        if cx and cx + width > limit * 1.05:
            cx, cy, strip = 0.0, cy + strip, 0.0
        boxes[p] = Box(names[p], cx, cy, sides[p], sides[p])
        if kept[p]:
            rams[p] = Box(names[p], cx, cy + sides[p], width, height - sides[p])
        cx, strip = cx + width, max(strip, height)
    return [b for b in boxes if b is not None], rams


def _placed(
    flat: Flat, mine: NDArray[np.int64], library: Library, process: Process, box: Box
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of a part's cells within its square, from the cache where the part is the same."""
    width = [max(1, round(library.cells[flat.cells[n].kind].area / process.row / GRID)) for n in mine]
    nets: dict[int, list[int]] = {}
    for place, n in enumerate(mine):
        for net in flat.cells[n].nets.values():
            if isinstance(net, int):
                nets.setdefault(net, []).append(place)
    edges = [sorted(set(cells)) for cells in nets.values()]
    edges = [cells for cells in edges if 2 <= len(cells) <= LARGEST_NET]
    facts = (width, edges, process, DENSITY, FAST, metadata.version("coloquinte"))
    coarse = mine.size > WHOLE
    key = cache.fingerprint([Path(clustering.__file__)] if coarse else [], *facts, *([GROUPS] if coarse else []))

    def make() -> list[list[float]]:
        row = round(process.row / GRID)
        if coarse:
            return _coarse(width, edges, row, round(box.width / GRID), box.what)
        return _coloquinte(width, edges, row, round(box.width / GRID), box.what)

    found = cache.value("placed", f"{box.what}-{key}", make)
    return np.array(found[0]) * GRID, np.array(found[1]) * GRID


def _coarse(width: list[int], edges: list[list[int]], row: int, side: int, what: str) -> list[list[float]]:
    """Middles of the cells of a large part: groups of them are placed, and the cells inside their groups."""
    wide = np.array(width, float)
    label = clustering.cluster(wide * row, edges, GROUPS)
    groups = int(label.max()) + 1
    rows = max(1, round(math.sqrt(wide.sum() * row / groups) / row))
    sizes = np.maximum(np.round(np.bincount(label, wide) / rows), 1)
    between = {tuple(sorted(set(label[cells].tolist()))) for cells in edges}
    nets = [list(net) for net in sorted(between) if len(net) > 1]
    x, y, _ = _coloquinte([int(size) for size in sizes], nets, rows * row, side, what)
    px, py = clustering.spread(label, np.array(x), np.array(y), wide, edges, rows, float(row))
    corner = [np.round(px - wide / 2).astype(int).tolist(), np.round(py - row / 2).astype(int).tolist()]
    return _coloquinte(width, edges, row, side, what, corner)


# Coloquinte writes to stdout, and knows no Ctrl-C.
WORKER = """
import json, math, sys
import coloquinte
task = json.load(open(sys.argv[1]))
width, row, side = task["width"], task["row"], task["side"]
rows = max(1, math.ceil(side / row))
circuit = coloquinte.Circuit(len(width))
circuit.cell_width, circuit.cell_height = width, [row] * len(width)
circuit.cell_is_fixed = [False] * len(width)
for cells in task["edges"]:
    circuit.add_net(cells, [width[c] // 2 for c in cells], [row // 2] * len(cells))
circuit.setup_rows(coloquinte.Rectangle(0, max(side, max(width) * 2), 0, rows * row), row, True, True)
parameters = coloquinte.ColoquinteParameters(1)
placer = getattr(parameters, "global")
placer.penalty.update_factor = task["penalty_factor"]
placer.gap_tolerance = task["gap"]
placer.continuous_model.conjugate_gradient_error_tolerance = task["tolerance"]
if task["at"]:
    circuit.cell_x, circuit.cell_y = task["at"]
else:
    circuit.place_global(parameters)
circuit.legalize(parameters)
circuit.place_detailed(parameters)
xs = [x + w / 2 for x, w in zip(circuit.cell_x, width)]
json.dump([xs, [y + row / 2 for y in circuit.cell_y], circuit.hpwl()], open(sys.argv[2], "w"))
"""


def _coloquinte(
    width: list[int], edges: list[list[int]], row: int, side: int, what: str, at: list[list[int]] | None = None
) -> list[list[float]]:
    """Middles of the cells. at: lower left corners to begin with. Raises TriptychError when the placer fails."""
    with scratch() as held:
        task, out = held / "task.json", held / "out.json"
        told = {"width": width, "edges": edges, "row": row, "side": side, "at": at, **FAST}
        task.write_text(json.dumps(told))
        run = children.run([sys.executable, "-c", WORKER, str(task), str(out)])
        if run.status:
            raise TriptychError(f"placing {what} failed: {(run.text.strip().splitlines() or ['no output'])[-1]}")
        found: list[list[float]] = json.loads(out.read_text())
    return found


def pin_places(flat: Flat, placement: Placement) -> Iterator[tuple[int, float, float]]:
    """Net and place of every pin of cells and memories."""
    for n, cell in enumerate(flat.cells):
        for net in cell.nets.values():
            if isinstance(net, int):
                yield net, placement.x[n], placement.y[n]
    for n, macro in enumerate(flat.macros):
        for bits in macro.nets.values():
            for net in bits:
                if isinstance(net, int):
                    yield net, placement.macro_x[n], placement.macro_y[n]


__all__ = ["Box", "Placement", "check_placer", "floorplan", "macro_area", "pin_places", "place", "steiner"]
