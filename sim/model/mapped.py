"""Units of the chip mapped to the cells of a library: every module once for each set of parameters, kept by content."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from triptych.golden.files import scratch
from triptych.sim.build import cache
from triptych.sim.model.liberty import Library
from triptych.sim.model.netlist import Netlist
from triptych.sim.model.yosys import run_yosys

MAP_TO_LIBRARY = "+strash;dc2;&get,-n;&st;&dch;&nf;&put;buffer,-c;topo;upsize,{D};dnsize,{D};stime,-p"

Step = Callable[[str, int, int], None]
"""step(module, number, of) is called before each unit."""


@dataclass(frozen=True)
class Gate:
    """A cell of the library, or a module or memory below. nets: by pin and bit, one net or constant each."""

    name: str
    kind: str
    nets: dict[str, list[int | str]]


@dataclass(frozen=True)
class MappedUnit:
    """A unit's own gates. Nets are numbers; "0", "1", "x" are constants.

    ports: direction and nets; names: net of a bit of a variable of the sources, `row_q[3]` (one bit: `valid_q`).
    """

    module: str
    ports: dict[str, tuple[str, list[int | str]]]
    gates: list[Gate] = field(repr=False)
    names: dict[str, int] = field(repr=False)


def _commands(unit: str, source: Path, library: list[Path], out: Path) -> list[str]:
    named = " ".join(f"-liberty {path}" for path in library)
    return [
        f"read_rtlil {source}", f"hierarchy -top {unit}", "proc", "opt_clean", "check -assert",
        f"synth -noabc -top {unit}", f"dfflibmap {named}", f"abc {named} -script {MAP_TO_LIBRARY}", "opt_clean",
        f"write_json {out}",
    ]  # fmt: skip


def map_unit(netlist: Netlist, unit: str, library: Library) -> MappedUnit:
    """One unit, from the cache where its text, the library and the recipe are the same. Raises TriptychError as
    `run_yosys` does."""
    recipe = _commands("unit", Path("unit"), [Path("library")], Path("out"))
    marks = [hashlib.sha256(text).hexdigest() for text in library.texts]
    key = cache.fingerprint([], netlist.source(unit), recipe, marks, metadata.version("pyosys"))

    def make(folder: Path) -> None:
        with scratch() as held:
            source, out = held / "unit.il", held / "out.json"
            source.write_text(netlist.source(unit))
            run_yosys(_commands(unit, source, [library.write_merged(held)], out), netlist.units[unit].module)
            with gzip.open(folder / "unit.json.gz", "wb", compresslevel=1) as stream:
                stream.write(out.read_bytes())

    path = cache.file("mapped", f"{unit}-{key}", "unit.json.gz", make)
    with gzip.open(path) as stream:
        return _unit(netlist.units[unit].module, json.load(stream)["modules"][unit])


def _unit(module: str, held: dict[str, Any]) -> MappedUnit:
    names: dict[str, int] = {}
    for name, net in held["netnames"].items():
        if net.get("hide_name"):
            continue
        bits, offset = net["bits"], net.get("offset", 0)
        for place, bit in enumerate(bits):
            if isinstance(bit, int):
                names[name if len(bits) == 1 else f"{name}[{place + offset}]"] = bit
    gates = [Gate(name, cell["type"], cell["connections"]) for name, cell in held["cells"].items()]
    ports = {name: (port["direction"], port["bits"]) for name, port in held["ports"].items()}
    return MappedUnit(module, ports, gates, names)


def map_units(netlist: Netlist, library: Library, step: Step) -> dict[str, MappedUnit]:
    """All units of a netlist by name. Raises TriptychError as `run_yosys` does."""
    found = {}
    for number, name in enumerate(netlist.units):
        step(netlist.units[name].module, number, len(netlist.units))
        found[name] = map_unit(netlist, name, library)
    return found
