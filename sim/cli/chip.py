"""Commands on what the chip costs: cycles, area."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.sim.cli.progress import shown
from triptych.sim.errors import TriptychError

ConfigName = Enum("ConfigName", {name: name for name in CONFIGS}, type=str)  # type: ignore[misc]
SMALL = ConfigName("small")

Config = Annotated[ConfigName, typer.Option(help="Size of the chip.")]
Out = Annotated[Path, typer.Option(help="Folder for results.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def cycles(
    commit: Annotated[str | None, typer.Option(help="Commit the figures, with the reason for the change.")] = None,
    as_json: Json = False,
) -> None:
    """Twelve layers on RTL against the committed cycles, by engine and class: equal, or what changed."""
    from triptych.sim.bench import cycles as bench

    with shown() as show:
        show("building the small chip (once)", 0, 0)
        found = bench.measure_all()
    if commit is not None:
        bench.commit(found, commit)
    changed = bench.differences(found, bench.committed())
    if as_json:
        print(json.dumps({"equal": not changed, "cycles": {n: f.cycles for n, f in found.items()}}))
    else:
        for line in changed:
            print(line)
        print(f"{len(found) - len(changed)} of {len(found)} layers equal the committed cycles")
    if changed:
        raise TriptychError("cycles changed: if that is meant, run `triptych cycles --commit REASON`")


def area(
    config: Config = SMALL,
    library: Annotated[Path | None, typer.Option(help="Liberty file; without: transistor counts.")] = None,
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Area of the chip by hierarchy, from Yosys (SVG, PNG)."""
    from triptych.sim.model.area import measure_area, plot_area
    from triptych.sim.view.report import save_figure

    with shown() as show:
        result = measure_area(
            chip_config(config.value), library, lambda m, n, of: show(f"synthesising {m} (minutes in all, once)", n, of)
        )
    written = save_figure(plot_area(result), out / "area")
    if as_json:
        instances = [vars(a) for a in result.instances]
        print(json.dumps({"unit": result.unit, "library": result.library, "instances": instances}))
    else:
        for path in written:
            print(path)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (cycles, area):
        app.command()(command)
