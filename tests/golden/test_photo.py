"""A photo of any kind becomes RGB of the network's size, or one clear line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.golden.photo import Fit, PhotoError, fit_box, fit_photo

SIZE = (192, 256)


def _save(folder: Path, image: Image.Image, name: str = "photo.png", **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def _noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_photo_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = _noise(256, 192)
    photo = fit_photo(_save(tmp_path, Image.fromarray(pixels)), SIZE)
    assert (photo.rgb == pixels).all()
    assert photo.box == (0, 0, 256, 192)


@pytest.mark.parametrize("wh", [(40, 30), (1, 1), (1000, 31), (31, 1000), (300, 400), (2049, 1537)])
@pytest.mark.parametrize("fit", Fit)
def test_any_size_and_orientation(tmp_path: Path, wh: tuple[int, int], fit: Fit) -> None:
    photo = fit_photo(_save(tmp_path, Image.fromarray(_noise(*wh))), SIZE, fit)
    assert photo.rgb.shape == (*SIZE, 3)
    assert photo.rgb.dtype == np.uint8
    assert photo.size == wh


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
    photo = fit_photo(_save(tmp_path, Image.fromarray(pixels)), SIZE)
    assert (photo.rgb == (10, 200, 30)).all()


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


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((192, 256, 4), np.uint8)
    pixels[:, 128:, 3] = 255
    photo = fit_photo(_save(tmp_path, Image.fromarray(pixels)), SIZE)
    assert (photo.rgb[:, :128] == 255).all()
    assert (photo.rgb[:, 128:] == 0).all()


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"no photo .*nowhere\.png"):
        fit_photo(tmp_path / "nowhere.png", SIZE)
    with pytest.raises(PhotoError, match="no photo"):
        fit_photo(tmp_path, SIZE)
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
