"""The chip as units for synthesis: every module once for each set of parameters, the hierarchy above them, memories.

Yosys elaborates the sources and writes them in its own text form, in which every instance is a module of its own.
Modules whose text is the same but for names that the tool made up are one unit here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.sim.build.sources import INCLUDES, parameters, sources
from triptych.sim.errors import TriptychError
from triptych.sim.model.yosys import run_yosys

MEMORY = "ram_1r1w"
"""The module in whose place a memory compiler puts macros."""

CLOCK_GATE = "clock_gate"
BOXES = (MEMORY, CLOCK_GATE)
"""Modules that are not synthesised: the library and the memory compiler have them."""

UNROLL = 10_000_000
"""Loop steps that may be unrolled in one process; the largest configuration's array needs some 200,000."""

_MODULE = re.compile(r"^module (\S+)$(.*?)^end$", re.MULTILINE | re.DOTALL)
_SOURCE = re.compile(r"^ *attribute \\(?:src|hdlname) .*\n", re.MULTILINE)
_DECLARED = re.compile(r"^ *(?:wire|memory|process|cell \S+)(?: .*)? (\$\S+)$", re.MULTILINE)
_CELL = re.compile(r"^  cell (\\\S+) (\S+)\n(.*?)^  end$", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"^    parameter(?: signed)? \\(\S+) (\d+)$", re.MULTILINE)
_UNKNOWN = re.compile(
    r"^  cell \$buf \S+\n(?:    .*\n)*?    connect \\A .*\d'[01]*x.*\n    connect \\Y (.*)$", re.MULTILINE
)
"""How a variable that nobody writes comes out of the reader: silently, as unknown bits."""
_LATCH = re.compile(r"^  cell \$(?:a?dlatch|dlatchsr|sr) \S+\n(?:    .*\n)*?    connect \\Q (.*)$", re.MULTILINE)
"""A latch: the reader makes it from an incomplete branch and does not say so."""
_PORT = re.compile(r"^  wire (?:.* )?(?:input|output|inout) \d+ .*$", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """A memory macro: words and bits of a word."""

    words: int
    width: int

    @property
    def bits(self) -> int:
        """Its capacity."""
        return self.words * self.width

    @property
    def module(self) -> str:
        """Its black box's name."""
        return f"{MEMORY}_{self.words}x{self.width}"

    def box(self, body: str) -> str:
        """Its black box. body: of one of any size; the reader makes one for all, whose ports would cut wider ones."""
        address = max(1, (self.words - 1).bit_length())
        widths = {"raddr_i": address, "waddr_i": address, "rdata_o": self.width, "wdata_i": self.width,
                  "wbe_i": self.width // 8}  # fmt: skip
        for port, width in widths.items():
            body, count = re.subn(rf"wire (?:width \d+ )?(\w+ \d+ \\{port}\n)", rf"wire width {width} \1", body)
            assert count == 1, f"{MEMORY} has no port {port}"
        return f"attribute \\blackbox 1\nmodule \\{self.module}{body}end"


@dataclass(frozen=True)
class Unit:
    """A module with its parameters applied. text: in Yosys' form, from `module` to `end`; children: (instance, unit);
    memories: (instance, macro)."""

    module: str
    text: str
    children: list[tuple[str, str]] = field(default_factory=list)
    memories: list[tuple[str, Memory]] = field(default_factory=list)

    @property
    def stub(self) -> str:
        """The ports alone: what a unit above needs to know."""
        head = self.text.split("\n", 1)[0]
        return "attribute \\blackbox 1\n" + "\n".join([head, *_PORT.findall(self.text), "end"])


@dataclass(frozen=True)
class Netlist:
    """units by name, children before what holds them; boxes: the memories' modules by name; top: a unit."""

    units: dict[str, Unit]
    boxes: dict[str, str]
    top: str

    def source(self, name: str) -> str:
        """A unit as a design of its own: the modules below it are black boxes."""
        unit = self.units[name]
        below = {child for _, child in unit.children}
        boxes = [text for box, text in self.boxes.items() if f" \\{box} " in unit.text]
        return "\n".join([*boxes, *(self.units[child].stub for child in sorted(below)), unit.text, ""])


def elaborate(config: ChipConfig) -> Netlist:
    """The chip at a configuration's sizes. Raises TriptychError."""
    return read(sources(), "quartdepth", parameters(config), f"the {config.name} chip")


def read(files: Sequence[Path], top: str, sizes: Mapping[str, int], what: str) -> Netlist:
    """A design from its sources. sizes: parameters of `top`; what: names it in messages. Raises TriptychError."""
    values = " ".join(f"-G {k}={v}" for k, v in sizes.items())
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    boxes = " ".join(f"--blackboxed-module {name}" for name in BOXES)
    names = " ".join(str(p) for p in files)
    read = f"read_slang --threads 1 -D SYNTHESIS --keep-hierarchy --unroll-limit {UNROLL} {boxes} {includes} {values}"
    with scratch() as held:
        out = held / "design.il"
        run_yosys([f"{read} --top {top} {names}", f"write_rtlil {out}"], what)
        text = out.read_text()
    for fault, pattern in (("net without a driver", _UNKNOWN), ("latch", _LATCH)):
        if found := pattern.search(text):
            raise TriptychError(f"{what} has a {fault}: {found[1]}")
    return parse(text, top)


def parse(text: str, top: str) -> Netlist:
    """Units of a design in Yosys' form."""
    modules = {name: body for name, body in _MODULE.findall(_SOURCE.sub("", text))}
    units: dict[str, Unit] = {}
    known: dict[str, str] = {}  # unit of an elaborated module
    boxes: dict[str, str] = {}
    if (gate := modules.get("\\" + CLOCK_GATE)) is not None:
        boxes[CLOCK_GATE] = f"attribute \\blackbox 1\nmodule \\{CLOCK_GATE}{gate}end"

    def unit(name: str) -> str:
        if name not in known:
            body = modules[name]
            children: list[tuple[str, str]] = []
            memories: list[tuple[str, Memory]] = []
            for kind, instance, inside in _CELL.findall(body):
                plain = instance.lstrip("\\")
                if kind[1:] == MEMORY:
                    p = dict(_PARAMETER.findall(inside))
                    memory = Memory(int(p["Words"]), 8 * int(p["Bytes"]))
                    memories.append((plain, memory))
                    boxes[memory.module] = memory.box(modules["\\" + MEMORY])
                    body = body.replace(f"  cell {kind} {instance}\n", f"  cell \\{memory.module} {instance}\n")
                elif kind[1:] in boxes:
                    continue
                elif kind in modules:
                    children.append((plain, unit(kind)))
                    body = body.replace(f"  cell {kind} {instance}\n", f"  cell \\{children[-1][1]} {instance}\n")
            body = _canonical(body)
            module = name.lstrip("\\").split("$")[0]
            known[name] = f"{module}-{hashlib.sha256(body.encode()).hexdigest()[:12]}"
            units.setdefault(known[name], Unit(module, f"module \\{known[name]}{body}end", children, memories))
        return known[name]

    return Netlist(units, boxes, unit(f"\\{top}"))


def _canonical(body: str) -> str:
    """The module with its made-up names numbered in order."""
    names = {name: f"${number}" for number, name in enumerate(dict.fromkeys(_DECLARED.findall(body)))}
    return re.sub(r"(?<=[\s{])\$\S+", lambda m: names.get(m[0], m[0]), body)
