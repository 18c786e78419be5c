"""OpenSTA on the placed netlist: files that it reads, commands, what it answers.

Wires are stars from the driver: capacitance by the Steiner length of the net's pins, resistance by the way to each
load. Clock and reset are ideal. A memory's outputs come `SRAM_CLOCK_TO_DATA` after the clock, its inputs must stand
`SRAM_SETUP` before it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.sim.build import children
from triptych.sim.errors import TriptychError
from triptych.sim.model.flat import Flat, Net
from triptych.sim.model.liberty import Library
from triptych.sim.model.place import Placement, pin_places, steiner
from triptych.sim.model.process import FAKERAM, SRAM_CLOCK_TO_DATA, SRAM_SETUP, Process

MACRO_LOAD = 5.0  # fF of a memory's input, at 45 nm


class NoSta(Exception):
    """OpenSTA is not installed."""


def check_sta() -> None:
    """Raises NoSta when `sta` is not on the PATH."""
    if shutil.which("sta") is None:
        raise NoSta("OpenSTA is missing: apt-get install opensta")


def lengths(flat: Flat, placement: Placement) -> NDArray[np.float64]:
    """um of every net: half perimeter of its pins, times what a Steiner tree of so many takes."""
    count = np.zeros(flat.nets, np.int64)
    low, high = np.full((2, flat.nets), np.inf), np.full((2, flat.nets), -np.inf)
    table = np.array(list(pin_places(flat, placement)))
    net = table[:, 0].astype(np.int64)
    np.add.at(count, net, 1)
    for axis in (0, 1):
        np.minimum.at(low[axis], net, table[:, 1 + axis])
        np.maximum.at(high[axis], net, table[:, 1 + axis])
    half = np.where(count > 1, (high - low).sum(0), 0.0)
    return np.asarray(half * steiner(count))


def _text(net: Net) -> str:
    return f"n{net}" if isinstance(net, int) else f"1'b{'1' if net == '1' else '0'}"


def write_design(
    flat: Flat, placement: Placement, library: Library, process: Process, clock: int, ideal: set[int], folder: Path
) -> None:
    """chip.v, chip.spef, chip.sdc in a folder. clock: net. ideal: nets without wires (clock, reset)."""
    driven = {net for cell in flat.cells for pin, net in cell.nets.items()
              if library.cells[cell.kind].pins[pin].direction == "output"}  # fmt: skip
    used = {net for cell in flat.cells for net in cell.nets.values() if isinstance(net, int)}
    memory = {net for macro in flat.macros for bits in macro.nets.values() for net in bits if isinstance(net, int)}
    inputs = sorted(used - driven)
    of_memory = [net for net in inputs if net in memory and net != clock and net not in ideal]
    outputs = sorted(net for net in memory & driven if isinstance(net, int))
    ports = [f"n{net}" for net in inputs] + [f"o{net}" for net in outputs]
    with (folder / "chip.v").open("w") as file:
        file.write(f"module chip ({', '.join(ports)});\n")
        file.writelines(f"  input n{net};\n" for net in inputs)
        file.writelines(f"  output o{net};\n  assign o{net} = n{net};\n" for net in outputs)
        for n, cell in enumerate(flat.cells):
            pins = ", ".join(f".{pin}({_text(net)})" for pin, net in cell.nets.items())
            file.write(f"  {cell.kind} p{cell.part}_c{n} ({pins});\n")
        file.write("endmodule\n")
    _spef(flat, placement, library, process, ideal | {clock}, folder / "chip.spef")
    unit, scale = 1e-9 / library.time, process.node / FAKERAM
    lines = [f"create_clock -name clk -period $period [get_ports n{clock}]"]
    lines += [f"set_false_path -from [get_ports n{net}]" for net in sorted(ideal - {clock}) if net in used - driven]
    for net in of_memory:
        lines.append(f"set_input_delay -clock clk {SRAM_CLOCK_TO_DATA * scale * unit} [get_ports n{net}]")
    for net in outputs:
        lines.append(f"set_output_delay -clock clk {SRAM_SETUP * scale * unit} [get_ports o{net}]")
    (folder / "chip.sdc").write_text("\n".join(lines) + "\n")


def _spef(flat: Flat, placement: Placement, library: Library, process: Process, skip: set[int], path: Path) -> None:
    pins: dict[int, list[tuple[int, str, bool]]] = {}
    for n, cell in enumerate(flat.cells):
        kind = library.cells[cell.kind]
        for pin, net in cell.nets.items():
            if isinstance(net, int) and net not in skip:
                pins.setdefault(net, []).append((n, pin, kind.pins[pin].direction == "output"))
    size = lengths(flat, placement)
    x, y = placement.x, placement.y

    def name(n: int) -> str:
        return f"p{flat.cells[n].part}_c{n}"

    with path.open("w") as file:
        file.write(
            '*SPEF "IEEE 1481-1998"\n*DESIGN "chip"\n*DATE ""\n*VENDOR "triptych"\n*PROGRAM "triptych"\n'
            '*VERSION "1"\n*DESIGN_FLOW ""\n*DIVIDER /\n*DELIMITER :\n*BUS_DELIMITER [ ]\n'
            "*T_UNIT 1 PS\n*C_UNIT 1 FF\n*R_UNIT 1 OHM\n*L_UNIT 1 HENRY\n"
        )
        for net, found in pins.items():
            driver = next((p for p in found if p[2]), None)
            total = size[net] * process.capacitance
            loads = [p for p in found if not p[2]]
            if driver is None or not loads or total <= 0:
                continue
            head = f"{name(driver[0])}:{driver[1]}"
            file.write(f"*D_NET n{net} {total:.4f}\n*CONN\n*I {head} O\n")
            file.writelines(f"*I {name(n)}:{pin} I\n" for n, pin, _ in loads)
            each = total / (len(loads) + 1)
            file.write(f"*CAP\n1 {head} {each:.4f}\n")
            file.writelines(f"{i} {name(n)}:{pin} {each:.4f}\n" for i, (n, pin, _) in enumerate(loads, 2))
            file.write("*RES\n")
            for i, (n, pin, _) in enumerate(loads, 1):
                way = abs(x[n] - x[driver[0]]) + abs(y[n] - y[driver[0]])
                file.write(f"{i} {head} {name(n)}:{pin} {max(way * process.resistance, 0.001):.4f}\n")
            file.write("*END\n")


def run_sta(folder: Path, libraries: Sequence[Path], period: float, commands: Sequence[str]) -> str:
    """Reads the design and runs commands; returns what was printed. period: in the library's unit of time. Raises
    TriptychError when OpenSTA stops."""
    script = [
        *(f"read_liberty {path}" for path in libraries), f"read_verilog {folder / 'chip.v'}", "link_design chip",
        f"set period {period}", f"read_sdc {folder / 'chip.sdc'}", f"read_spef {folder / 'chip.spef'}",
        *commands, "puts DONE",
    ]  # fmt: skip
    (folder / "chip.tcl").write_text("\n".join(script) + "\n")
    done = children.run(["sta", "-no_splash", "-exit", str(folder / "chip.tcl")])
    if done.status or "DONE" not in done.text:
        bad = [line for line in done.text.splitlines() if line.startswith("Error") or "rror" in line]
        raise TriptychError(f"OpenSTA stopped: {(bad or done.text.splitlines()[-1:] or ['no output'])[0]}")
    return done.text
