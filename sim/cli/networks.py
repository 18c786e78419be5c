"""Commands on anybody's networks: check, compile, run, census."""

from __future__ import annotations

import json
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.golden.photo import Fit
from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.cli.progress import shown
from triptych.sim.cli.size import parse_size
from triptych.sim.errors import TriptychError

ConfigName = Enum("ConfigName", {name: name for name in CONFIGS}, type=str)  # type: ignore[misc]
SMALL = ConfigName("small")
PHOTOS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}

Net = Annotated[str, typer.Argument(help="A published network's name, a .pt2, an .onnx, or module.py:function.")]
Config = Annotated[ConfigName, typer.Option(help="Size of the chip.")]
Size = Annotated[str | None, typer.Option(help="Photos' size, HEIGHTxWIDTH; without: the network's own.")]
Mean = Annotated[str | None, typer.Option(help="Subtracted from each channel, one number or three with commas.")]
Std = Annotated[str | None, typer.Option(help="Each channel is divided by it, behind --mean.")]
Scale = Annotated[float, typer.Option(help="Photos in 0..1 times it go in; 255 for bytes.")]
Layout = Annotated[str, typer.Option(help="NCHW or NHWC.")]
Output = Annotated[str | None, typer.Option(help="Which of several outputs, by name or number.")]
Weights = Annotated[Path | None, typer.Option(help="Weights of a published network.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class OnName(StrEnum):
    """What a network runs on."""

    rtl = "rtl"
    machine = "machine"
    integers = "integers"


def _numbers(text: str | None, option: str) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise TriptychError(f"{option} takes one number or three with commas between, not '{text}'") from None


def _terms(
    size: str | None, mean: str | None, std: str | None, scale: float, layout: str, output: str | None,
    weights: Path | None,
) -> Any:  # fmt: skip
    from triptych.sim.nets.named import Terms

    pixels = None if size is None else parse_size(size)
    return Terms(pixels, _numbers(mean, "--mean"), _numbers(std, "--std"), scale, layout, output, weights)


def check(
    net: Net, size: Size = None, mean: Mean = None, std: Std = None, scale: Scale = 1.0, layout: Layout = "NCHW",
    output: Output = None, as_json: Json = False,
) -> None:  # fmt: skip
    """What of a network has no layer on the chip: all of it, with module, source line and what to write instead."""
    from triptych.golden.quartdepth.network.check import check as checked
    from triptych.sim.nets.named import named

    found = named(net, _terms(size, mean, std, scale, layout, output, None))
    report = checked(found.source, found.example)
    print(report.json() if as_json else f"{net}: {report.text()}" if report.supported else report.text())
    if not report.supported:
        raise typer.Exit(1)


def compile_net(
    net: Net,
    out: Annotated[Path, typer.Option(help="File for the network in integers.")],
    calibrate: Annotated[
        list[Path] | None, typer.Option(help="Photos, or folders of them; without: rendered rooms.")
    ] = None,
    bits: Annotated[Widths, typer.Option(help="Widths of weights and activations.")] = Widths.W4A8,
    method: Annotated[str, typer.Option(help="minmax, lognp, compensate, fisher or full.")] = "minmax",
    objective: Annotated[str, typer.Option(help="log_depth, mse or kl.")] = "log_depth",
    config: Config = SMALL,
    size: Size = None, mean: Mean = None, std: Std = None, scale: Scale = 1.0, layout: Layout = "NCHW",
    output: Output = None, weights: Weights = None,
    fit: Annotated[Fit, typer.Option(help="How photos of other proportions fill the input.")] = Fit.CROP,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Quantises and compiles a network into a file that `triptych run` runs; it needs the network no more."""
    from triptych.golden.files import check_writable
    from triptych.golden.photo import fit_photo, to_input
    from triptych.golden.quartdepth.ptq.quantized import quantize
    from triptych.sim.depth.calibration import rooms
    from triptych.sim.nets.named import named

    check_writable(out.parent)
    with shown() as show:
        show("loading", 0, 0)
        found = named(net, _terms(size, mean, std, scale, layout, output, weights))
        photos = [fit_photo(file, found.size, fit).rgb for file in _photos(calibrate or [])] or rooms(found.size)
        images = [to_input(photo[None]) for photo in photos]
        show("capturing", 0, 0)
        from triptych.golden.quartdepth.network.capture import capture

        graph = capture(found.source, found.example)
        result = quantize(graph, images, bits, method, objective, progress=show)
        show(f"compiling for {config.value}", 0, 0)
        compiled = result.compile(config.value)
        written = result.save(out)
    ideal = sum(row.ideal_cycles for row in compiled.layers)
    told = {
        "file": str(out), "bytes": written, "widths": bits.value, "method": method, "config": config.value,
        "calibration_images": len(images), "layers": len(result.network.layers), "macs": result.network.macs,
        "instructions": len(compiled.instructions), "estimated_cycles": compiled.cycles,
        "estimated_mxu_utilization": round(ideal / compiled.cycles, 4),
    }  # fmt: skip
    if as_json:
        print(json.dumps(told))
        return
    print(
        f"{out}: {written:,} bytes, {told['layers']} layers, {result.network.macs / 1e6:.1f} MMAC; on {config.value} "
        f"about {compiled.cycles:,} cycles, MXU {told['estimated_mxu_utilization']:.0%} (estimated)"
    )


def _photos(named_files: list[Path]) -> list[Path]:
    files: list[Path] = []
    for path in named_files:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PHOTOS)
            if not inside:
                raise TriptychError(f"{path} holds no photos ({', '.join(sorted(PHOTOS))})")
            files += inside
        else:
            files.append(path)
    return files


def run(
    file: Annotated[Path, typer.Argument(help="A file of `triptych compile`.")],
    inputs: Annotated[list[Path], typer.Argument(help="Photos, or .npy of uint8 or of floats in 0..1.")],
    config: Config = SMALL,
    on: Annotated[OnName, typer.Option(help="rtl, machine or integers; each with those after it.")] = OnName.rtl,
    fit: Annotated[Fit, typer.Option(help="How photos of other proportions fill the input.")] = Fit.LETTERBOX,
    trace: Annotated[str | None, typer.Option(help="Waves (FST) of a layer, by its name.")] = None,
    trace_cycles: Annotated[str | None, typer.Option(help="Waves (FST) of cycles A:B.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("out"),
    as_json: Json = False,
) -> None:
    """Runs a compiled network on the chip's RTL; the golden machine and the integer network must say the same."""
    from triptych.golden.files import check_writable
    from triptych.sim.nets.run import On, Trace, load, run_input
    from triptych.sim.rtl.run import chip_build
    from triptych.sim.rtl.waves import parse_window

    wanted = None
    if trace is not None or trace_cycles is not None:
        if (trace is not None and trace_cycles is not None) or on is not OnName.rtl:
            raise TriptychError("waves are of the RTL, and of one thing: --trace LAYER or --trace-cycles A:B")
        wanted = Trace(trace, None if trace_cycles is None else parse_window(trace_cycles))
    check_writable(out)
    with shown() as show:
        show("loading", 0, 0)
        loaded = load(file, chip_config(config.value))
        if on is OnName.rtl:
            show(f"building the {config.value} chip (once)", 0, 0)
            chip_build(loaded.compiled.config).executable()
        results = [run_input(loaded, path, On(on.value), fit, out, show, wanted) for path in inputs]
    if as_json:
        each = [r.summary() for r in results]
        exact = all(r.bit_exact for r in results)
        print(json.dumps({"bit_exact": exact, **each[0]} if len(each) == 1 else {"bit_exact": exact, "runs": each}))
    else:
        for r in results:
            verdict = f"bit-exact on {r.on}" if r.bit_exact else f"{r.mismatches} codes differ"
            more = f", {r.cycles:,} cycles, MXU {r.mxu_utilization:.1%}" if r.cycles and r.mxu_utilization else ""
            files = [r.output, *r.further.values(), *([r.run] if r.run else []), *r.waves]
            print(f"{r.input}: {verdict}, {r.macs / 1e6:.1f} MMAC{more} -> {', '.join(files)}")
    if not all(r.bit_exact for r in results):
        raise TriptychError("the chip, the machine and the integers differ")


def census(
    names: Annotated[list[str] | None, typer.Argument(help="Networks; without: all.")] = None,
    chip: Annotated[str, typer.Option("--config", help="Size of the chip.")] = "small",
    listed: Annotated[bool, typer.Option("--list", help="Print the networks' names and sources, run nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Seconds that a network may take.")] = 600,
    publish: Annotated[bool, typer.Option("--publish", help="Write docs/census.md.")] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="Run nothing: what --out holds, of earlier code where it must be.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for what is done.")] = Path("out/census"),
    as_json: Json = False,
) -> None:
    """Which networks run: a fixed list, each captured, quantised, compiled and run, machine against integers."""
    from triptych.sim.bench.census.networks import networks

    if listed:
        for entry in networks().values():
            print(f"{entry.name}: {entry.source}")
        return
    from triptych.sim.bench.census import page
    from triptych.sim.bench.census import run as runner
    from triptych.sim.bench.census.one import Stage

    if publish and names:
        raise TriptychError("docs/census.md is of all networks: leave --publish or the names away")
    if kept:
        outcomes = runner.earlier(chip_config(chip).name, out)
    else:
        with shown() as show:
            outcomes = runner.run_census(chip_config(chip).name, names or [], out, show, limit)
    right = sum(o.stage is Stage.EXACT for o in outcomes)
    if publish:
        page.publish(outcomes, runner.of_this_code(chip_config(chip).name, out) if kept else None)
    if as_json:
        print(json.dumps({"networks": len(outcomes), "run": right, "outcomes": [vars(o) for o in outcomes]}))
        return
    for o in outcomes:
        exact = o.stage is Stage.EXACT
        what = f"{o.macs / 1e6:.1f} MMAC, {o.cycles:,} cycles, MXU {o.utilization:.0%}" if exact else page.blocker(o)
        print(f"{o.name}: {o.stage} {what}")
    print(f"{right} of {len(outcomes)} run")


def add_to(app: typer.Typer) -> None:
    """Makes the commands parts of an app."""
    app.command()(check)
    app.command("compile")(compile_net)
    app.command()(run)
    app.command()(census)
