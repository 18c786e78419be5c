"""What d1 does not see: the error at depth edges, and which of two points is nearer, as people labelled it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from triptych.golden.quartdepth.data.metrics import upsample

PAIRS = Path(__file__).parent / "pairs" / "pairs.txt"
_STEP = 0.1  # of the logarithm of depth between neighbours: an edge
_REACH = 1  # pixels from an edge that count as at it
_NEAREST = 1e-3
Array = NDArray[np.floating]


@dataclass(frozen=True)
class Pair:
    """A photo's name and two of its points (x, y), in pixels: the nearer and the farther one."""

    photo: str
    near: tuple[int, int]
    far: tuple[int, int]


def read_pairs(file: Path = PAIRS) -> list[Pair]:
    """The labelled pairs. Raises ValueError for a line that is none."""
    out = []
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            name, *numbers = line.split()
            if len(numbers) != 4:
                raise ValueError(f"{file}: no pair: {line}")
            a, b, c, d = map(int, numbers)
            out.append(Pair(name, (a, b), (c, d)))
    return out


def at(depth: Array, point: tuple[float, float]) -> float:
    """Depth [h,w] at a point (x, y) in shares of the picture, between pixel centres."""
    grid = torch.tensor([[[[2 * point[0] - 1, 2 * point[1] - 1]]]], dtype=torch.float32)
    x = torch.from_numpy(np.ascontiguousarray(depth, dtype=np.float32))[None, None]
    return float(F.grid_sample(x, grid, padding_mode="border", align_corners=False))


def edges(depth: Array) -> NDArray[np.bool_]:
    """Pixels of depth [H,W] (metres, 0 unknown) at a step of a tenth or more between two known neighbours."""
    known = depth > 0
    logs = np.log(np.where(known, depth, 1.0))
    out = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        step = (np.abs(np.diff(logs, axis=axis)) > _STEP) & np.logical_and(
            np.take(known, range(1, depth.shape[axis]), axis), np.take(known, range(depth.shape[axis] - 1), axis)
        )
        before = [(0, 0), (0, 0)]
        after = [(0, 0), (0, 0)]
        before[axis], after[axis] = (0, 1), (1, 0)
        out |= np.pad(step, before) | np.pad(step, after)
    wide = F.max_pool2d(torch.from_numpy(out).float()[None, None], 2 * _REACH + 1, 1, _REACH)[0, 0].numpy() > 0
    return np.asarray(wide & known)


def edge_error(prediction: Array, depth: Array) -> float | None:
    """Mean |l| at edges of depth [H,W], l = log(prediction / depth) less its median over the whole picture.

    prediction [h,w] is upsampled. None if depth has no edge. Raises ValueError for values that are not finite.
    """
    if not np.isfinite(prediction).all():
        raise ValueError("the prediction holds values that are not finite")
    mask = edges(depth)
    if not mask.any():
        return None
    known = depth > 0
    full = upsample(prediction, (depth.shape[0], depth.shape[1]))
    logs = np.log(np.maximum(full, _NEAREST)) - np.log(np.where(known, depth, 1.0))
    return float(np.abs(logs[mask] - np.median(logs[known])).mean())


def coarsened(depth: Array, size: tuple[int, int]) -> Array:
    """Depth [H,W] (0 unknown) as a map of another (height, width) can say it at best: the mean of the logarithms of
    what is known of each of its pixels; where nothing is, the median of all. Raises ValueError if nothing is."""
    known = depth > 0
    if not known.any():
        raise ValueError("no depth is known")
    logs = np.log(np.where(known, depth, 1.0))
    sums, share = (
        F.interpolate(torch.from_numpy(x.astype(np.float64))[None, None], size=size, mode="area")[0, 0].numpy()
        for x in (np.where(known, logs, 0.0), known)
    )
    mean = np.where(share > 0, sums / np.maximum(share, 1e-12), np.median(logs[known]))
    return np.asarray(np.exp(mean))
