"""A photo of any kind becomes RGB of the network's size, or one clear line."""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from triptych.golden.photo import Fit, PhotoError, fit_box, fit_photo, read_photo

SIZE = (192, 256)


def _save(folder: Path, image: Image.Image, name: str = "photo.png", **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def _png16(file: Path, samples: np.ndarray) -> Path:
    """A PNG of 16 bits a sample, [H,W,channels], which Pillow does not write."""
    height, width, channels = samples.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return file


def _with_exif(jpeg: Path, *tags: tuple[int, int, int, bytes]) -> Path:
    """Puts an EXIF block with these (tag, type, count, four bytes) behind a JPEG's first marker."""
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHI", *t[:3]) + t[3].ljust(4, b"\0") for t in tags)
    block = b"Exif\0\0II*\0\x08\0\0\0" + body + bytes(4)
    data = jpeg.read_bytes()
    jpeg.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
    return jpeg


def _noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_photo_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = _noise(256, 192)
    photo = fit_photo(_save(tmp_path, Image.fromarray(pixels)), SIZE)
    assert (photo.rgb == pixels).all()
    assert photo.box == photo.inside == (0, 0, 256, 192)
    assert photo.shown == photo.filled == 1


@pytest.mark.parametrize("wh", [(40, 30), (1, 1), (1000, 31), (31, 1000), (300, 400), (2049, 1537)])
@pytest.mark.parametrize("fit", Fit)
def test_any_size_and_orientation(tmp_path: Path, wh: tuple[int, int], fit: Fit) -> None:
    photo = fit_photo(_save(tmp_path, Image.fromarray(_noise(*wh))), SIZE, fit)
    assert photo.rgb.shape == (*SIZE, 3)
    assert photo.rgb.dtype == np.uint8
    assert photo.size == wh
    assert photo.shown == pytest.approx(1) or fit is Fit.CROP
    assert photo.filled == 1 or fit is Fit.LETTERBOX


def test_crop_keeps_proportions_and_the_middle() -> None:
    for wh in [(741, 500), (500, 741), (4000, 300)]:
        left, top, right, bottom = fit_box(wh, SIZE, Fit.CROP)
        assert (right - left) / (bottom - top) == pytest.approx(SIZE[1] / SIZE[0])
        assert left + right == pytest.approx(wh[0])
        assert top + bottom == pytest.approx(wh[1])
        assert left == pytest.approx(0, abs=1e-9) or top == pytest.approx(0, abs=1e-9)  # no more is cut than must be
    assert fit_box((741, 500), SIZE, Fit.STRETCH) == (0, 0, 741, 500)


def test_crop_shows_the_middle_of_a_portrait_photo(tmp_path: Path) -> None:
    pixels = np.zeros((900, 256, 3), np.uint8)
    pixels[354:546] = (10, 200, 30)  # exactly the middle 192 rows
    photo = fit_photo(_save(tmp_path, Image.fromarray(pixels)), SIZE, Fit.CROP)
    assert (photo.rgb == (10, 200, 30)).all()
    assert photo.shown == pytest.approx(192 / 900)


@pytest.mark.parametrize(
    ("wh", "inside"),
    [
        ((480, 640), (56, 0, 200, 192)),  # a 3:4 portrait
        ((4000, 200), (0, 89, 256, 102)),  # a panorama
        ((741, 500), (0, 9, 256, 182)),
        ((640, 480), (0, 0, 256, 192)),
        ((1001, 750), (0, 0, 256, 192)),  # a pixel's rounding is no border
        ((1, 500), (127, 0, 128, 192)),
        ((5000, 1), (0, 95, 256, 96)),
    ],
)
def test_letterbox_keeps_all_of_a_photo_and_mirrors_its_edges(
    tmp_path: Path, wh: tuple[int, int], inside: tuple[int, int, int, int]
) -> None:
    file = _save(tmp_path, Image.fromarray(_noise(*wh)))
    photo = fit_photo(file, SIZE)
    left, top, right, bottom = photo.inside
    assert photo.inside == inside
    assert photo.box == (0, 0, *wh)
    assert photo.shown == 1
    whole = Image.open(file).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    assert (photo.rgb[top:bottom, left:right] == np.asarray(whole)).all()
    for k in range(min(left, right - left)):
        assert (photo.rgb[:, left - 1 - k] == photo.rgb[:, left + k]).all()
    for k in range(min(top, bottom - top)):
        assert (photo.rgb[top - 1 - k] == photo.rgb[top + k]).all()


def test_exif_rotation_is_undone(tmp_path: Path) -> None:
    upright = np.zeros((192, 256, 3), np.uint8)
    upright[:96] = 255  # sky above
    for orientation, turn in {3: 2, 6: 1, 8: 3}.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(np.rot90(upright, turn).copy())
        photo = fit_photo(_save(tmp_path, stored, f"{orientation}.png", exif=exif), SIZE)
        assert (photo.rgb == upright).all(), orientation


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA"])
def test_every_mode_gives_rgb(tmp_path: Path, mode: str) -> None:
    colour = Image.new("RGB", (64, 48), (200, 200, 200))
    image = colour.quantize(4) if mode == "P" else colour.convert(mode)
    name = "photo.jpg" if mode in ("CMYK", "YCbCr") else "photo.png"
    photo = fit_photo(_save(tmp_path, image, name), SIZE)
    assert photo.rgb.shape == (*SIZE, 3)
    if mode != "1":  # one bit a pixel dithers
        assert np.abs(photo.rgb.astype(int) - 200).max() <= 3


def test_grey_photo_has_three_equal_channels(tmp_path: Path) -> None:
    grey = _noise(256, 192, 1)[..., 0]
    photo = fit_photo(_save(tmp_path, Image.fromarray(grey)), SIZE)
    assert (photo.rgb == grey[..., None]).all()


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(192, 0)
    photo = fit_photo(_save(tmp_path, Image.fromarray(ramp)), SIZE)
    assert (photo.rgb[..., 0] == ramp.astype(int) * 255 // 65535).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_wide_samples_are_scaled_by_what_they_hold(tmp_path: Path, bits: int) -> None:
    top = (1 << bits) - 1
    ramp = np.linspace(0, top, 256).astype(np.uint16)[None].repeat(192, 0)
    wanted = ramp.astype(int) * 255 // top
    assert (fit_photo(_save(tmp_path, Image.fromarray(ramp)), SIZE).rgb[..., 0] == wanted).all()
    colour = np.stack([ramp, ramp[:, ::-1], ramp // 2], -1)
    tifffile.imwrite(tmp_path / "big.tiff", colour, photometric="rgb", byteorder=">")
    tifffile.imwrite(tmp_path / "zip.tiff", colour, photometric="rgb", compression="zlib")
    tifffile.imwrite(tmp_path / "little.tiff", colour, photometric="rgb")
    opaque = np.dstack([colour, np.full_like(ramp, top)])
    files = [_png16(tmp_path / "rgb.png", colour), _png16(tmp_path / "rgba.png", opaque)]
    for file in (*files, *(tmp_path / f"{n}.tiff" for n in ("big", "zip", "little"))):
        rgb = fit_photo(file, SIZE).rgb.astype(int)
        assert np.abs(rgb[..., 0] - wanted).max() <= 1, file.name  # 16 bits: Pillow cuts the low byte off
        assert (rgb[..., 1] == rgb[:, ::-1, 0]).all(), file.name
        assert np.abs(rgb[..., 2] - wanted / 2).max() <= 1.5, file.name


def test_a_tag_of_the_wrong_type_hides_neither_photo_nor_orientation(tmp_path: Path) -> None:
    upright = np.zeros((192, 256, 3), np.uint8)
    upright[:96] = 255
    stored = Image.fromarray(np.rot90(upright, 1).copy())
    height_in_words = (0x0101, 2, 4, b"six\0")
    file = _save(tmp_path, stored, "words.jpg", quality=95)
    photo = fit_photo(_with_exif(file, height_in_words, (0x0112, 3, 1, b"\6\0")), SIZE)
    assert (photo.rgb[:90] > 250).all()
    assert (photo.rgb[100:] < 5).all()
    file = _save(tmp_path, Image.fromarray(upright), "turn.jpg", quality=95)
    assert fit_photo(_with_exif(file, (0x0112, 2, 4, b"six\0")), SIZE).size == (256, 192)


def test_large_photos_are_read_in_silence_or_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _save(tmp_path, Image.fromarray(_noise(40, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # above it Pillow warns, above twice that it refuses
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(file).size == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89478485)
    huge = _save(tmp_path, Image.new("1", (20000, 10000)), "huge.png")
    with pytest.raises(PhotoError, match=r"huge\.png has more than 178 million pixels: scale it down") as error:
        read_photo(huge)
    assert "attack" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC is not read here: export it as JPEG"),
        ("p", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(200), "HEIC"),
        ("p.CR2", b"II*\0\x10\0\0\0CR\x02\0" + bytes(200), "raw file: develop it and export it as JPEG"),
        ("p.dng", b"II*\0\x08\0\0\0" + bytes(200), "raw file"),
        ("p.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "a drawing, no photo: export it as PNG"),
        ("p.jpg", b"%PDF-1.7", "a drawing"),
        ("p.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "a drawing"),
        ("p.mov", b"\0\0\0\x14ftypqt  " + bytes(200), "a video: save one frame"),
        ("p.png", b"", "is empty"),
        ("p.png", b"<html>404</html>", "it is not a picture of a kind known here: save it as JPEG or PNG"),
    ],
)
def test_what_is_no_photo_is_told_what_to_do(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PhotoError, match=says) as error:
        read_photo(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def _dds(image: Image.Image, file: Path) -> None:
    image.save(file)
    data = bytearray(file.read_bytes())
    data[80:84] = struct.pack("<I", 8192)  # flags of the pixel format
    file.write_bytes(data)


def _avif(image: Image.Image, file: Path) -> None:
    image.save(file)
    data = bytearray(file.read_bytes())
    at = data.index(b"mdat") + 4
    data[at:] = bytes(b ^ 0x55 for b in data[at:])
    file.write_bytes(data)


def _spider(image: Image.Image, file: Path) -> None:
    image.convert("F").save(file, "SPIDER")
    data = bytearray(file.read_bytes())
    data[92:108] = struct.pack("<4f", 0, 0, -1, 1)  # a stack whose pictures are counted from nowhere
    file.write_bytes(data)


@pytest.mark.parametrize(("ending", "damage"), [("dds", _dds), ("avif", _avif), ("spider", _spider)])
def test_what_decoders_let_out_is_one_line(
    tmp_path: Path, ending: str, damage: Callable[[Image.Image, Path], None]
) -> None:
    file = tmp_path / f"p.{ending}"
    damage(Image.fromarray(_noise(64, 48)), file)
    with pytest.raises(PhotoError, match="cannot read photo") as error:
        read_photo(file)
    assert "\n" not in str(error.value)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((192, 256, 4), np.uint8)
    pixels[:, 128:, 3] = 255
    photo = fit_photo(_save(tmp_path, Image.fromarray(pixels)), SIZE)
    assert (photo.rgb[:, :128] == 255).all()
    assert (photo.rgb[:, 128:] == 0).all()


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"no photo .*nowhere\.png"):
        fit_photo(tmp_path / "nowhere.png", SIZE)
    with pytest.raises(PhotoError, match=r"is a folder, no photo: name the photos in it, for example .*\*\.jpg"):
        fit_photo(tmp_path, SIZE)
    with pytest.raises(PhotoError, match=r"broken\\nname\.jpg") as error:
        fit_photo(tmp_path / "broken\nname.jpg", SIZE)
    assert "\n" not in str(error.value)
    with pytest.raises(PhotoError, match="no regular file"):
        fit_photo("/dev/null", SIZE)
    with pytest.raises(PhotoError, match="name too long"):
        fit_photo(tmp_path / ("n" * 300), SIZE)
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(PhotoError, match=r"cannot read photo .*text\.jpg"):
        fit_photo(tmp_path / "text.jpg", SIZE)
    whole = _save(tmp_path, Image.fromarray(_noise(300, 200))).read_bytes()
    for cut in (10, len(whole) // 2):
        (tmp_path / "cut.png").write_bytes(whole[:cut])
        with pytest.raises(PhotoError, match="cannot read photo") as error:
            fit_photo(tmp_path / "cut.png", SIZE)
        assert "\n" not in str(error.value)
    _save(tmp_path, Image.fromarray(np.ones((4, 4), np.float32)), "float.tiff")
    with pytest.raises(PhotoError, match="floating-point"):
        fit_photo(tmp_path / "float.tiff", SIZE)
