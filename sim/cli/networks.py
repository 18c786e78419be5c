"""Commands on anybody's networks: the census."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.cli.progress import shown
from triptych.sim.errors import TriptychError


def census(
    names: Annotated[list[str] | None, typer.Argument(help="Networks; without: all.")] = None,
    chip: Annotated[str, typer.Option("--config", help="Size of the chip.")] = "small",
    listed: Annotated[bool, typer.Option("--list", help="Print the networks' names and sources, run nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Seconds that a network may take.")] = 600,
    publish: Annotated[bool, typer.Option("--publish", help="Write docs/census.md.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for what is done.")] = Path("out/census"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which networks run: a fixed list, each captured, quantised, compiled and run, machine against integers."""
    from triptych.sim.bench.census.networks import networks

    if listed:
        for entry in networks().values():
            print(f"{entry.name}: {entry.source}")
        return
    from triptych.sim.bench.census import page, run
    from triptych.sim.bench.census.one import Stage

    if publish and names:
        raise TriptychError("docs/census.md is of all networks: leave --publish or the names away")
    with shown() as show:
        outcomes = run.run_census(chip_config(chip).name, names or [], out, show, limit)
    right = sum(o.stage is Stage.EXACT for o in outcomes)
    if publish:
        page.publish(outcomes)
    if as_json:
        print(json.dumps({"networks": len(outcomes), "run": right, "outcomes": [vars(o) for o in outcomes]}))
        return
    for o in outcomes:
        what = (
            f"{o.macs / 1e6:.1f} MMAC, {o.cycles:,} cycles, MXU {o.utilization:.0%}" if o.stage is Stage.EXACT else ""
        )
        print(f"{o.name}: {o.stage} {what or page.blocker(o)}")
    print(f"{right} of {len(outcomes)} run")
