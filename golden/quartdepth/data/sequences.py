"""RGB-D sequences on disk: a folder with rgb/, depth/ and meta.json (format: the data folder's README)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.golden.photo import Fit, fit_box, fit_photo, shipped_photo

TRAINED_PLACES = ("tum_fr1_rpy", "aims")  # CC BY 4.0 and MIT
OTHER_PLACES = ("tum_fr3_cabinet", "felix_floor_robot", "tum_fr1_desk", "tum_fr1_360", "tum_fr3_office")
"""A few frames each, CC BY 4.0 and MIT, that may be trained on too."""
UNSEEN_PLACES = ("sevenscenes", "udacity", "metric3d_demo")
"""Research use only: in no training, calibration or distillation, but for heads that are not shipped."""

# Middlebury 2014 "Motorcycle" at a quarter of its size, as scikit-image ships it (skimage.data.stereo_motorcycle):
# focal length and doffs in pixels, baseline in metres; depth = focal * baseline / (disparity + doffs).
_FOCAL, _BASELINE, _DOFFS = 994.978, 0.193001, 31.086


class DataError(ValueError):
    """A sequence folder that is missing or damaged."""


@dataclass(frozen=True)
class Sequence:
    """Frames of one split: rgb uint8 [N,H,W,3], depth float32 [N,H,W] in metres, 0 where unknown."""

    name: str
    split: str
    ids: tuple[str, ...]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]


def read_sequence(folder: Path, split: str, every: int = 1) -> Sequence:
    """Every `every`-th frame of a split. Depth files are uint16 millimetres, or 1/256 m in the KITTI folders.

    Raises DataError naming the folder when it is no sequence or lacks the split.
    """
    try:
        ids = json.loads((folder / "meta.json").read_text())["split"][split][::every]
        scale = 256.0 if folder.parent.name == "kitti" else 1000.0
        suffix = "png" if folder.parent.name == "kitti" else "jpg"
        rgb = [np.asarray(Image.open(folder / "rgb" / f"{i}.{suffix}").convert("RGB")) for i in ids]
        depth = [np.asarray(Image.open(folder / "depth" / f"{i}.png"), dtype=np.float32) / scale for i in ids]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise DataError(f"{folder} holds no sequence with a split {split!r}: {error}") from error
    if not ids:
        raise DataError(f"{folder}: split {split!r} is empty")
    return Sequence(folder.name, split, tuple(ids), np.stack(rgb), np.stack(depth).astype(np.float32))


def licence(folder: Path) -> str:
    """The terms of a sequence's frames. Raises DataError."""
    try:
        return str(json.loads((folder / "meta.json").read_text())["licence"])
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise DataError(f"{folder} states no licence: {error}") from error


def motorcycle(size: tuple[int, int]) -> Sequence:
    """scikit-image's motorcycle photo with its true depth, cropped to `size` (height, width)."""
    with np.load(shipped_photo("motorcycle_disp.npz")) as arrays:
        disparity = arrays["arr_0"]
    depth = np.where(np.isfinite(disparity), _FOCAL * _BASELINE / (disparity + _DOFFS), 0.0)
    rgb = fit_photo(shipped_photo("motorcycle_left.png"), size, Fit.CROP).rgb
    left, top, right, bottom = fit_box((depth.shape[1], depth.shape[0]), size, Fit.CROP)
    rows = (top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0]).astype(int)
    columns = (left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]).astype(int)
    picked = depth[rows[:, None], columns].astype(np.float32)
    return Sequence("motorcycle", "test", ("left",), rgb[None], picked[None])
