"""Panoramas as photos show them, from panoramas of light: `python -m triptych.golden.quartdepth.train.panoramas FILE...
--out FOLDER`.

Poly Haven's panoramas (CC0) come as OpenEXR in other projects' packages: Debian's `blender-data`
(datafiles/studiolights/world) and the npm package `@pmndrs/assets` (hdri, each in a JavaScript file in base64).
"""

import argparse
import base64
import binascii
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.golden.files import check_writable, write

MIDDLE = 0.35
"""Light of the median pixel, where white is 1."""
WHITE = 4.0
"""Light that becomes white (Reinhard et al. 2002, equation 4)."""


def read_exr(data: bytes) -> NDArray[np.float32]:
    """Light [H,W,3]. Raises ValueError for other data, ImportError without the package OpenEXR."""
    import OpenEXR

    try:
        with OpenEXR.File(io.BytesIO(data), separate_channels=True) as file:
            channels = file.channels()
            light = np.stack([channels[c].pixels.astype(np.float32) for c in "RGB"], -1)
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError("no OpenEXR file of colours") from error
    # What lossy compression leaves around and inside of lamps may be below zero.
    return np.abs(np.nan_to_num(light, nan=np.inf, posinf=np.inf, neginf=np.inf))


def developed(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A photo of it, sRGB [H,W,3]. Raises ValueError where there is no light."""
    grey = light.mean(-1)
    if not (grey > 0).any():
        raise ValueError("it is dark")
    x = (light * (MIDDLE / np.median(grey[grey > 0]))).clip(0, WHITE)
    x = x * (1 + x / WHITE**2) / (1 + x)
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return (x * 255 + 0.5).astype(np.uint8)


def data_of(file: Path) -> bytes:
    """An OpenEXR file's bytes, which may lie in a JavaScript file in base64. Raises OSError, ValueError."""
    data = file.read_bytes()
    if file.suffix != ".js":
        return data
    try:
        return base64.b64decode(data.split(b"base64,", 1)[1].split(b"'", 1)[0], validate=True)
    except (IndexError, binascii.Error) as error:
        raise ValueError("it holds nothing in base64") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help=".exr, or .exr.js")
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    args = parser.parse_args()
    try:
        check_writable(args.out)
        photos: dict[str, bytes] = {}
        for file in args.files:
            try:
                photo = Image.fromarray(developed(read_exr(data_of(file))))
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error
            held = io.BytesIO()
            photo.save(held, "jpeg", quality=95, subsampling=0)
            name = f"{file.absolute().parent.name}_{file.name.split('.')[0]}.jpg"
            if name in photos:
                raise ValueError(f"{file}: another file is called {name}, too")
            photos[name] = held.getvalue()
        for name, data in photos.items():
            write(args.out / name, data)
    except ImportError:
        parser.exit(1, "OpenEXR reads these files: pip install OpenEXR\n")
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{args.out}: {len(args.files)} panoramas")


if __name__ == "__main__":
    main()
