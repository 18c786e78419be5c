"""What got better and what worse between two runs, number by number, and how runs went over time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.golden.files import write
from triptych.sim.errors import TriptychError
from triptych.sim.view.figure import Axis, Curves, Figure, Line, Page, Quantity, Table
from triptych.sim.view.palette import nth

HISTORY = "history.jsonl"
KEPT = 500  # runs that a history holds


@dataclass(frozen=True)
class Change:
    """A number in both runs. share: after over before, less 1; None where before is 0 and after is not."""

    before: Quantity
    after: Quantity

    @property
    def share(self) -> float | None:
        """How much it grew."""
        if self.before.value:
            return self.after.value / self.before.value - 1.0
        return 0.0 if not self.after.value else None

    @property
    def worse(self) -> float:
        """By how much it got worse, as a share; negative if it got better, 0 if neither counts as such."""
        grown = self.share if self.share is not None else float("inf")
        return -self.after.better * grown if self.after.better else 0.0


def changes(before: Page, after: Page) -> list[Change]:
    """What both have, the worst first. Raises TriptychError for pages of different machines."""
    if before.machine != after.machine:
        raise TriptychError(f"{before.title} is of the {before.machine}, {after.title} of the {after.machine}")
    old = {q.name: q for q in before.quantities}
    both = [Change(old[q.name], q) for q in after.quantities if q.name in old]
    return sorted(both, key=lambda c: -c.worse)


def regressions(found: list[Change], percent: float) -> list[Change]:
    """Those that got worse by more than so many percent."""
    return [change for change in found if 100 * change.worse > percent]


def comparison(before: Page, after: Page) -> Table:
    """The changes as a table."""
    rows: list[list[Any]] = []
    for change in changes(before, after):
        share = None if change.share is None else round(100 * change.share, 3)
        verdict = "same" if not change.share else ""
        if change.share and change.after.better:
            verdict = "worse" if change.worse > 0 else "better"
        a, b = change.before, change.after
        rows.append([b.what, b.unit, _round(a.value), _round(b.value), share, verdict, b.label.value])
    where = [dict(page.facts).get("source", "unknown") for page in (before, after)]
    title = f"{after.title} ({where[1]}) against {before.title} ({where[0]})"
    label = after.quantities[0].label
    return Table(
        "comparison", title, label, ["number", "unit", "before", "after", "change, %", "verdict", "label"], rows
    )


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def remember(path: Path, page: Page) -> list[dict[str, Any]]:
    """Adds the page's headlines to a history, once for each run; returns what it holds, oldest first. Lines that are
    damaged are left out. Raises FileError."""
    facts = dict(page.facts)
    now = {
        "title": page.title, "machine": page.machine, "what": _kind(page), "source": facts.get("source", ""),
        "run": facts.get("run", ""), "values": {q.name: q.value for q in page.quantities if q.headline},
    }  # fmt: skip
    held = [entry for line in _lines(path) if (entry := _entry(line)) is not None and entry != now]
    held = [*held, now][-KEPT:]
    write(path, "".join(json.dumps(entry) + "\n" for entry in held))
    return held


def _kind(page: Page) -> str:
    """What runs must share to be drawn as one line."""
    facts = dict(page.facts)
    return ", ".join(
        facts[name] for name in ("network", "widths", "chip", "memory", "board", "device") if name in facts
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        good = all(isinstance(entry[k], str) for k in ("title", "machine", "what", "source", "run"))
        good = good and all(isinstance(v, int | float) for v in entry["values"].values())
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return entry if good else None


def trend(history: list[dict[str, Any]], page: Page, name: str) -> Figure | None:
    """One headline over the runs that are like the page's, in the order in which they were reported."""
    mine = [e for e in history if e["machine"] == page.machine and e["what"] == _kind(page) and name in e["values"]]
    if len(mine) < 2:
        return None
    quantity = next(q for q in page.quantities if q.name == name)
    points = [(float(n), float(e["values"][name])) for n, e in enumerate(mine, 1)]
    lines = [Line(quantity.what, nth(0), points, "solid")]
    lines.append(Line("runs", nth(0), points, "points", [f"{e['source']}, {e['run']}" for e in mine]))
    curves = Curves(lines, Axis("reported runs, in order"), Axis(f"{quantity.what}, {quantity.unit or 'number'}"))
    return Figure("trend", f"{quantity.what} over {len(mine)} runs", quantity.label, curves)
