"""The chip as one netlist of library cells: what placement, timing and energy work on.

Every cell knows the part of the chip (the instance below the top) that it belongs to. Memories are left out: their pins
stand as loads and drivers of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from triptych.sim.model.liberty import Library
from triptych.sim.model.mapped import MappedUnit
from triptych.sim.model.netlist import MEMORY, Memory, Netlist

Net = int | str  # a number, or a constant: "0", "1", "x"


@dataclass(frozen=True)
class Instance:
    """A cell. path: with dots, from below the top. part: number in `Flat.parts`. nets: by pin."""

    path: str
    kind: str
    part: int
    nets: dict[str, Net]


@dataclass(frozen=True)
class Macro:
    """A memory. nets: by port."""

    path: str
    memory: Memory
    part: int
    nets: dict[str, list[Net]]


@dataclass
class Flat:
    """parts: names, the top's own cells first. nets: how many. ports: direction and nets. names: the net of a bit of a
    variable, `u_mxu.row_q[3]`."""

    parts: list[str]
    cells: list[Instance] = field(default_factory=list, repr=False)
    macros: list[Macro] = field(default_factory=list, repr=False)
    ports: dict[str, tuple[str, list[Net]]] = field(default_factory=dict, repr=False)
    names: dict[str, int] = field(default_factory=dict, repr=False)
    nets: int = 0

    def flops(self, library: Library) -> list[int]:
        """Numbers of the cells that are flip-flops."""
        return [n for n, cell in enumerate(self.cells) if library.cells[cell.kind].next_state is not None]


TOP = "top"


def flatten(netlist: Netlist, units: Mapping[str, MappedUnit], library: Library) -> Flat:
    """The netlist below its top, all of it."""
    flat = Flat([TOP])
    joined: dict[int, Net] = {}  # an output of a clock gate is its input

    def walk(name: str, path: str, part: int, outer: dict[int, Net]) -> None:
        unit, mapped = netlist.units[name], units[name]
        children, memories = dict(unit.children), dict(unit.memories)
        inner = outer

        def net(bit: int | str) -> Net:
            if isinstance(bit, str):
                return bit
            if bit not in inner:
                inner[bit] = flat.nets
                flat.nets += 1
            return inner[bit]

        for gate in mapped.gates:
            if gate.kind in library.cells:
                nets = {pin: net(bits[0]) for pin, bits in gate.nets.items() if bits}
                flat.cells.append(Instance(f"{path}{gate.name}", gate.kind, part, nets))
                continue
            plain = gate.name.lstrip("\\")
            if plain in children:
                below = children[plain]
                ports = {
                    bit: net(given)
                    for port, (_, bits) in units[below].ports.items()
                    for bit, given in zip(bits, gate.nets.get(port, []), strict=False)
                    if isinstance(bit, int)
                }
                mine = part
                if not path:
                    flat.parts.append(plain)
                    mine = len(flat.parts) - 1
                walk(below, f"{path}{plain}.", mine, ports)
            elif plain in memories:
                flat.macros.append(
                    Macro(f"{path}{plain}", memories[plain], part,
                          {port: [net(b) for b in bits] for port, bits in gate.nets.items()})
                )  # fmt: skip
            else:  # a clock gate: always open here; its enable must be there as early as a flip-flop's data
                gated, clock = net(gate.nets["clk_o"][0]), net(gate.nets["clk_i"][0])
                if isinstance(gated, int):
                    joined[gated] = clock
                flop = library.flop
                data = next(pin for pin in flop.inputs if pin in str(flop.next_state))
                edge = next(pin for pin in flop.inputs if pin in str(flop.clock))
                latch = {data: net(gate.nets["en_i"][0]), edge: clock}
                flat.cells.append(Instance(f"{path}{gate.name}", flop.name, part, latch))
        for variable, bit in mapped.names.items():
            found = net(bit)
            if isinstance(found, int):
                flat.names[f"{path}{variable}"] = found

    top: dict[int, Net] = {}
    walk(netlist.top, "", 0, top)
    for port, (direction, bits) in units[netlist.top].ports.items():
        flat.ports[port] = (direction, [top[b] if isinstance(b, int) else b for b in bits])
    _without_buffers(flat, library, joined)
    return flat


def _without_buffers(flat: Flat, library: Library, joined: dict[int, Net]) -> None:
    """The mapper's buffers stand in chains, made without places: taken out, placement makes trees of its own. joined:
    nets that are other nets."""
    buffers = {
        name: (cell.inputs[0], cell.outputs[0])
        for name, cell in library.cells.items()
        if len(cell.inputs) == len(cell.outputs) == 1 and cell.next_state is None
        and (cell.pins[cell.outputs[0]].function or "").strip("() ") == cell.inputs[0]
    }  # fmt: skip
    kept = []
    for cell in flat.cells:
        pins = buffers.get(cell.kind)
        if pins is None:
            kept.append(cell)
        elif isinstance(out := cell.nets.get(pins[1]), int):
            joined[out] = cell.nets[pins[0]]

    def end(net: Net) -> Net:
        seen = []
        while isinstance(net, int) and net in joined:
            seen.append(net)
            net = joined[net]
        for one in seen:
            joined[one] = net
        return net

    flat.cells = kept
    for cell in kept:
        for pin, net in cell.nets.items():
            cell.nets[pin] = end(net)
    for macro in flat.macros:
        for port, bits in macro.nets.items():
            macro.nets[port] = [end(net) for net in bits]
    flat.ports = {port: (way, [end(net) for net in bits]) for port, (way, bits) in flat.ports.items()}
    flat.names = {name: found for name, net in flat.names.items() if isinstance(found := end(net), int)}


__all__ = ["MEMORY", "TOP", "Flat", "Instance", "Macro", "flatten"]
