"""One reader of photos for every panel: a file of any kind becomes upright RGB uint8, or one line that says why not.

Fits to a network's input: `Fit.LETTERBOX` keeps the whole photo and its proportions and fills what is left of the input
with the photo mirrored at its edges; `Fit.CROP` keeps proportions and fills the input, what sticks out is cut equally
on both sides; `Fit.STRETCH` keeps every pixel and squeezes. Perspective and scale are what a network reads depth from:
on 24 test frames of three indoor sequences cut to 3:4, METER's d1 is .550 mirrored (.617 if it sees the whole frame),
.477 with edges repeated, .423 on grey, .272 on black, .367 squeezed, .174 cropped, whose zoom it takes for nearness.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from triptych.golden.files import protect

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 178_000_000  # of a photo: what Pillow itself agrees to decode, in round numbers
DEPTHS = (8, 10, 12, 14, 16, 20, 24, 31)  # bits that a sample of a wider integer may really have

LOOKED_AT = ("motorcycle_left.png", "coffee.png", "astronaut.png", "chelsea.png", "rocket.jpg")
"""Photos of scikit-image that nothing is trained, calibrated or distilled on: pictures of them show what a network
knows of what it never saw."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RAW = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"}
_DRAWINGS = {".eps", ".pdf", ".ps", ".svg", ".svgz"}
_VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


class PhotoError(ValueError):
    """A photo that cannot be read; the message names the file and what to do."""


class Fit(Enum):
    LETTERBOX = "letterbox"
    CROP = "crop"
    STRETCH = "stretch"


@dataclass(frozen=True)
class Photo:
    """rgb uint8 [H,W,3]; `box` (left, top, right, bottom) is what it shows of the upright photo of `size` (w, h), and
    `inside` (the same) is where in `rgb` that lies: around it is filling."""

    rgb: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    inside: tuple[int, int, int, int]

    @property
    def shown(self) -> float:
        """Share of the photo that the network sees, 0..1."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) / (self.size[0] * self.size[1])

    @property
    def filled(self) -> float:
        """Share of the network's input that is photo, 0..1."""
        left, top, right, bottom = self.inside
        return (right - left) * (bottom - top) / (self.rgb.shape[0] * self.rgb.shape[1])


def fit_box(photo: tuple[int, int], target: tuple[int, int], fit: Fit) -> tuple[float, float, float, float]:
    """The part (left, top, right, bottom) of a photo (width, height) that a target (height, width) shows."""
    width, height = photo
    if fit is not Fit.CROP:
        return 0.0, 0.0, float(width), float(height)
    scale = min(width / target[1], height / target[0])
    w, h = target[1] * scale, target[0] * scale
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2


def fit_inside(photo: tuple[int, int], target: tuple[int, int], fit: Fit) -> tuple[int, int, int, int]:
    """Where (left, top, right, bottom) in a target (height, width) a photo (width, height) lies: at least a pixel."""
    rows, columns = target
    if fit is Fit.LETTERBOX:
        scale = min(target[1] / photo[0], target[0] / photo[1])
        columns = min(target[1], max(1, round(photo[0] * scale)))
        rows = min(target[0], max(1, round(photo[1] * scale)))
    left, top = (target[1] - columns) // 2, (target[0] - rows) // 2
    return left, top, left + columns, top + rows


def fit_photo(path: str | Path, target: tuple[int, int], fit: Fit = Fit.LETTERBOX) -> Photo:
    """Reads a photo (`read_photo`) and fits it to `target` (height, width). Raises PhotoError in one line."""
    return fit_image(read_photo(path), target, fit)


def fit_image(image: Image.Image, target: tuple[int, int], fit: Fit = Fit.LETTERBOX) -> Photo:
    """An upright RGB picture fitted to `target` (height, width).

    Scaling is Pillow's antialiased bilinear filter, in both directions; a picture that has the target's size already
    keeps its pixels.
    """
    box, inside = fit_box(image.size, target, fit), fit_inside(image.size, target, fit)
    left, top, right, bottom = inside
    fitted = np.array(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box), dtype=np.uint8)
    around = ((top, target[0] - bottom), (left, target[1] - right), (0, 0))
    return Photo(np.pad(fitted, around, "symmetric"), box, image.size, inside)


def read_photo(path: str | Path) -> Image.Image:
    """A photo as RGB, turned upright (EXIF). Samples of more than eight bits are scaled by what they hold (a 12-bit
    sensor in a 16-bit file has its white at 4095), transparency lies over white, an animation is its first frame.

    Raises PhotoError in one line: missing, no picture, damaged, too large, a kind that is no photo.
    """
    file = Path(path)
    name = str(file).replace("\n", "\\n").replace("\r", "\\r")
    try:
        if file.is_dir():
            raise PhotoError(f"{name} is a folder, no photo: name the photos in it, for example {name}/*.jpg")
        if not file.exists():
            raise PhotoError(f"no photo {name}: No such file or directory")
        if not file.is_file():
            raise PhotoError(f"{name} is no regular file: copy what comes out of it into one")
        protect(file)
        if file.suffix.lower() in _RAW:
            raise PhotoError(f"{name} is a camera's raw file: develop it and export it as JPEG or PNG")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata: the photo is read, or what is raised says why not
            return _decode(file)
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise PhotoError(_too_large(name)) from None
    except UnidentifiedImageError:
        raise PhotoError(f"cannot read photo {name}: {_advice(file)}") from None
    except MemoryError:
        raise PhotoError(f"cannot read photo {name}: it does not fit into memory, scale it down first") from None
    except OSError as error:
        raise PhotoError(f"cannot read photo {name}: {error.strerror or _first_line(error)}") from error
    except Exception as error:
        # Pillow's decoders let out whatever their parsers meet: struct.error, RuntimeError, AttributeError, KeyError...
        raise PhotoError(f"cannot read photo {name}: it is damaged ({_first_line(error)})") from error


