"""Commands on what is there: report, doctor, cache."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from triptych.sim.cli.progress import shown
from triptych.sim.errors import TriptychError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="*.run.json files; without: the newest under out/.")] = None,
    against: Annotated[Path | None, typer.Option(help="A run that each is compared with.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; without: NAME.report beside the run.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="File that remembers runs; without: history.jsonl there.")
    ] = None,
    fail_on_regression: Annotated[
        float | None, typer.Option(min=0.0, help="Exit 1 where a number is so many percent worse than in --against.")
    ] = None,
    look: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """What a run did, as a page (index.html), figures (SVG, PNG), tables (CSV, JSON) and a timeline for Perfetto."""
    from triptych.sim.view.report import newest, write_report

    if fail_on_regression is not None and against is None:
        raise TriptychError("--fail-on-regression needs --against RUN: what is it worse than?")
    paths = runs or [newest(Path("out"))]
    with shown() as show:
        show("report", 0, 0)
        made = write_report(paths, against=against, out=out, history=history, percent=fail_on_regression)
    for problem in made.problems:
        print(f"triptych: {problem}", file=sys.stderr)
    if as_json:
        told = {"report": str(made.index), "timelines": [str(t) for t in made.traces], "problems": made.problems}
        print(json.dumps(told | {"worse": [c.after.name for c in made.worse]}))
    else:
        if made.comparison is not None:
            for row in made.comparison.rows:
                if row[5] in ("worse", "better"):
                    change = "from nothing" if row[4] is None else f"{row[4]:+.3g} %"
                    print(f"{row[5]}: {row[0]}: {row[2]:g} to {row[3]:g} {row[1]}".rstrip() + f", {change}")
        for timeline in made.traces:
            print(f"timeline: {Path(sys.executable).parent / 'vizviewer'} {timeline}   (or ui.perfetto.dev)")
        print(made.index)
    if look:
        webbrowser.open(made.index.absolute().as_uri())
    if made.worse:
        worst = made.worse[0]
        raise TriptychError(
            f"{len(made.worse)} numbers are more than {fail_on_regression:g} % worse, the worst: {worst.after.what}, "
            f"{worst.before.shown} to {worst.after.shown}"
        )
    if unread := len(paths) - made.read:
        raise TriptychError(f"{unread} of {len(paths)} runs could not be read (above); the others are in the report")


def doctor(as_json: Json = False) -> None:
    """What is installed here, what each thing enables, and what to do about what is missing."""
    from triptych.sim.build.doctor import examine

    found = examine()
    if as_json:
        print(json.dumps([vars(f) for f in found]))
        return
    for f in found:
        mark = {True: "ok", False: "missing" if f.needed else "not here"}[f.there]
        print(f"{mark:9} {f.name}: {f.what}{'' if f.there else f' -> {f.advice}'}\n{'':9} for {f.enables}")
    if absent := [f.name for f in found if f.needed and not f.there]:
        raise TriptychError(f"{', '.join(absent)} is needed and not here (above)")


def cache(
    prune: Annotated[bool, typer.Option("--prune", help="Delete what nobody used for a while.")] = False,
    days: Annotated[float, typer.Option(min=0.0, help="With --prune: entries not used for so many days.")] = 14.0,
    as_json: Json = False,
) -> None:
    """What lies in the cache (build/), and how large it is."""
    from triptych.sim.build.prune import prune as delete
    from triptych.sim.build.prune import sizes

    removed = delete(days) if prune else None
    held = sizes()
    if as_json:
        print(json.dumps({"bytes": held, "removed": None if removed is None else vars(removed)}))
        return
    if removed is not None:
        print(f"removed {removed.entries} entries, {removed.bytes / 1e6:,.1f} MB")
    for kind, size in held.items():
        print(f"{size / 1e6:10,.1f} MB  {kind}")
    print(f"{sum(held.values()) / 1e6:10,.1f} MB  in all; --prune deletes what was not used for {days:g} days")


def add_to(app: typer.Typer) -> None:
    """Makes the commands parts of an app."""
    for command in (report, doctor, cache):
        app.command()(command)
