"""The report as one HTML file that needs nothing else: no network, no folder beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from triptych.sim.view.explain import explained
from triptych.sim.view.figure import Page, Photos, Table, number
from triptych.sim.view.palette import DARK, LIGHT
from triptych.sim.view.plot import MAKER

TEMPLATES = Path(__file__).parent / "templates"
PAPERS = {
    "light": {"paper": "#ffffff", "raised": "#f6f7f9", "line": "#d9dde3", "soft": "#5b636e", "tip": "#1f2328",
              "tip-ink": "#ffffff"},
    "dark": {"paper": "#14171b", "raised": "#1d2127", "line": "#363c45", "soft": "#a3abb6", "tip": "#f1f3f5",
             "tip-ink": "#14171b"},
}  # fmt: skip
"""What is not a figure's colour."""


def page_html(
    pages: Sequence[Page], comparisons: Sequence[Sequence[tuple[str, Table]]], *, problems: Sequence[str] = (),
    stems: Sequence[str] = (), traces: Sequence[str] = (), open_comparison: bool = False,
) -> str:  # fmt: skip
    """The file's text. comparisons: of each page, with what and how. stems: of each page's files' names. traces: each
    page's timeline, or "". open_comparison: shown from the start."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    tools = {"explained": explained, "number": number, "grouped": _grouped}

    def tabled(table: Table) -> Markup:
        return Markup(environment.get_template("table.html").render(table=table, **tools))

    style = environment.from_string((TEMPLATES / "report.css").read_text())
    figures = [{figure.name: figure.data() for figure in page.figures} for page in pages]
    return environment.get_template("report.html").render(
        pages=pages, comparisons=comparisons, problems=problems, open_comparison=open_comparison, maker=MAKER,
        stems=stems or [""] * len(pages), traces=traces or [""] * len(pages), tabled=tabled, photos=_photos,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=Markup(style.render(light=LIGHT | PAPERS["light"], dark=_variables("dark"), paper=_variables("light"))),
        script=Markup("".join((TEMPLATES / name).read_text() for name in ("charts.js", "report.js"))),
        data=Markup(json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")), **tools,
    )  # fmt: skip


def _variables(theme: str) -> Markup:
    colours = (LIGHT if theme == "light" else DARK) | PAPERS[theme]
    return Markup(" ".join(f"--{name}: {value};" for name, value in colours.items()))


def _photos(photos: Photos) -> list[tuple[str, str]]:
    return [(title, f"data:image/png;base64,{base64.b64encode(content).decode()}") for title, content in photos.files]


def _grouped(value: Any) -> str:
    """A cell of a table: whole numbers with commas, others as they are."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6g}"
