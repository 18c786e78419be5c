"""Verilator's counts: read, merged over runs and instances, told by module."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych.golden.files import write
from triptych.sim.build.sources import RTL

KINDS = ("line", "branch", "expr", "toggle")
SUM, SIMULATIONS = "sum.dat", b"# simulations"
LINE = re.compile(r"^C '(?P<key>.*)' (?P<count>\d+)$", re.S)


@dataclass(frozen=True, order=True)
class Point:
    """Something that a run passes or does not. place: file below `rtl/`. comment: which branch, which bit."""

    place: str
    line: int
    column: int
    kind: str
    comment: str

    @property
    def module(self) -> str:
        """The file's name without its ending."""
        return Path(self.place).stem


Counts = dict[Point, int]


def fold(folder: Path) -> None:
    """Sums what simulations left in a folder into `SUM`, which says of how many they are, and removes the parts: those
    of one model differ in their numbers alone, and there are gigabytes of them."""
    parts = [path for path in folder.glob("*.dat") if path.name != SUM]
    if not parts:
        return
    held = folder / SUM
    sums: dict[bytes, int] = defaultdict(int)
    for path in (*([held] if held.exists() else []), *parts):
        with path.open("rb") as lines:
            for line in lines:
                key, _, count = line.rpartition(b" ")
                if key.startswith(b"C '"):
                    sums[key] += int(count)
    head = b"%s %d\n" % (SIMULATIONS, simulations(folder) + len(parts))
    write(held, head + b"".join(b"%s %d\n" % item for item in sums.items()))
    for path in parts:
        path.unlink()


def simulations(folder: Path) -> int:
    """Of how many simulations the sum is."""
    held = folder / SUM
    if not held.exists():
        return 0
    with held.open("rb") as lines:
        return int(lines.readline().removeprefix(SIMULATIONS))


def read(path: Path, root: Path = RTL) -> Counts:
    """Points of files below `root`, added over instances and sizes of a module."""
    found: Counts = defaultdict(int)
    for text in path.read_text(errors="replace").splitlines():
        match = LINE.match(text)
        if match is None:
            continue
        parts = (part.partition("\x02") for part in match["key"].split("\x01") if part)
        key = {name: value for name, _, value in parts}
        file = Path(key["f"])
        kind = key.get("page", key.get("t", "")).removeprefix("v_").partition("/")[0]
        if kind not in KINDS or not file.is_relative_to(root):
            continue
        comment = key.get("o", "")
        point = Point(str(file.relative_to(root)), int(key["l"]), int(key.get("n", 0)), kind, comment)
        found[point] += int(match["count"])
    return dict(found)


@dataclass(frozen=True)
class Share:
    """hit of `of` points."""

    hit: int
    of: int

    def __str__(self) -> str:
        return f"{100 * self.hit / self.of:.1f}" if self.of else "-"


def by_module(counts: Counts, waived: Mapping[Point, str]) -> dict[str, dict[str, Share]]:
    """Of each module and of all (""): shares by kind, without what is waived."""
    tally: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for point, count in counts.items():
        if point in waived:
            continue
        for name in (point.module, ""):
            tally[name, point.kind][0] += count > 0
            tally[name, point.kind][1] += 1
    modules = sorted({name for name, _ in tally})
    return {m: {kind: Share(*tally[m, kind]) for kind in KINDS} for m in modules}
