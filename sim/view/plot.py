"""Figures by matplotlib: as SVG and PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from triptych.golden.files import FileError, write
from triptych.sim.view.figure import Axis as Scale
from triptych.sim.view.figure import Bars, Boxes, Curves, Figure, Grids, Spans
from triptych.sim.view.palette import LIGHT

matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: to be searched, and a third of the size

MAKER, MAKER_KEY = "triptych, open hardware", {"svg": "Creator", "png": "Software"}  # what figures say of themselves
SHADE = LinearSegmentedColormap.from_list("triptych", ["#ffffff", LIGHT["sky"], LIGHT["blue"], "#003a5c"])
STYLES = {"solid": "-", "dashed": "--", "area": "-"}
SMALL = {"fontsize": 7, "frameon": False}


def plot(figure: Figure) -> Canvas:
    """The figure on paper."""
    drawn = figure.drawn
    canvas = _DRAW[type(drawn)](drawn)
    title = canvas.suptitle(plain(f"{figure.title} [{figure.label.value}]"), fontsize=9)
    if canvas.get_layout_engine() is None:
        title.set_y(1 - 0.08 / canvas.get_figheight())
    return canvas


def _bars(bars: Bars) -> Canvas:
    wide, tall = 9.0, 0.19 * len(bars.rows) + 1.6
    figure, axes = plt.subplots(figsize=(wide, tall))
    # by the longest name, 6 points: matplotlib's own layout would draw every name four times
    names = 0.15 + max((len(row) for row in bars.rows), default=0) * 6 * 0.58 / 72
    figure.subplots_adjust(left=min(0.5, names / wide), right=0.985, top=1 - 0.36 / tall, bottom=0.5 / tall)
    left = [0.0] * len(bars.rows)
    for series in bars.series:
        axes.barh(
            range(len(bars.rows)), series.values, left=left, color=LIGHT[series.colour], height=0.8,
            label=plain(series.name),
        )  # fmt: skip
        left = [a + b for a, b in zip(left, series.values, strict=True)]
    for name, value in bars.marks:
        axes.axvline(value, color=LIGHT["ink"], linewidth=0.8, linestyle=":", label=plain(f"{name}"))
    axes.set_yticks(range(len(bars.rows)), [plain(row) for row in bars.rows])
    axes.set_ylim(len(bars.rows) - 0.4, -0.6)
    _axis(axes, "x", bars.axis)
    axes.tick_params("y", labelsize=6, length=0)
    if len(bars.series) > 1 or bars.marks:
        axes.legend(**SMALL, loc="lower right")
    return _clean(figure, axes)


def _spans(spans: Spans) -> Canvas:
    figure, axes = plt.subplots(figsize=(11, 0.5 * len(spans.lanes) + 1.2), layout="constrained")
    for number, (_, colour) in enumerate(spans.groups):
        for even, alpha in ((False, 1.0), (True, 0.7)):
            for lane in range(len(spans.lanes)):
                mine = [b for b in spans.bars if (b.group, b.even, b.lane) == (number, even, lane)]
                places = [(b.begin, b.end - b.begin) for b in mine]
                axes.broken_barh(places, (lane - 0.4, 0.8), facecolors=LIGHT[colour], alpha=alpha, linewidth=0)
    axes.set_yticks(range(len(spans.lanes)), [plain(lane) for lane in spans.lanes])
    axes.invert_yaxis()
    _axis(axes, "x", spans.axis)
    if spans.axis.limit is None:
        axes.set_xlim(0, max((b.end for b in spans.bars), default=1.0))
    keys = [Patch(color=LIGHT[colour], label=plain(name)) for name, colour in spans.groups]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), **SMALL)
    return _clean(figure, axes)


def _curves(curves: Curves) -> Canvas:
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for line in curves.lines:
        x, y = [p[0] for p in line.points], [p[1] for p in line.points]
        colour, name = LIGHT[line.colour], plain(line.name)
        if line.style == "points":
            axes.scatter(x, y, s=16, color=colour, label=name, alpha=0.85, linewidth=0)
            continue
        marker = "." if len(x) < 30 and line.colour != "ink" else ""
        axes.plot(x, y, STYLES[line.style], color=colour, label=name, linewidth=1.3, marker=marker)
        if line.style == "area":
            axes.fill_between(x, y, color=colour, alpha=0.25, linewidth=0)
    _axis(axes, "x", curves.x)
    _axis(axes, "y", curves.y)
    axes.grid(alpha=0.25)
    if len(curves.lines) > 1:
        axes.legend(**SMALL)
    return _clean(figure, axes)


def _boxes(boxes: Boxes) -> Canvas:
    figure, axes = plt.subplots(figsize=(9, 9 / boxes.aspect), layout="constrained")
    for box in boxes.boxes:
        axes.add_patch(
            Rectangle(
                (box.x, box.y), box.width, box.height, facecolor=LIGHT[boxes.groups[box.group][1]], edgecolor="white",
                linewidth=1,
            )
        )  # fmt: skip
        if box.width > 0.012 * len(box.name) and box.height > 0.035:
            axes.text(
                box.x + 0.006, box.y + 0.012, plain(f"{box.name}\n{box.text}"), fontsize=6.5, va="top", clip_on=True
            )
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
    keys = [Patch(color=LIGHT[colour], label=plain(name)) for name, colour in boxes.groups]
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 6), **SMALL)
    return _clean(figure, axes)


def _grids(grids: Grids) -> Canvas:
    down = -(-len(grids.panels) // grids.across)
    figure, panels = plt.subplots(
        down, grids.across, figsize=(1.1 * grids.across + 0.8, 1.2 * down + 0.5), squeeze=False, layout="constrained"
    )
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, panel in zip(panels.flat, grids.panels, strict=False):
        axes.imshow(panel.rows, cmap=SHADE, vmin=0, vmax=grids.high, aspect="equal")
        axes.set_title(plain(panel.title), fontsize=7)
    return figure


_DRAW: dict[type, Callable[..., Canvas]] = {
    Bars: _bars,
    Spans: _spans,
    Curves: _curves,
    Boxes: _boxes,
    Grids: _grids,
}


def _axis(axes: Axes, which: str, axis: Scale) -> None:
    axes.set(**{f"{which}label": plain(axis.label), f"{which}scale": "log" if axis.log else "linear"})
    scaled = axes.xaxis if which == "x" else axes.yaxis
    scaled.label.set_fontsize(8)
    scaled.set_tick_params(labelsize=7)
    if axis.log:
        low, high = scaled.get_view_interval()
        scaled.set_major_locator(LogLocator(subs=(1.0,) if high > 2e3 * low else (1.0, 2.0, 5.0)))
        scaled.set_minor_locator(NullLocator())
        scaled.set_major_formatter(lambda value, _: f"{value:,g}")
    elif axis.limit is not None:
        axes.set(**{f"{which}lim": (0, axis.limit)})
    else:
        axes.set(**{f"{which}lim": (0, None)})


def _clean(figure: Canvas, axes: Axes) -> Canvas:
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plain(text: str) -> str:
    """A text as it is, not as a formula: a photo may be called `$x_$`."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines()).replace("$", r"\$")


def pictures_of(canvas: Canvas, path: Path) -> dict[Path, bytes]:
    """The figure as `path` with the endings .svg and .png."""
    files = {}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a title in a script that matplotlib's font lacks shows boxes
            if canvas.get_layout_engine() is not None:
                canvas.draw_without_rendering()
                canvas.set_layout_engine("none")  # it stands: once for both kinds
            for kind, key in MAKER_KEY.items():
                buffer = io.BytesIO()
                canvas.savefig(buffer, format=kind, dpi=130, metadata={key: MAKER})
                files[path.with_name(f"{path.name}.{kind}")] = buffer.getvalue()
    finally:
        plt.close(canvas)
    return files


def save_figure(canvas: Canvas, path: Path) -> list[Path]:
    """Writes `path` with the endings .svg and .png. Raises FileError when the place cannot be written, or holds a
    picture that somebody else made: a figure replaces figures alone."""
    files = pictures_of(canvas, path)
    for file in files:
        if file.is_file() and MAKER.encode() not in file.read_bytes():
            raise FileError(f"cannot write {file}: it is there and is no figure of triptych: name another --out")
    for file, content in files.items():
        write(file, content)
    return list(files)
