"""Pictures of depth: photo, FP32 depth and the chip's depth side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from triptych.golden.files import write
from triptych.golden.photo import Photo

SPAN = 100.0  # of the tones at most: a network that puts out 0 somewhere would leave the rest of a picture dark


def colour(depth: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Depth [H,W] as RGB [H,W,3]: near is bright. `low` and `high` span the scale, in the depth's unit; equal ratios
    are equal steps, as scores count them: on a scale of metres a thing near the camera has one tone."""
    low = max(low, high / SPAN, 1e-9)
    return spread(np.log(np.maximum(depth, low)), float(np.log(low)), float(np.log(max(high, low))))


def spread(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Any values [H,W] as RGB [H,W,3], the small ones bright; `low` and `high` span the scale."""
    shade = 1.0 - np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    rgba = plt.get_cmap("magma")(shade)
    return np.asarray(np.round(255 * rgba[..., :3]), np.uint8)


def upsample(depth: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Bilinear to `size` (height, width)."""
    picture = Image.fromarray(depth.astype(np.float32), mode="F")
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float64)


def over_photo(depth: NDArray[np.float64], photo: Photo) -> NDArray[np.float32]:
    """A network's output [h,w] for a fitted photo at the photo's own size [H,W], bilinear; NaN where it is cut off."""
    rows, columns = (n / m for n, m in zip(depth.shape, photo.rgb.shape[:2], strict=True))
    left, top, right, bottom = photo.inside
    inside = (left * columns, top * rows, right * columns, bottom * rows)
    x0, y0, x1, y1 = (round(v) for v in photo.box)
    shown = Image.fromarray(depth.astype(np.float32)).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=inside)
    if photo.size == shown.size:
        return np.array(shown)
    whole = np.full((photo.size[1], photo.size[0]), np.nan, np.float32)
    whole[y0:y1, x0:x1] = np.asarray(shown)
    return whole


def triptych(photo: Photo, float_depth: NDArray[np.float64] | None, chip_depth: NDArray[np.float64]) -> Image.Image:
    """The panels side by side as large as the network saw the photo: photo, FP32 (if there is one), chip; each depth on
    a scale of its own (its 2nd to 98th percentile): of a camera that nobody knows depth is known up to a factor."""
    left, top, right, bottom = photo.inside
    given = [d for d in (float_depth, chip_depth) if d is not None]
    depths = [upsample(d, photo.rgb.shape[:2])[top:bottom, left:right] for d in given]
    shown = (colour(d, *(float(v) for v in np.percentile(d, (2, 98)))) for d in depths)
    panels = [photo.rgb[top:bottom, left:right], *shown]
    gap = np.full((bottom - top, 6, 3), 255, np.uint8)
    return Image.fromarray(np.concatenate([p for panel in panels for p in (gap, panel)][1:], axis=1))


def depth_png(depth: NDArray[np.floating[Any]], metres_per_unit: float) -> Image.Image:
    """16-bit PNG in millimetres: 1 to 65535 (65.535 m or more); 0 where depth is NaN, unknown."""
    millimetres = depth * (metres_per_unit * 1000.0)  # then in place: photos may have a hundred million pixels
    np.round(millimetres, out=millimetres)
    np.clip(millimetres, 1, 65535, out=millimetres)
    np.nan_to_num(millimetres, copy=False, nan=0)
    return Image.fromarray(millimetres.astype(np.uint16))


def save_image(image: Image.Image, path: Path, told: Mapping[str, str] | None = None) -> None:
    """Writes a PNG whole or not at all; told: texts that it carries. Raises FileError."""
    held = PngInfo()
    for name, text in (told or {}).items():
        held.add_text(name, text)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=held)
    write(path, buffer.getvalue())