def shipped_photo(name: str) -> Path:
    """A photo that scikit-image's package holds."""
    import skimage  # here alone: it takes its time

    return Path(skimage.__file__).parent / "data" / name


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _too_large(name: str) -> str:
    millions = MAX_PIXELS // 1_000_000
    return f"{name} has more than {millions} million pixels: scale it down first, 4000 pixels a side are plenty"


def _advice(file: Path) -> str:
    """What to do with a file that holds no picture that Pillow knows."""
    with file.open("rb") as opened:
        head = opened.read(1024)
    suffix = file.suffix.lower()
    if not head:
        return "it is empty"
    if head[4:8] == b"ftyp" and (head[8:12] in _HEIC or suffix in (".heic", ".heif")):
        return "HEIC is not read here: export it as JPEG (iPhone: Settings, Camera, Formats, Most Compatible)"
    if suffix in _DRAWINGS or head.startswith((b"%PDF", b"%!PS")) or b"<svg" in head:
        return "it is a drawing, no photo: export it as PNG"
    if suffix in _VIDEOS or head[4:8] == b"ftyp":
        return "it is a video: save one frame of it as PNG"
    return "it is not a picture of a kind known here: save it as JPEG or PNG"


def _decode(file: Path) -> Image.Image:
    """The whole of what Pillow does; anything may be raised. EPS is left out: Pillow would run Ghostscript on it."""
    Image.init()
    with Image.open(file, formats=[kind for kind in Image.OPEN if kind != "EPS"]) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        colour = _sample_order(opened)
        with _quiet(opened.format == "TIFF"):
            opened.load()
        image = _to_rgb(opened if colour is None else _sixteen_bit_colour(opened, file, colour))
        turn = _UPRIGHT.get(_orientation(opened))
    return image if turn is None else image.transpose(turn)


@contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """libtiff says what it thinks of a damaged file on the process's standard error, past Python: not here."""
    if not wanted:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 if it is not there or the EXIF block is damaged: the pixels are whole all the same."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _sample_order(image: ImageFile.ImageFile) -> tuple[str, str] | None:
    """(mode, byte order) as Pillow's unpackers name them, of colour of 16 bits a sample whose order can be swapped."""
    if not image.tile:
        return None
    arguments: Any = image.tile[0].args
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    mode, _, order = raw.partition(";16") if isinstance(raw, str) else ("", "", "")
    return (mode, order) if mode in ("RGB", "RGBA") and order in _SWAPPED else None


def _sixteen_bit_colour(image: Image.Image, file: Path, colour: tuple[str, str]) -> Image.Image:
    """A picture with 16 bits a sample, of which Pillow keeps the high byte. Where that leaves two bits or more unused,
    it is read again in the other byte order, which yields the low byte, and scaled by what it holds."""
    high = np.asarray(image).astype(np.int64)
    if high[..., :3].max(initial=0) >= 64:
        return image
    mode, order = colour
    with Image.open(file) as again:
        tiles = []
        for tile in again.tile:
            swapped = f"{mode};16{_SWAPPED[order]}"
            tiles.append(tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped))
        again.tile = tiles
        again.load()
        samples = high << 8 | np.asarray(again)
    samples[..., :3] = _to_eight_bits(samples[..., :3])
    samples[..., 3:] = _to_eight_bits(samples[..., 3:])
    return Image.fromarray(samples.astype(np.uint8), mode)


def _to_eight_bits(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers scaled so that the largest value of the smallest usual depth that holds them all becomes 255."""
    largest = int(samples.max(initial=0))
    top = next((1 << bits) - 1 for bits in DEPTHS if largest < 1 << bits)
    return samples.clip(0, top) * 255 // top


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode: wide samples scaled down, transparency over white, the rest as Pillow converts it."""
    if image.width == 0 or image.height == 0:
        raise ValueError("it has no pixels")
    if image.mode.startswith("I"):
        return Image.fromarray(_to_eight_bits(np.asarray(image).astype(np.int64)).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise OSError("floating-point pixels have no agreed white; save the picture as 8 or 16 bit")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def to_input(rgb: NDArray[np.uint8]) -> Tensor:
    """uint8 [N,H,W,3] -> float32 [N,3,H,W] in 0..1."""
    import torch  # here alone, so that reading photos does not wait for it

    return torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).float() / 255
