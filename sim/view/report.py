"""`triptych report`: where a run's cycles went, as pictures and as CSV."""

from __future__ import annotations

import csv
import io
import os
import warnings
from itertools import count
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.golden.files import FileError, fitting_name, write
from triptych.sim.view.runfile import LayerRun, RunFile

MAKER, MAKER_KEY = "triptych, open hardware", {"svg": "Creator", "png": "Software"}  # what figures say of themselves
RUN_COPY = "run.json"  # in the report's folder: the run that it is of

COLOURS = {
    "ideal": "#1b7837",
    "padding": "#a6dba0",
    "fill": "#dfc27d",
    "weights": "#8073ac",
    "acc": "#d6604d",
    "spad": "#f4a582",
    "token": "#4393c3",
    "empty": "#bababa",
}
MEANING = {
    "ideal": "ideal",
    "padding": "active beyond ideal (tails, depthwise)",
    "fill": "turnaround, window refill",
    "weights": "stationary tile late",
    "acc": "accumulators full (VPU behind)",
    "spad": "scratchpad conflict",
    "token": "waits for another engine",
    "empty": "no instruction",
}
ENGINES = ("LOAD", "MXU", "VPU", "STORE")


def split(layer: LayerRun) -> dict[str, float]:
    """Cycles of a layer by cause; `active` is split into what the arithmetic needs and the rest. Sums to `cycles`."""
    parts = {"ideal": layer.ideal_cycles, "padding": layer.classes["active"] - layer.ideal_cycles}
    return parts | {k: float(v) for k, v in layer.classes.items() if k != "active"}


def layers_csv(run: RunFile) -> str:
    """One line a layer: name, kind, mode, MACs, bytes, cycles by cause, utilization."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["layer", "kind", "mode", "macs", "dram_bytes", "cycles", *COLOURS, "utilization"])
    for layer in run.layers:
        parts = split(layer)
        used = layer.ideal_cycles / layer.cycles if layer.cycles else 0.0
        numbers = [f"{parts[name]:.1f}" for name in COLOURS]
        head = [layer.name, layer.kind, layer.mode, layer.macs, layer.dram_bytes, layer.cycles]
        writer.writerow([*head, *numbers, f"{used:.4f}"])
    return out.getvalue()


def plot_layers(run: RunFile) -> Figure:
    """Stacked bars: a layer's cycles by cause."""
    shown = [layer for layer in run.layers if layer.cycles > 0.002 * run.cycles]
    figure, axes = plt.subplots(figsize=(9, 0.19 * len(shown) + 1.6), layout="constrained")
    left = [0.0] * len(shown)
    for cause, colour in COLOURS.items():
        widths = [max(0.0, split(layer)[cause]) / 1e3 for layer in shown]
        axes.barh(range(len(shown)), widths, left=left, color=colour, label=MEANING[cause], height=0.8)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(shown)), [_plain(layer.name) for layer in shown], fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("thousand cycles of the matrix engine")
    said = f"{run.config}, {run.bits}, {run.cycles:,} cycles, utilization {run.utilization:.1%}"
    axes.set_title(f"{_plain(run.title)}: {_plain(said)}")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    _clean(axes)
    return figure


def plot_timeline(run: RunFile) -> Figure:
    """Four lanes: when each engine executed, coloured by layer."""
    figure, axes = plt.subplots(figsize=(11, 2.6), layout="constrained")
    palette = plt.get_cmap("tab20")
    for row, engine in enumerate(ENGINES):
        spans = run.spans[engine]
        bars = [(a / 1e3, max(b - a, 1) / 1e3) for a, b, _ in spans]
        axes.broken_barh(bars, (row - 0.4, 0.8), facecolors=[palette(layer % 20) for *_, layer in spans], linewidth=0)
    axes.set_yticks(range(len(ENGINES)), ENGINES)
    axes.invert_yaxis()
    axes.set_xlim(0, run.cycles / 1e3)
    axes.set_xlabel("thousand cycles (a colour is a layer)")
    axes.set_title(f"{_plain(run.title)}: what the four engines did when")
    _clean(axes)
    return figure


