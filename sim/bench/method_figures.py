"""Pictures of the method: what polishing does to a tensor, and depth maps by widths and method."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from triptych.golden.files import replacing
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.qparams import QParams, uniform_qparams
from triptych.golden.quartdepth.ptq.polish import PERCENTILE, Kind, candidates, code_error, spread
from triptych.golden.quartdepth.ptq.recipe import Stats, measure
from triptych.sim.depth.models import calibration_frames, float_network
from triptych.sim.view.pictures import colour, upsample

TENSORS = ("decoder.conv2d_in", "decoder.ups_block_1.end_up_layer.0", "encoder.mv2.6.conv.6")


def _levels(code: QParams) -> NDArray[np.float64]:
    return code.decode(np.arange(16))


def polish_figure(model: str = "meter") -> Figure:
    """For three tensors: values by channel, the same divided by w and polished, with the sixteen levels of the min-max
    code and of the best LogNP table, and the square error that each leaves."""
    net = float_network(model)
    batch = torch.cat(net.pictures(calibration_frames(model).rgb[::4]))
    stats: Stats = measure(net.graph, batch, 0, lambda: None)
    figure, axes = plt.subplots(2, len(TENSORS), figsize=(13, 6))
    for column, name in enumerate(TENSORS):
        x = stats.samples[name]
        ones = torch.ones(len(x))
        plain = uniform_qparams(float(x.min()), float(x.max()), Format.UINT4)
        w = spread(x)
        v = x / w[:, None]
        table = min(candidates(v, ones, {Kind.LOGNP}), key=lambda c: code_error(v, c, w.square()))
        _draw(
            axes[0, column],
            x,
            _levels(plain),
            f"{name}\nas it is: min-max, square error {code_error(x, plain, ones):.3g}",
        )
        base = float(v.abs().quantile(PERCENTILE))
        polished = v.sign() * torch.log2(1 + v.abs() / base)
        levels = _levels(table)
        levels = np.sign(levels) * np.log2(1 + np.abs(levels) / base)
        _draw(
            axes[1, column], polished, levels, f"polished: LogNP, square error {code_error(v, table, w.square()):.3g}"
        )
    axes[0, 0].set_ylabel("samples")
    axes[1, 0].set_ylabel("samples")
    figure.tight_layout()
    return figure


def _draw(axis: plt.Axes, x: torch.Tensor, levels: NDArray[np.float64], title: str) -> None:
    low, high = (float(q) for q in np.quantile(x.numpy(), (0.001, 0.999)))
    low, high = min(low, float(levels.min())), max(high, float(levels.max()))
    bins = np.linspace(low, high, 70)
    shades = plt.get_cmap("viridis")(np.linspace(0, 1, len(x)))
    order = x.abs().mean(1).argsort().tolist()
    axis.hist([x[c].numpy() for c in order], bins.tolist(), stacked=True, color=shades.tolist(), log=True)
    for level in levels:
        axis.axvline(level, color="crimson", lw=0.7, alpha=0.8)
    axis.set_title(title, fontsize=9)


def depth_figure(photos: list[NDArray[np.uint8]], maps: dict[str, list[NDArray[np.float64]]]) -> Figure:
    """A row a photo: the photo and its depth by each network, all on the first one's scale."""
    height = 0.1 + 2.3 * photos[0].shape[0] / photos[0].shape[1]
    figure, axes = plt.subplots(
        len(photos), 1 + len(maps), figsize=(2.3 * (1 + len(maps)), 0.3 + height * len(photos)), squeeze=False
    )
    for row, rgb in enumerate(photos):
        axes[row, 0].imshow(rgb)
        first = next(iter(maps.values()))[row]
        low, high = (float(v) for v in np.percentile(first, (2, 98)))
        for column, (title, depths) in enumerate(maps.items(), 1):
            axes[row, column].imshow(colour(upsample(depths[row], rgb.shape[:2]), low, high))
            if row == 0:
                axes[row, column].set_title(title, fontsize=8)
        for axis in axes[row]:
            axis.set_axis_off()
    figure.tight_layout()
    return figure


def save(figure: Figure, file: Path) -> None:
    """Writes a PNG whole."""
    with replacing(file) as part:
        figure.savefig(part, format="png", dpi=110)
    plt.close(figure)
