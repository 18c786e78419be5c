"""Damaged pictures of every format: whatever a decoder lets out, the user sees one line."""

import io
import random
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from triptych.golden.photo import PhotoError, fit_photo

SIZE = (48, 64)
HEADER = 400  # bytes in which most mutations fall: what decoders take on trust


def _picture() -> Image.Image:
    rng = np.random.default_rng(13)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return coarse.resize((96, 72), Image.Resampling.BICUBIC)


def _exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010E], tags[0x011A] = 6, "a photo", 72.0
    tags.get_ifd(0x8769).update({0x829A: 0.01, 0x9000: b"0230"})
    return tags


@cache
def _whole() -> dict[str, bytes]:
    """One picture in every format that Pillow writes and reads, and in the odd modes of those that have some."""
    picture, made = _picture(), {}

    def put(name: str, image: Image.Image, kind: str, **how: object) -> None:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # IM: as long as Pillow reads it, so do we
            image.save(buffer, kind, **how)
        made[name] = buffer.getvalue()

    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "ICO", "AVIF", "PCX", "SGI", "DDS",
                 "ICNS", "IM", "GIF", "QOI"):  # fmt: skip
        put(kind, picture, kind)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"):
        put(f"{kind} with EXIF", picture, kind, exif=_exif())
    for method in ("tiff_adobe_deflate", "tiff_lzw", "packbits", "jpeg"):
        put(f"TIFF {method}", picture, "TIFF", compression=method)
    put("JPEG progressive", picture, "JPEG", progressive=True)
    put("JPEG CMYK", picture.convert("CMYK"), "JPEG")
    put("PNG palette", picture.quantize(16), "PNG", transparency=1)
    put("GIF palette", picture.quantize(16), "GIF", transparency=2)
    put("MSP", picture.convert("1"), "MSP")
    put("XBM", picture.convert("1"), "XBM")
    put("SPIDER", picture.convert("F"), "SPIDER")
    put("TIFF float", picture.convert("F"), "TIFF")
    wide = np.asarray(picture).astype(np.uint16)
    put("PNG 16 bit", Image.fromarray(wide[..., 0] * 257), "PNG")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, wide, photometric="rgb", compression="zlib")  # read twice: its high bytes are zero
    made["TIFF 16 bit"] = buffer.getvalue()
    return made


def _damaged(rng: random.Random) -> tuple[str, bytes]:
    name, whole = rng.choice(sorted(_whole().items()))
    data, kind = bytearray(whole), rng.random()
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if kind < 0.6:
            place, byte = rng.randrange(min(len(data), HEADER)), rng.choice((0, 1, 127, 128, 254, 255))
            data[place] = byte if rng.random() < 0.8 else rng.randrange(256)
        elif kind < 0.8:
            data[rng.randrange(len(data))] = rng.randrange(256)
        elif kind < 0.9:
            data = data[: rng.randrange(1, len(data) + 1)]
        else:
            place = rng.randrange(len(data))
            data[place:place] = rng.randbytes(rng.randrange(8))
    return name, bytes(data)


@pytest.mark.parametrize(
    "numbers", [pytest.param(range(100), id="100"), pytest.param(range(100, 2100), id="2000", marks=pytest.mark.slow)]
)
def test_no_damage_escapes(numbers: range, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "photo"
    seen: Counter[str] = Counter()
    for number in numbers:
        name, data = _damaged(random.Random(f"photo {number}"))
        file.write_bytes(data)
        try:
            photo = fit_photo(file, SIZE)
        except PhotoError as error:
            lines = str(error).splitlines()
            seen["refused"] += 1
        except Exception as error:
            pytest.fail(f"mutation {number}, a {name}: {type(error).__name__} escapes: {error}")
        else:
            assert photo.rgb.shape == (*SIZE, 3), (number, name)
            lines = [""]
            seen["read"] += 1
        assert len(lines) == 1, (number, name)
        said = capfd.readouterr()
        assert said.err == said.out == "", (number, name)
    assert min(seen["read"], seen["refused"]) > len(numbers) // 10  # neither whole files nor rubbish alone


def test_whole_files_are_read(tmp_path: Path) -> None:
    for name, data in _whole().items():
        (tmp_path / "photo").write_bytes(data)
        if name in ("SPIDER", "TIFF float"):
            with pytest.raises(PhotoError, match="floating-point"):
                fit_photo(tmp_path / "photo", SIZE)
        else:
            width, height = fit_photo(tmp_path / "photo", SIZE).size
            assert (width < height) == ("EXIF" in name), name
            assert {width, height} == {96, 72} or name in ("ICO", "ICNS"), name  # which have sizes of their own
