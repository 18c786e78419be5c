"""Commands on what the chip costs: cycles, area."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.sim.cli.progress import shown
from triptych.sim.errors import TriptychError

ConfigName = Enum("ConfigName", {name: name for name in CONFIGS}, type=str)  # type: ignore[misc]
SMALL = ConfigName("small")

Config = Annotated[ConfigName, typer.Option(help="Size of the chip.")]
Out = Annotated[Path, typer.Option(help="Folder for results.")]
Libraries = Annotated[
    list[Path] | None, typer.Option("--library", help="Liberty file; again for each further file of the same library.")
]
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


def hashes(
    commit: Annotated[str | None, typer.Option(help="Commit the hashes, with the reason for the change.")] = None,
    as_json: Json = False,
) -> None:
    """Integer networks and programs of METER and ViT-S + DPT against the committed hashes: equal, or what changed."""
    from triptych.sim.bench import pinned

    wanted, ranges = pinned.committed()
    found, ranges = pinned.measure(ranges or None)
    if commit is not None:
        pinned.commit(found, ranges, commit)
        wanted = found
    changed = pinned.differences(found, wanted)
    if as_json:
        print(json.dumps({"equal": not changed, "networks": {name: vars(h) for name, h in found.items()}}))
    else:
        for line in changed:
            print(line)
        print(f"{len(found) - len(changed)} of {len(found)} networks equal the committed hashes")
    if changed:
        raise TriptychError(f"networks or programs changed: {pinned.REMEDY}")


def area(
    config: Config = SMALL,
    library: Libraries = None,
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Area of the chip by hierarchy, from Yosys (SVG, PNG, JSON for the report); without a library in transistors."""
    from triptych.golden.files import write
    from triptych.sim.model.area import measure_area, plot_area
    from triptych.sim.view.cost_files import AREA, area_json
    from triptych.sim.view.plot import save_figure

    with shown() as show:
        result = measure_area(
            chip_config(config.value), library or [],
            lambda m, n, of: show(f"synthesising {m} (minutes in all, once)", n, of),
        )  # fmt: skip
    written = [*save_figure(plot_area(result), out / "area"), out / AREA]
    write(out / AREA, area_json(result))
    if as_json:
        instances = [{**vars(a), "kge": a.total / result.gate / 1e3} for a in result.instances]
        print(json.dumps({"unit": result.unit, "library": result.library, "instances": instances}))
    else:
        top = result.top
        print(f"{result.config}: {top.total:,.0f} {result.unit}, {top.total / result.gate / 1e3:,.0f} kGE")
        for path in written:
            print(path)


