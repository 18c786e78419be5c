"""Depth networks by name, with the images that calibrate and test them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden.paths import shared_dir
from golden.quartdepth.meter.accuracy import TRAINED_PLACES, to_input
from golden.quartdepth.meter.metrics import EvalRegion
from golden.quartdepth.meter.model import METER, fuse, load_weights
from golden.quartdepth.meter.photo import fit_photo
from golden.quartdepth.meter.sequences import Sequence, read_sequence
from golden.quartdepth.network.graph import capture
from golden.quartdepth.network.layers import FloatGraph
from sim.errors import TriptychError

CALIBRATION_IMAGES = 32


@dataclass(frozen=True)
class Model:
    """weights: None for those in this package. calibration: (folder, split, sequences) under `data`, images taken
    evenly. tests: the same, every so many-th frame. region: which pixels are scored."""

    title: str
    weights: Callable[[Path], Path | None]
    calibration: tuple[str, tuple[str, ...]]
    tests: tuple[tuple[str, str], ...]
    region: EvalRegion
    every: int


MODELS = {
    "meter": Model(
        "METER-XXS, our weights, indoor", lambda _: None, ("indoor", TRAINED_PLACES),
        (("indoor", "tum_fr1_rpy"), ("indoor", "aims"), ("indoor", "sevenscenes")), EvalRegion.INDOOR, 4,
    ),
    "meter-kitti": Model(
        "METER-XXS, published KITTI weights", lambda shared: shared / "weights/meter/build_model_best_kitti_xxs",
        ("kitti", ("udacity",)), (("kitti", "metric3d_demo"), ("kitti", "udacity")), EvalRegion.KITTI, 1,
    ),
}  # fmt: skip


def shared_folder() -> Path:
    """Where data and published weights lie. Raises TriptychError."""
    shared = shared_dir()
    if shared is None:
        raise TriptychError("no test sequences: set TRIPTYCH_SHARED to the folder that holds data/ and weights/")
    return shared


def load_model(name: str, weights: Path | None = None) -> METER:
    """A model by name, or a METER-XXS weight file. Raises WeightsError, TriptychError."""
    return load_weights(weights or (MODELS[name].weights(shared_folder()) if name != "meter" else None))


def calibration_frames(name: str, only: tuple[str, ...] | None = None) -> NDArray[np.uint8]:
    """CALIBRATION_IMAGES frames of the train splits (all if fewer), evenly spaced. only: of these sequences."""
    folder, sequences = MODELS[name].calibration
    names = only or sequences
    parts = []
    for sequence in names:
        rgb = read_sequence(shared_folder() / "data" / folder / sequence, "train").rgb
        count = min(CALIBRATION_IMAGES // len(names), len(rgb))
        parts.append(rgb[np.linspace(0, len(rgb) - 1, count).astype(int)])
    return np.concatenate(parts)


def calibration_images(name: str, photos: tuple[Path, ...], size: tuple[int, int]) -> list[Tensor]:
    """[1,3,H,W], 0..1: the photos named, or the model's own train frames."""
    rgb = np.stack([fit_photo(p, size).rgb for p in photos]) if photos else calibration_frames(name)
    return list(to_input(rgb).split(1))


def held_out(name: str, every: int = 1) -> list[Sequence]:
    """The test splits, every so many frames."""
    root = shared_folder() / "data"
    return [read_sequence(root / folder / s, "test", every) for folder, s in MODELS[name].tests]


def float_graph(model: METER, image: Tensor) -> FloatGraph:
    """The layers that are quantised, for images of this shape."""
    with torch.no_grad():
        return capture(fuse(model), image)
