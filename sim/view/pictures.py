"""Pictures of depth: photo, FP32 depth and the chip's depth side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from triptych.golden.files import write


def colour(depth: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Depth [H,W] as RGB [H,W,3]: near is bright. `low` and `high` span the scale, in the depth's unit."""
    span = max(high - low, 1e-9)
    shade = 1.0 - np.clip((depth - low) / span, 0.0, 1.0)
    rgba = plt.get_cmap("magma")(shade)
    return np.asarray(np.round(255 * rgba[..., :3]), np.uint8)


def upsample(depth: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Bilinear to `size` (height, width)."""
    picture = Image.fromarray(depth.astype(np.float32), mode="F")
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float64)


def triptych(rgb: NDArray[np.uint8], float_depth: NDArray[np.float64], chip_depth: NDArray[np.float64]) -> Image.Image:
    """The three panels at the photo's size [H,W], both depths on one scale (2nd to 98th percentile of FP32)."""
    size = rgb.shape[:2]
    low, high = (float(v) for v in np.percentile(float_depth, (2, 98)))
    panels = [rgb, *(colour(upsample(d, size), low, high) for d in (float_depth, chip_depth))]
    gap = np.full((size[0], 6, 3), 255, np.uint8)
    return Image.fromarray(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1))


def depth_png(depth: NDArray[np.float64], metres_per_unit: float) -> Image.Image:
    """16-bit PNG in millimetres (0: nearer than half a millimetre; 65535: 65.535 m or more)."""
    millimetres = np.clip(np.round(depth * metres_per_unit * 1000.0), 0, 65535)
    return Image.fromarray(millimetres.astype(np.uint16))


def save_image(image: Image.Image, path: Path, told: Mapping[str, str] | None = None) -> None:
    """Writes a PNG whole or not at all; told: texts that it carries. Raises FileError."""
    held = PngInfo()
    for name, text in (told or {}).items():
        held.add_text(name, text)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=held)
    write(path, buffer.getvalue())
