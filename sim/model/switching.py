"""How often the chip's registers change in a window of cycles, by RTL: what power is estimated from.

Verilator counts the changes of every bit (SAIF). Registers of the netlist are found by their names in the sources;
an array, which is one variable of many bits in the netlist, gets the mean of its elements, bit by bit.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.isa import Engine
from triptych.golden.quartdepth.compiler.compile import Compiled
from triptych.sim.build import cache
from triptych.sim.build.sources import sources
from triptych.sim.model.flat import Flat
from triptych.sim.model.gates import Rate
from triptych.sim.model.liberty import Library
from triptych.sim.rtl.run import RtlRun, write_switching

CYCLES = 2000
"""Of a window."""

CHIP = "TOP.quartdepth_board.u_chip."

_NET = re.compile(r"\((\S+) \(T0 \d+\) \(T1 (\d+)\) \(TZ \d+\) \(TX \d+\) \(TB \d+\) \(TC (\d+)\)\)")
_BIT = re.compile(r"\\\[(\d+)\\\]$")


@dataclass(frozen=True)
class Window:
    """Cycles [begin, end) of a frame, in a layer, and the cycles of the frame that they stand for."""

    kind: str
    layer: str
    begin: int
    end: int
    cycles: float


@dataclass(frozen=True)
class Switching:
    """Rows (changes a cycle, share of time at one) of the bits of every variable, means over an array's elements."""

    bits: dict[str, NDArray[np.float64]]

    def of(self, name: str) -> Rate | None:
        """Of a bit of the netlist, `u_mxu.row_q[3]`; None where RTL has no such variable."""
        variable, _, index = name.rpartition("[")
        if not index[:-1].isdigit() or "." in index:
            variable, index = name, "0]"
        rows = self.bits.get(_without_indices(variable))
        if rows is None:
            return None
        changes, high = rows[int(index[:-1]) % len(rows)]
        return float(changes), float(high)


def _without_indices(variable: str) -> str:
    """An array's name: indices of blocks that generate stay, for they stand in front of a dot."""
    return re.sub(r"(\[\d+\])+$", "", variable)


def read_saif(text: str, cycles: int) -> Switching:
    """The chip's variables in a SAIF file of Verilator that covers so many cycles."""
    path: list[str] = []
    found: dict[str, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("(INSTANCE "):
            path.append(line[10:])
        elif line == "(NET":
            path.append("")
        elif line == ")":
            if path:  # the last one ends the file
                path.pop()
        elif path and (net := _NET.fullmatch(line)):
            index = _BIT.search(net[1])
            whole = ".".join([p for p in path if p] + [_BIT.sub("", net[1])])
            if whole.startswith(CHIP):
                name = _without_indices(whole.removeprefix(CHIP))
                found[name][int(index[1]) if index else 0].append((int(net[3]), int(net[2])))
    bits = {}
    for name, seen in found.items():
        bits[name] = np.zeros((max(seen) + 1, 2))
        for bit, counts in seen.items():
            # the first of the changes is from nothing to what the window begins with
            bits[name][bit] = np.mean([(max(c - 1, 0) / cycles, high / (2 * cycles)) for c, high in counts], 0)
    return Switching(bits)


def windows(compiled: Compiled, rtl: RtlRun) -> list[Window]:
    """One for each kind of layer, in the middle of the one that takes longest. Kinds: what a layer is, and in which
    mode of the array."""
    layers = compiled.layers
    ends, begins, spent = [0] * len(layers), [rtl.cycles] * len(layers), [0] * len(layers)
    last = 0
    retired = [(cycle, pc) for cycle, engine, pc, _ in rtl.retirements.tolist() if engine == Engine.MXU]
    for (cycle, pc), cycles in zip(retired, rtl.mxu_classes.sum(axis=1).tolist(), strict=True):
        layer = compiled.layer_of[pc]
        spent[layer] += cycles
        begins[layer], ends[layer], last = min(begins[layer], last), cycle, cycle
    kinds: dict[str, list[int]] = {}
    steps = {layer.name: layer for layer in compiled.network.layers}
    for n, row in enumerate(layers):
        if spent[n]:
            kind = type(steps[row.name]).__name__.removeprefix("Q") if row.name in steps else "layer"
            kinds.setdefault(f"{kind}, {row.mode}", []).append(n)
    out = []
    for kind, members in kinds.items():
        longest = max(members, key=lambda n: spent[n])
        length = min(CYCLES, max(ends[longest] - begins[longest], 2))
        begin = (begins[longest] + ends[longest] - length) // 2
        stands = sum(spent[n] for n in members) * rtl.cycles / sum(spent)
        out.append(Window(kind, layers[longest].name, begin, begin + length, stands))
    return out


def measure(compiled: Compiled, image: NDArray[np.uint8], window: Window) -> Switching:
    """Runs the program on RTL up to a window's end, once for a program, a photo and a chip. Raises TriptychError."""
    marks = hashlib.sha256(image.tobytes()).hexdigest(), compiled.config, window.begin, window.end

    def make() -> Switching:
        with scratch() as held:
            file: Path = held / "window.saif"
            count = len(compiled.instructions)
            write_switching(compiled.config, image, compiled.prog_base, count, window.begin, window.end, file)
            return read_saif(file.read_text(), window.end - window.begin)

    key = cache.fingerprint(sources(), inspect.getsource(read_saif), *marks)
    found: Switching = cache.value("switching", key, make)
    return found


def rates(flat: Flat, library: Library, switching: Switching) -> tuple[dict[int, Rate], float]:
    """Of every net that a register or a memory drives, and the share of the registers whose names RTL knows; the others
    have the mean of their part."""
    names: dict[int, list[str]] = {}
    for name, net in flat.names.items():
        names.setdefault(net, []).append(name)

    def of(net: int) -> Rate | None:
        return next((r for name in names.get(net, []) if (r := switching.of(name)) is not None), None)

    out: dict[int, Rate] = {}
    unknown: list[tuple[int, int]] = []
    seen: dict[int, list[Rate]] = defaultdict(list)
    for n in flat.flops(library):
        cell = flat.cells[n]
        for pin in library.cells[cell.kind].outputs:
            if isinstance(output := cell.nets.get(pin), int):
                if (found := of(output)) is None:
                    unknown.append((output, cell.part))
                else:
                    out[output] = found
                    seen[cell.part].append(found)
    known = len(out) / max(len(out) + len(unknown), 1)
    means = {part: np.mean(seen[part] or [(0.0, 0.5)], 0).tolist() for part in {part for _, part in unknown}}
    for net, part in unknown:
        changes, high = means[part]
        out[net] = changes, high
    driven = {net for cell in flat.cells for pin, net in cell.nets.items()
              if library.cells[cell.kind].pins[pin].direction == "output"}  # fmt: skip
    for macro in flat.macros:
        for bits in macro.nets.values():
            for bit in bits:
                if isinstance(bit, int) and bit not in driven and (answered := of(bit)) is not None:
                    out[bit] = answered
    return out, known