def plot_roofline(run: RunFile) -> Figure:
    """Achieved MACs a cycle over MACs a byte of memory traffic, with the two ceilings."""
    figure, axes = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
    peak, slope = float(run.macs_per_cycle), run.bytes_per_cycle
    points = [
        (la.macs / max(la.dram_bytes, 1), la.macs / la.cycles, la.kind) for la in run.layers if la.macs and la.cycles
    ]
    low = min((p[0] for p in points), default=1.0) / 2
    high = max((p[0] for p in points), default=1.0) * 2
    ridge = peak / slope
    xs = sorted({low, ridge, max(high, 4 * ridge)})
    axes.plot(xs, [min(peak, slope * x) for x in xs], color="black", linewidth=1)
    axes.annotate(f"{peak:.0f} MAC/cycle", (ridge * 1.1, peak * 1.08), fontsize=8)
    axes.annotate(f"{slope:g} B/cycle", (low, slope * low * 1.5), fontsize=8, rotation=35)
    for kind in sorted({p[2] for p in points}):
        chosen = [p for p in points if p[2] == kind]
        axes.scatter([p[0] for p in chosen], [p[1] for p in chosen], s=18, label=_plain(kind), alpha=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("MACs a byte of memory traffic")
    axes.set_ylabel("MACs a cycle")
    axes.set_title(_plain(f"{run.title}: roofline of every layer ({run.config}, {run.bits})"))
    axes.legend(fontsize=8, frameon=False)
    _clean(axes)
    return figure


def _plain(text: str) -> str:
    """A name in one line, not as a formula: a photo may be called `$x_$`."""
    return " ".join(text.split()).replace("$", r"\$")


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _refuse_foreign(path: Path) -> None:
    """Raises FileError for a picture that somebody else made: a figure replaces figures alone."""
    if path.is_file() and MAKER.encode() not in path.read_bytes():
        raise FileError(f"cannot write {path}: it is there and is no figure of triptych: name another --out")


def _drawn(figure: Figure, path: Path) -> dict[Path, bytes]:
    """The figure as `path` with the endings .svg and .png."""
    files = {}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a title in a script that matplotlib's font lacks shows boxes
            for kind, key in MAKER_KEY.items():
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=130, metadata={key: MAKER})
                files[path.with_name(f"{path.name}.{kind}")] = buffer.getvalue()
    finally:
        plt.close(figure)
    return files


def _write(files: dict[Path, bytes]) -> list[Path]:
    for path in files:
        _refuse_foreign(path)
    for path, content in files.items():
        write(path, content)
    return list(files)


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Writes `path` with the endings .svg and .png. Raises FileError when the place cannot be written."""
    return _write(_drawn(figure, path))


def report_folder(out: Path, run: Path) -> Path:
    """Where the report of a run file goes: `out`/NAME.report, or NAME-2.report where that is another run's."""
    name = run.name.removesuffix(".json").removesuffix(".run")
    content = run.read_bytes()
    for number in count(1):
        folder = out / fitting_name(name if number == 1 else f"{name}-{number}", ".report")
        kept = folder / RUN_COPY
        if not os.path.lexists(folder) or (kept.is_file() and kept.read_bytes() == content):
            return folder
    raise AssertionError("count ends never")


def write_report(run: RunFile, folder: Path, source: Path | None = None) -> list[Path]:
    """Layers, timeline and roofline of one run into `folder`, as SVG, PNG and CSV, all drawn before any is written;
    returns the files. source: the run's file, of which a copy goes there first."""
    drawn = _drawn(plot_layers(run), folder / "utilization")
    drawn |= _drawn(plot_timeline(run), folder / "timeline")
    drawn |= _drawn(plot_roofline(run), folder / "roofline")
    table = layers_csv(run)
    if source is not None:
        write(folder / RUN_COPY, source.read_bytes())
    written = _write(drawn)
    write(folder / "layers.csv", table)
    return [*written, folder / "layers.csv"]