def _needs_sta() -> None:
    """Exits with status 2 when OpenSTA is not installed."""
    from triptych.sim.model.sta import NoSta, check_sta

    try:
        check_sta()
    except NoSta as error:
        print(f"triptych: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


def _libraries(given: list[Path] | None) -> list[Path]:
    """The named files, or Debian's library. Raises TriptychError when there is neither."""
    from triptych.sim.model.liberty import OSU018

    if given:
        return given
    if not OSU018.exists():
        raise TriptychError("name cells with --library FILE.lib, or: apt-get install qflow-tech-osu018")
    return [OSU018]


def timing(config: Config = SMALL, library: Libraries = None, out: Out = Path("out"), as_json: Json = False) -> None:
    """What clock the chip takes, by part: mapped, placed (not routed), timed by OpenSTA; a floorplan (SVG, PNG)."""
    _needs_sta()
    from triptych.golden.files import write
    from triptych.sim.model.timing import measure_timing, plot_floorplan
    from triptych.sim.view.cost_files import TIMING, timing_json
    from triptych.sim.view.plot import save_figure

    with shown() as show:
        result = measure_timing(chip_config(config.value), _libraries(library), show)
    written = [*save_figure(plot_floorplan(result), out / "floorplan"), out / TIMING]
    write(out / TIMING, timing_json(result))
    if as_json:
        rows = [{**vars(p), "fmax_mhz": p.fmax_mhz} for p in result.paths]
        print(json.dumps({"config": result.config, "library": result.library, "label": "sta", "paths": rows}))
    else:
        for p in result.paths:
            print(f"{p.part}: {p.fmax_mhz:.0f} MHz ({p.delay:.2f} ns), {p.start} -> {p.end}")
        for path in written:
            print(path)


def energy(config: Config = SMALL, library: Libraries = None, out: Out = Path("out"), as_json: Json = False) -> None:
    """mJ of a frame by part, estimated: OpenSTA's power of the placed chip in windows of RTL's switching."""
    _needs_sta()
    from triptych.golden.files import write
    from triptych.sim.bench.priced import frame_for
    from triptych.sim.model.energy import measure_energy
    from triptych.sim.model.timing import check_library
    from triptych.sim.view.cost_files import ENERGY, energy_json

    chip, files = chip_config(config.value), _libraries(library)
    check_library(files)  # before anything is built
    with shown() as show:
        show("making the network", 0, 0)
        frame = frame_for(chip, show)
        result = measure_energy(chip, files, show, frame.name, frame.network, frame.codes, frame.like)
    write(out / ENERGY, energy_json(result))
    if as_json:
        parts, windows = [vars(part) for part in result.parts], [vars(window) for window in result.windows]
        told = {"config": result.config, "library": result.library, "label": "estimated", "mj": result.mj,
                "network": result.network, "gmac_j": result.gmac_j, "windows": windows, "parts": parts,
                "memories_mj": result.memories}  # fmt: skip
        print(json.dumps(told))
        return
    for part in sorted(result.parts, key=lambda part: -part.mj):
        print(f"{part.name}: {part.mj:.4f} mJ")
    for name, mj in result.memories.items():
        print(f"{name}: {mj:.4f} mJ")
    print(f"{result.mj:.3f} mJ a frame of {result.network}, {result.gmac_j:.0f} GMAC/J (estimated)")
    print(out / ENERGY)


def _list(text: str, option: str, kind: type = int) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise TriptychError(f"{option} takes numbers with commas between, not '{text}'") from None


def sweep(
    model: Annotated[str, typer.Option(help="vit (ViT-S + DPT, 196x252) or meter (192x256): shapes, W4A4.")] = "meter",
    arrays: Annotated[str, typer.Option(help="Arrays, DEPTHxCOLS with commas.")] = "16x8,16x16,32x16,32x32,64x32,64x64",
    scratchpads: Annotated[str, typer.Option(help="Scratchpads in KiB.")] = "128,256,512,1024",
    rows: Annotated[str, typer.Option(help="Rows of an accumulator bank.")] = "64",
    lanes: Annotated[str, typer.Option(help="Lanes of the VPU; 0: as many as columns.")] = "0",
    full_lanes: Annotated[str, typer.Option(help="Of these, full ones: half, or 0: all.")] = "0",
    bandwidths: Annotated[str, typer.Option(help="GB/s of the memory.")] = "19.2",
    latencies: Annotated[str, typer.Option(help="ns to the memory's first beat.")] = "40",
    clocks: Annotated[str, typer.Option(help="MHz of the chip.")] = "1000",
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler; without: a local cluster.")
    ] = None,
    rtl: Annotated[int, typer.Option(min=0, help="So many points of the Pareto front run on RTL too.")] = 0,
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Chips for a network by time and area, on Dask: every combination by the compiler's clock (JSON, SVG, PNG)."""
    from triptych.golden.files import write
    from triptych.sim.bench import sweep as bench
    from triptych.sim.model import sweep as model_of
    from triptych.sim.view.plot import save_figure

    shapes = [part.split("x") for part in arrays.split(",")]
    if any(len(shape) != 2 or not all(n.isdigit() for n in shape) for shape in shapes):
        raise TriptychError(f"--arrays takes DEPTHxCOLS with commas between, not '{arrays}'")
    points = [
        point
        for depth, cols in shapes
        for point in model_of.grid(
            depth=[int(depth)], cols=[int(cols)], rows=_list(rows, "--rows"),
            spad_kib=_list(scratchpads, "--scratchpads"), lanes=_list(lanes, "--lanes"),
            gb_s=_list(bandwidths, "--bandwidths", float), latency_ns=_list(latencies, "--latencies", float),
            clock_mhz=_list(clocks, "--clocks"), full_lanes=_list(full_lanes, "--full-lanes"),
        )
    ]  # fmt: skip
    mapper = model_of.on_dask(scheduler)
    with shown() as show:
        show("making the network", 0, 0)
        network = bench.network(model)
        found = model_of.sweep(network, points, mapper, show)
        found = bench.with_rtl(network, found, rtl, show)
    figure = model_of.plot_sweep(found)
    written = save_figure(figure, out / "sweep")
    write(out / "sweep.json", json.dumps([row.told() for row in found], indent=1))
    if as_json:
        print(json.dumps([row.told() for row in found]))
        return
    print(bench.text_table(found))
    for path in (*written, out / "sweep.json"):
        print(path)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (cycles, hashes, area, timing, energy, sweep):
        app.command()(command)
