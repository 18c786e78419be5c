"""From any photo to what the network reads: RGB uint8 at the network's size.

Default fit: keep the photo's proportions, scale it until it covers the input, and cut what sticks out, equally on
both sides (`Fit.CROP`). Perspective is what the network reads depth from, so nothing is squeezed; the price is a
margin of the photo, which `Photo.box` states. `Fit.STRETCH` keeps every pixel and squeezes instead.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from triptych.golden.files import protect


class PhotoError(ValueError):
    """A photo that cannot be read; the message names the file and what to do."""


class Fit(Enum):
    CROP = "crop"
    STRETCH = "stretch"


@dataclass(frozen=True)
class Photo:
    """rgb uint8 [H,W,3]; `box` (left, top, right, bottom) is what it shows of the upright photo of `size` (w, h)."""

    rgb: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    size: tuple[int, int]


def fit_box(photo: tuple[int, int], target: tuple[int, int], fit: Fit) -> tuple[float, float, float, float]:
    """The part (left, top, right, bottom) of a photo (width, height) that fills a target (height, width)."""
    width, height = photo
    if fit is Fit.STRETCH:
        return 0.0, 0.0, float(width), float(height)
    scale = min(width / target[1], height / target[0])
    w, h = target[1] * scale, target[0] * scale
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode: 16-bit grey scaled down, transparency over white, the rest as Pillow converts it."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        top = 65535 if image.mode != "I" or grey.max(initial=0) > 255 else 255
        return Image.fromarray((grey.clip(0, top) * 255 // top).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed white; save the picture as 8 or 16 bit")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def fit_photo(path: str | Path, target: tuple[int, int], fit: Fit = Fit.CROP) -> Photo:
    """Reads a photo, turns it upright (EXIF), converts it to RGB and fits it to `target` (height, width).

    Scaling is Pillow's antialiased bilinear filter, in both directions; a photo that has the target's size already
    keeps its pixels. Raises PhotoError (missing, no picture, truncated, unusable mode) in one line.
    """
    file = Path(path)
    if not file.is_file():
        raise PhotoError(f"no photo {file}")
    protect(file)
    try:
        with Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened)
            image = _to_rgb(upright)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PhotoError(f"cannot read photo {file}: {reason}") from error
    box = fit_box(image.size, target, fit)
    fitted = image.resize((target[1], target[0]), Image.Resampling.BILINEAR, box=box)
    return Photo(np.array(fitted, dtype=np.uint8), box, image.size)


def to_input(rgb: NDArray[np.uint8]) -> Tensor:
    """uint8 [N,H,W,3] -> float32 [N,3,H,W] in 0..1."""
    return torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).float() / 255
