"""The figures of `triptych fastcar study`."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.golden.fastcar.config import Policy
from triptych.sim.fastcar import study
from triptych.sim.fastcar.boards import BOARDS
from triptych.sim.fastcar.performance import Schedule
from triptych.sim.fastcar.study import BATCHES, RIDGES, SKIPS, Case, Result
from triptych.sim.view.plot import save_figure

COLOURS = plt.get_cmap("viridis")(np.linspace(0.05, 0.9, len(BATCHES)))
POLICY_COLOURS = {Policy.PER_SAMPLE: "#9ecae1", Policy.PAIR: "#1b7837", Policy.ALL: "#b35806", Policy.MEAN: "#762a83"}
Index = dict[Case, Result]


def _panel(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("skip ratio s", fontsize=8)
    axes.set_ylabel(ylabel, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def speedup_figure(index: Index) -> Figure:
    """Speed-up over the dense layer by skip ratio: boards, batches, DRS on and off, the closed form."""
    figure, panels = plt.subplots(2, 2, figsize=(9, 6.6), layout="constrained")
    for axes, (name, board) in zip(panels.flat, BOARDS.items(), strict=True):
        for rows, colour in zip(BATCHES, COLOURS, strict=True):
            on = [index[Case(name, rows, s)] for s in SKIPS]
            off = [index[Case(name, rows, s, schedule=Schedule.STATIC)] for s in SKIPS]
            axes.plot(SKIPS, [r.speedup for r in on], color=colour, label=f"B = {rows}")
            axes.plot(SKIPS, [r.speedup for r in off], color=colour, linestyle="--", linewidth=0.9)
            axes.plot(SKIPS[::2], [r.closed for r in on[::2]], ".", color=colour, markersize=4)
        _panel(axes, f"{name}: ridge batch {board.ridge_batch:.1f}", "speed-up of a layer")
    panels[0, 0].legend(fontsize=7, frameon=False)
    figure.suptitle("Replay, PER_SAMPLE: solid DRS on, dashed off, dots the closed form", fontsize=10)
    return figure


def drs_figure(index: Index) -> Figure:
    """DRS on over off, on the MLP's cycles, beside (1 - s^B) / (1 - s)."""
    figure, panels = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained", sharey=True)
    for axes, (name, board) in zip(panels, BOARDS.items(), strict=True):
        for rows, colour in zip(BATCHES, COLOURS, strict=True):
            if rows < 4:
                continue
            on = [index[Case(name, rows, s)].mlp_cycles for s in SKIPS]
            for schedule, style in ((Schedule.STATIC, "-"), (Schedule.STATIC_DROP, ":")):
                off = [index[Case(name, rows, s, schedule=schedule)].mlp_cycles for s in SKIPS]
                label = f"B = {rows}" if style == "-" else None
                axes.plot(SKIPS, np.array(off) / np.array(on), style, color=colour, label=label)
            axes.plot(SKIPS[::2], [study.bound_gain(rows, s) for s in SKIPS[::2]], ".", color=colour, markersize=4)
        _panel(axes, f"{name}: ridge batch {board.ridge_batch:.1f}", "MLP time, DRS off / on")
        axes.set_yscale("log")
    panels[0].legend(fontsize=7, frameon=False)
    figure.suptitle(
        "solid: off runs every pass; dotted: off leaves empty passes out; dots: (1 − s^B)/(1 − s), lanes the bound",
        fontsize=10,
    )
    return figure


def policy_figure(index: Index) -> Figure:
    """Policies at four rows, all keys and local attention."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
    for axes, window in zip(panels, (0, 256, 16), strict=True):
        for policy, colour in POLICY_COLOURS.items():
            points = [index[Case("KV260", 4, s, policy, window=window)] for s in SKIPS]
            style = "--" if policy is Policy.ALL else "-"  # on PER_SAMPLE's line where the stream is the bound
            axes.plot(SKIPS, [r.speedup for r in points], style, color=colour, label=policy.name)
            axes.plot(SKIPS[::2], [r.closed for r in points[::2]], ".", color=colour, markersize=4)
        _panel(axes, f"local-{window}" if window else "all keys", "speed-up of a layer")
    panels[0].legend(fontsize=7, frameon=False)
    figure.suptitle(
        "KV260, B = 4. s is a row's share (PER_SAMPLE, ALL), a pair's (PAIR), i.i.d. Gaussian scores (MEAN)",
        fontsize=10,
    )
    return figure


def ridge_figure(index: Index) -> Figure:
    """Speed-up and the gain of DRS over batch and ridge batch."""
    figure, panels = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for column, skip in enumerate((0.5, 0.8, 0.9)):
        speed = np.zeros((len(BATCHES), len(RIDGES)))
        gain = np.zeros_like(speed)
        for i, rows in enumerate(BATCHES):
            for j, lanes in enumerate(RIDGES):
                on = index[Case("U280", rows, skip, lanes=lanes)]
                off = index[Case("U280", rows, skip, schedule=Schedule.STATIC, lanes=lanes)]
                speed[i, j] = on.speedup
                gain[i, j] = off.mlp_cycles / on.mlp_cycles
        for axes, values, what in ((panels[0, column], speed, "speed-up"), (panels[1, column], gain, "DRS off / on")):
            axes.imshow(values, cmap="YlGn", vmin=1.0, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                dark = value - 1 > 0.6 * (values.max() - 1)
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="w" if dark else "k")
            axes.set_xticks(range(len(RIDGES)), [str(r) for r in RIDGES], fontsize=7)
            axes.set_yticks(range(len(BATCHES)), [str(b) for b in BATCHES], fontsize=7)
            axes.set_title(f"{what}, s = {skip}", fontsize=9)
            axes.set_xlabel("ridge batch (lanes a cluster)", fontsize=8)
            axes.set_ylabel("batch", fontsize=8)
    figure.suptitle(
        "HBM of the U280 with other numbers of lanes: a layer's speed-up; MLP time, DRS off / on", fontsize=10
    )
    return figure


def draw_figures(results: list[Result], out: Path) -> None:
    """Writes `speedup`, `drs`, `policies` and `ridge` as SVG and PNG into `out`."""
    index = {r.case: r for r in results}
    for name, draw in (
        ("speedup", speedup_figure), ("drs", drs_figure), ("policies", policy_figure), ("ridge", ridge_figure),
    ):  # fmt: skip
        save_figure(draw(index), out / name)
