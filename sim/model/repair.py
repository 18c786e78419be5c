"""Buffers into nets with many loads, and into long ones: what a flow does between placement and routing.

Loads are split by place until no group has more than `MOST` of them or reaches further than `REACH`; every group gets a
buffer in its middle, and so on up to the driver, twice as far each time. The clock is left alone: it is ideal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from triptych.sim.model.flat import Flat, Instance
from triptych.sim.model.liberty import Library
from triptych.sim.model.place import Placement

MOST = 12
REACH = 400.0
"""Half perimeter in um at 45 nm; scaled with the node."""

Load = tuple[int, str]  # cell and pin; memories and ports are cells from `len(flat.cells)` on


@dataclass(frozen=True)
class Buffers:
    """kind: the cell. area: um^2 of all of them together. count: how many."""

    kind: str
    area: float
    count: int


def buffer_cell(library: Library) -> tuple[str, str, str]:
    """A buffer of middling strength: cell, input, output. Raises ValueError when there is none."""
    found = sorted(
        (cell.area, cell.name, cell.inputs[0], cell.outputs[0])
        for cell in library.cells.values()
        if len(cell.inputs) == len(cell.outputs) == 1 and cell.next_state is None and cell.area > 0
        and (cell.pins[cell.outputs[0]].function or "").strip("() ") == cell.inputs[0]
        and "dly" not in cell.name.lower() and "clk" not in cell.name.lower()
    )  # fmt: skip
    if not found:
        raise ValueError(f"the library {library.name} has no buffer")
    return found[len(found) // 2][1:]


def repair(flat: Flat, placement: Placement, library: Library, ideal: Iterable[int], node: int) -> Buffers:
    """Adds buffers to the netlist and to the placement. ideal: nets that stay as they are."""
    kind, source, sink = buffer_cell(library)
    reach, skip = REACH * node / 45, set(ideal)
    loads: dict[int, list[Load]] = {}
    driver: dict[int, int] = {}
    for n, cell in enumerate(flat.cells):
        inputs = set(library.cells[cell.kind].inputs)
        for pin, net in cell.nets.items():
            if isinstance(net, int) and net not in skip:
                if pin in inputs:
                    loads.setdefault(net, []).append((n, pin))
                else:
                    driver[net] = n
    xs, ys = list(placement.x), list(placement.y)
    count = 0

    def grouped(group: list[Load], far: float) -> list[list[Load]]:
        px, py = [xs[n] for n, _ in group], [ys[n] for n, _ in group]
        wide, high = max(px) - min(px), max(py) - min(py)
        if len(group) <= MOST and (wide + high <= far or len(group) == 1):
            return [group]
        order = sorted(range(len(group)), key=(px if wide >= high else py).__getitem__)
        half = len(order) // 2
        return [g for part in (order[:half], order[half:]) for g in grouped([group[i] for i in part], far)]

    for net, found in loads.items():
        here, far = found, reach
        from_cell = driver.get(net)
        while len(groups := grouped(here, far)) > 1:
            above: list[Load] = []
            for group in groups:
                new = flat.nets
                flat.nets += 1
                part = flat.cells[group[0][0]].part
                for n, pin in group:
                    flat.cells[n].nets[pin] = new
                xs.append(float(np.mean([xs[n] for n, _ in group])))
                ys.append(float(np.mean([ys[n] for n, _ in group])))
                flat.cells.append(Instance(f"buffer{count}", kind, part, {source: net, sink: new}))
                above.append((len(flat.cells) - 1, source))
                count += 1
            here, far = above, 2 * far
        # one group that is far from its driver: a buffer each `reach`
        if from_cell is not None:
            x, y = float(np.mean([xs[n] for n, _ in here])), float(np.mean([ys[n] for n, _ in here]))
            hops = int((abs(x - xs[from_cell]) + abs(y - ys[from_cell])) / reach)
            for hop in range(hops, 0, -1):
                new = flat.nets
                flat.nets += 1
                for n, pin in here:
                    flat.cells[n].nets[pin] = new
                xs.append(xs[from_cell] + (x - xs[from_cell]) * hop / (hops + 1))
                ys.append(ys[from_cell] + (y - ys[from_cell]) * hop / (hops + 1))
                part = flat.cells[here[0][0]].part
                flat.cells.append(Instance(f"buffer{count}", kind, part, {source: net, sink: new}))
                here = [(len(flat.cells) - 1, source)]
                count += 1
    placement.x, placement.y = np.array(xs), np.array(ys)
    return Buffers(kind, count * library.cells[kind].area, count)
