"""RGB-D sequences on disk: a folder with rgb/, depth/ and meta.json (format: the data folder's README)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRAINED_PLACES = ("tum_fr1_rpy", "aims")  # CC BY 4.0 and MIT: the two that may be trained on


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
