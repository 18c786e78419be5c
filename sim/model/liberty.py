"""Cell libraries in the Liberty format: read and checked before anything that takes minutes is begun."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from triptych.sim.errors import TriptychError

_OUTSIDE = re.compile(rb'/\*.*?\*/|"(?:[^"\\]|\\.)*"', re.DOTALL)  # braces in comments and strings count for nothing
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_HEAD = re.compile(r"(\w+)\s*\(\s*([^)]*)\)\s*$")
_VALUE = re.compile(r'(\w+)\s*:\s*("[^"]*"|[^;\n]+?)\s*(?:;|\n|$)')  # some files leave semicolons out
_CAPACITANCE = re.compile(r"capacitive_load_unit\s*\(\s*([\d.]+)\s*,\s*\"?(\w+)\"?\s*\)")

OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
"""The library of Debian's qflow-tech-osu018."""


@dataclass(frozen=True)
class Pin:
    """direction: input, output, inout or internal; capacitance in fF; function: of an output, in Liberty's notation."""

    direction: str
    capacitance: float
    function: str | None


@dataclass(frozen=True)
class Cell:
    """A standard cell. area in um^2. next_state, clock: of a flip-flop, in Liberty's notation. gates_clock: it is a
    clock gate."""

    name: str
    area: float
    pins: dict[str, Pin]
    next_state: str | None = None
    clock: str | None = None
    gates_clock: bool = False

    @property
    def inputs(self) -> list[str]:
        """Names of the input pins."""
        return [name for name, pin in self.pins.items() if pin.direction == "input"]

    @property
    def outputs(self) -> list[str]:
        """Names of the output pins."""
        return [name for name, pin in self.pins.items() if pin.direction == "output"]


@dataclass(frozen=True)
class Library:
    """Cells, from one file or several that belong together.

    name: of the first file; title: what it calls its library. texts: unpacked. voltage: nominal. time: s of a unit of
    time.
    """

    name: str
    title: str
    texts: list[bytes] = field(repr=False)
    cells: dict[str, Cell] = field(repr=False)
    voltage: float
    time: float

    @cached_property
    def gate(self) -> float:
        """um^2 of a gate equivalent, the smallest NAND of two inputs. Raises TriptychError when there is none."""
        pattern = re.compile(r"\(?\s*!\s*\(\s*\(?(\w+)\s*[&* ]\s*(\w+)\)?\s*\)\s*\)?|\(?!(\w+)\)? ?[|+] ?\(?!(\w+)\)?")
        found = [
            cell.area
            for cell in self.cells.values()
            if len(cell.inputs) == 2 and len(cell.outputs) == 1 and cell.next_state is None and cell.area > 0
            for text in [cell.pins[cell.outputs[0]].function or ""]
            if pattern.fullmatch(text.strip())
        ]
        if not found:
            raise TriptychError(f"the library {self.name} has no NAND of two inputs, in which gates are counted")
        return min(found)

    @cached_property
    def flop(self) -> Cell:
        """The smallest flip-flop of those with the fewest pins."""
        found = [cell for cell in self.cells.values() if cell.next_state and cell.clock and cell.area > 0]
        return min(found, key=lambda cell: (len(cell.inputs), cell.area))

    @property
    def clock_gate(self) -> float:
        """um^2 of a clock gate with a test pin where there is one, otherwise of any; without gates, of a flip-flop."""
        found = [cell for cell in self.cells.values() if cell.gates_clock and cell.area > 0]
        test = [cell for cell in found if len(cell.inputs) == 3]
        return min((cell.area for cell in test or found), default=self.flop.area)

    def write(self, folder: Path) -> list[Path]:
        """Puts the unpacked files where tools can read them."""
        paths = []
        for number, text in enumerate(self.texts):
            path = folder / f"cells{number}.lib"
            path.write_bytes(text)
            paths.append(path)
        return paths

    def write_merged(self, folder: Path) -> Path:
        """Puts all cells into one file: ABC refuses a file that has inverters and buffers alone. Raises TriptychError
        when cells or templates of one name differ."""
        path = folder / "cells.lib"
        path.write_bytes(_merged(self.texts) if len(self.texts) > 1 else self.texts[0])
        return path


