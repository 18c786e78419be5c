"""What a report is made of: figures as data. `plot` draws them with matplotlib, `templates/charts.js` in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from triptych.sim.label import Label
from triptych.sim.view.records import to_json


@dataclass(frozen=True)
class Axis:
    """label: with its unit. log: logarithmic. limit: the largest value shown, None for the data's."""

    label: str
    log: bool = False
    limit: float | None = None


@dataclass(frozen=True)
class Series:
    """One value for each row of a chart. colour: of `palette`."""

    name: str
    colour: str
    values: list[float]


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, a row each, of stacked parts. notes: more to say of each row. marks: (name, value), lines."""

    kind: ClassVar[str] = "bars"

    rows: list[str]
    series: list[Series]
    axis: Axis
    notes: list[str] = field(default_factory=list)
    marks: list[tuple[str, float]] = field(default_factory=list)

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows."""
        header = ["row", *(s.name for s in self.series)]
        return header, [[row, *(s.values[n] for s in self.series)] for n, row in enumerate(self.rows)]


@dataclass(frozen=True)
class Bar:
    """From begin to end on a lane. group: whose colour; text: index of what is told of it; even: of two shades."""

    lane: int
    begin: float
    end: float
    group: int
    text: int
    even: bool = False


@dataclass(frozen=True)
class Spans:
    """Lanes over time. groups: (name, colour)."""

    kind: ClassVar[str] = "spans"

    lanes: list[str]
    bars: list[Bar]
    groups: list[tuple[str, str]]
    texts: list[str]
    axis: Axis

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows."""
        rows = [[self.lanes[b.lane], b.begin, b.end, self.groups[b.group][0], self.texts[b.text]] for b in self.bars]
        return ["lane", "begin", "end", "group", "what"], rows


@dataclass(frozen=True)
class Line:
    """Points joined, or not. style: solid, dashed, points, or area (filled down to zero). texts: of each point."""

    name: str
    colour: str
    points: list[tuple[float, float]]
    style: str = "solid"
    texts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Curves:
    """Lines and points over two axes."""

    kind: ClassVar[str] = "curves"

    lines: list[Line]
    x: Axis
    y: Axis

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows."""
        rows = [
            [line.name, *point, line.texts[n] if line.texts else ""]
            for line in self.lines
            for n, point in enumerate(line.points)
        ]
        return ["series", self.x.label, self.y.label, "what"], rows


@dataclass(frozen=True)
class Box:
    """A rectangle, in 0..1 of the whole. group: index of its colour."""

    name: str
    group: int
    x: float
    y: float
    width: float
    height: float
    value: float
    text: str


@dataclass(frozen=True)
class Boxes:
    """Rectangles: a treemap, or a floorplan. groups: (name, colour)."""

    kind: ClassVar[str] = "boxes"

    boxes: list[Box]
    groups: list[tuple[str, str]]
    unit: str
    aspect: float = 1.6

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows."""
        return ["name", "group", self.unit], [[b.name, self.groups[b.group][0], b.value] for b in self.boxes]


@dataclass(frozen=True)
class Panel:
    """A grid of values, row by row."""

    title: str
    rows: list[list[float]]


@dataclass(frozen=True)
class Grids:
    """Panels in rows of `across`, shaded from 0 to `high`."""

    kind: ClassVar[str] = "grids"

    panels: list[Panel]
    across: int
    unit: str
    high: float = 1.0

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows."""
        rows = [
            [p.title, r, c, value] for p in self.panels for r, line in enumerate(p.rows) for c, value in enumerate(line)
        ]
        return ["panel", "row", "column", self.unit], rows


Drawn = Bars | Spans | Curves | Boxes | Grids


@dataclass(frozen=True)
class Figure:
    """name: of its files and of its line in docs/report.md. title: what it shows, of which run."""

    name: str
    title: str
    label: Label
    drawn: Drawn

    def data(self) -> dict[str, Any]:
        """What the page draws it from."""
        held = to_json(self.drawn)
        if isinstance(self.drawn, Spans):  # there are many
            held["bars"] = [[b.lane, b.begin, b.end, b.group, b.text, int(b.even)] for b in self.drawn.bars]
        return {"name": self.name, "kind": self.drawn.kind, **held}


@dataclass(frozen=True)
class Table:
    """columns: names with units; rows: numbers and texts."""

    name: str
    title: str
    label: Label
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Photos:
    """Pictures, as PNG: (title, content)."""

    name: str
    title: str
    label: Label
    files: list[tuple[str, bytes]]


Item = Figure | Table | Photos


@dataclass(frozen=True)
class Quantity:
    """A number that runs are compared by. better: 1 if more is better, -1 if less is, 0 if neither. headline: shown
    first."""

    name: str
    what: str
    value: float
    unit: str
    label: Label
    better: int = 0
    headline: bool = False

    @property
    def shown(self) -> str:
        """The value as a person reads it, with its unit."""
        return f"{number(self.value)} {self.unit}".strip()


@dataclass(frozen=True)
class Section:
    """A chapter of a page."""

    name: str
    title: str
    items: list[Item]


@dataclass(frozen=True)
class Page:
    """A run's part of the report. said: what it comes to, in a sentence. facts: what ran, as (name, value)."""

    title: str
    machine: str
    said: str
    facts: list[tuple[str, str]]
    quantities: list[Quantity]
    sections: list[Section]
    problems: list[str] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        """All figures."""
        return [item for section in self.sections for item in section.items if isinstance(item, Figure)]

    @property
    def tables(self) -> list[Table]:
        """All tables."""
        return [item for section in self.sections for item in section.items if isinstance(item, Table)]


def number(value: float) -> str:
    """A number in few characters."""
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def sections(*parts: tuple[str, str, Sequence[Item | None]]) -> list[Section]:
    """Those that have something to show."""
    made = [Section(name, title, [i for i in items if i is not None]) for name, title, items in parts]
    return [section for section in made if section.items]