def _merged(texts: Sequence[bytes]) -> bytes:
    """The first file with the cells of the others, and the templates of tables that it has not."""
    plain = [_COMMENT.sub("", text.decode(errors="replace")) for text in texts]
    first, *others = plain
    known = {(part.kind, part.name): part.text.split() for part in _parts(first)}
    added = []
    for part in (part for other in others for part in _parts(other)):
        if part.kind != "cell" and not part.kind.endswith("_template"):
            continue
        key, words = (part.kind, part.name), part.text.split()
        if key not in known:
            known[key] = words
            added.append(part.text)
        elif known[key] != words:
            raise TriptychError(f"the library's files have a {part.kind} {part.name} each, and these differ")
    return (first.rstrip().removesuffix("}") + "\n".join(added) + "\n}\n").encode()


def read_liberty(path: Path) -> bytes:
    """The library's text, unpacked. Raises TriptychError when it is missing, damaged, cut off, or holds no cells."""
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError:
        raise TriptychError(f"no liberty file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TriptychError(f"cannot read the liberty file {path}: {error}") from error
    bare = _OUTSIDE.sub(b"", text)
    if not re.search(rb"\blibrary\s*\(", bare) or not re.search(rb"\bcell\s*\(", bare):
        raise TriptychError(f"{path} is no cell library in the Liberty format")
    if bare.count(b"{") != bare.count(b"}"):
        raise TriptychError(f"{path} is cut off or damaged: its braces do not match")
    return text


def read_library(paths: Sequence[Path]) -> Library:
    """Cells of the files together. Raises TriptychError as `read_liberty`, and when no cell is a flip-flop."""
    texts = [read_liberty(path) for path in paths]
    cells: dict[str, Cell] = {}
    voltage, title, time = 0.0, "", 1e-9
    for text in texts:
        plain = _COMMENT.sub("", text.decode(errors="replace"))
        found = _CAPACITANCE.search(plain)
        unit = float(found[1]) * {"ff": 1.0, "pf": 1000.0}[found[2].lower()] if found else 1000.0
        nominal = re.search(r"\bnom_voltage\s*:\s*\"?([\d.]+)", plain)
        voltage = voltage or (float(nominal[1]) if nominal else 0.0)
        if not title:
            title = re.sub(r"\W+$|^\W+", "", (re.search(r"\blibrary\s*\(([^)]*)", plain) or [plain, ""])[1])
            scale = re.search(r"\btime_unit\s*:\s*\"?\s*([\d.]+)\s*([pn])s", plain)
            time = float(scale[1]) * {"p": 1e-12, "n": 1e-9}[scale[2]] if scale else 1e-9
        cells |= {part.name: _cell(part, unit) for part in _parts(plain) if part.kind == "cell"}
    name = paths[0].name.split(".")[0]
    if not any(cell.next_state for cell in cells.values()):
        raise TriptychError(f"{paths[0]} holds no flip-flops: name a library of standard cells, all its files")
    return Library(name, title, texts, cells, voltage, time)


@dataclass(frozen=True)
class _Group:
    """kind (name) { body }; text: all of it."""

    kind: str
    name: str
    body: str
    text: str

    @property
    def values(self) -> dict[str, str]:
        """What it says itself, outside the groups in it."""
        own = self.body
        for part in _groups(self.body):
            own = own.replace(part.text, "", 1)
        return {key: value.strip().strip('"').strip() for key, value in _VALUE.findall(own)}


def _groups(text: str) -> Iterator[_Group]:
    """The groups that stand in a text, without those within them."""
    depth = at = begin = body = 0
    for brace in re.finditer("[{}]", text):
        depth += 1 if brace[0] == "{" else -1
        if brace[0] == "{" and depth == 1:
            head = _HEAD.search(text[at : brace.start()].rstrip())
            kind, name = (head[1], head[2].strip().strip('"')) if head else ("", "")
            begin, body = at + head.start() if head else brace.start(), brace.end()
        elif brace[0] == "}" and depth == 0:
            at = brace.end()
            yield _Group(kind, name, text[body : brace.start()], text[begin:at])


def _parts(text: str) -> list[_Group]:
    """Cells, templates and what else a library holds."""
    return [part for library in _groups(text) for part in _groups(library.body)]


def _cell(group: _Group, unit: float) -> Cell:
    """unit: fF of the file's unit of capacitance."""
    pins, state, clock = {}, None, None
    for part in _groups(group.body):
        values = part.values
        if part.kind == "ff":
            state, clock = values.get("next_state"), values.get("clocked_on")
        elif part.kind == "pin":
            capacitance = float(values.get("capacitance", "0")) * unit
            pins[part.name] = Pin(values.get("direction", ""), capacitance, values.get("function"))
    values = group.values
    gates = "clock_gating_integrated_cell" in values
    return Cell(group.name, float(values.get("area", "0")), pins, state, clock, gates)
