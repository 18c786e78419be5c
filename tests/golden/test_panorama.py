"""Views of panoramas show what lies in their directions, and panoramas of light become the photos they are made of."""

from __future__ import annotations

import base64
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.golden.quartdepth.data import panorama
from triptych.golden.quartdepth.data.panorama import NARROWEST, WIDEST, look, narrowest, read_panoramas, views
from triptych.golden.quartdepth.train import panoramas

HEIGHT = 64
TOLERANCE = 0.5 + 0.5 + 2 * 127.5 * (math.pi / HEIGHT) ** 2 / 8
"""Of a colour: the panorama is rounded, the view is, and between pixels a sine is taken for a line in two directions
(the second derivative by the square of the step, by 8). Half a pixel of the panorama is three times as much."""


def _compass() -> Tensor:
    """A panorama whose colour is the direction (to the right, up, ahead), -1..1 as 0..255."""
    lat = (0.5 - (np.arange(HEIGHT)[:, None] + 0.5) / HEIGHT) * math.pi
    lon = ((np.arange(2 * HEIGHT)[None] + 0.5) / HEIGHT - 1) * math.pi
    seen = np.stack(np.broadcast_arrays(np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)))
    return torch.from_numpy((127.5 * (1 + seen)).round().astype(np.uint8))


def _turn(start: int, end: int, angle: float) -> NDArray[np.float64]:
    """The rotation that moves one axis towards another."""
    out = np.eye(3)
    out[start, start] = out[end, end] = math.cos(angle)
    out[end, start], out[start, end] = math.sin(angle), -math.sin(angle)
    return out


def _directions(size: tuple[int, int], yaw: float, pitch: float, roll: float, field: float) -> NDArray[np.float64]:
    """Where a camera's pixels look [h,w,3]: rolled in the hands first, turned around the upright axis last."""
    height, width = size
    row, column = np.mgrid[:height, :width] + 0.5
    step = 2 * math.tan(field / 2) / width
    rays = np.stack([(column - width / 2) * step, (height / 2 - row) * step, np.ones(size)], -1)
    right, up, ahead = 0, 1, 2
    camera = _turn(ahead, right, yaw) @ _turn(ahead, up, pitch) @ _turn(up, right, roll)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ camera.T


def _look(scene: Tensor, size: tuple[int, int], *cameras: tuple[float, ...]) -> Tensor:
    """What cameras (yaw, pitch, roll, field in degrees) see."""
    return look(scene, size, *torch.tensor(cameras).deg2rad().unbind(1))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_single_directions() -> None:
    """By hand, in views of 9x9: the middle of an outer pixel is at 8/9 of the half field."""
    for camera, pixel, right in (
        ((0, 0, 0, 90), (4, 8), (8 / 9, 0, 1)),
        ((0, 0, 0, 90), (0, 0), (-8 / 9, 8 / 9, 1)),
        ((90, 0, 0, 60), (4, 4), (1, 0, 0)),
        ((180, 45, 0, 60), (4, 4), (0, 1, -1)),
        ((0, 0, 90, 90), (0, 4), (8 / 9, 0, 1)),  # above a camera that is turned clockwise is what lies to the right
    ):
        seen = _look(_compass(), (9, 9), camera)[0, :, *pixel].double().numpy()
        assert np.abs(seen - 127.5 * (1 + np.array(right) / math.hypot(*right))).max() <= TOLERANCE, camera


@pytest.mark.parametrize("size", [(24, 40), (27, 19)])
def test_each_pixel_shows_its_direction(size: tuple[int, int]) -> None:
    """From corner to corner, by several cameras at once, two of them across the seam."""
    cameras = [(0, 0, 0, 60), (35, 20, 10, 70), (-110, -25, -20, 40), (178, 12, 5, 105), (-180, -8, 30, 55)]
    seen = _look(_compass(), size, *cameras)
    assert (seen.dtype, seen.shape) == (torch.uint8, (len(cameras), 3, *size))
    for view, camera in zip(seen, cameras, strict=True):
        right = 127.5 * (1 + _directions(size, *np.radians(camera)))
        assert np.abs(view.permute(1, 2, 0).double().numpy() - right).max() <= TOLERANCE, camera


def test_the_seam_is_none() -> None:
    """In noise, where a column that is missing or there twice is far off."""
    scene = torch.randint(0, 256, (3, 16, 32), generator=_seeded(1), dtype=torch.uint8)
    across = _look(scene, (24, 40), (180, 10, 5, 60), (-180, 10, 5, 60))
    (ahead,) = _look(scene.roll(16, -1), (24, 40), (0, 10, 5, 60))
    assert (across.int() - ahead.int()).abs().max() <= 1  # float32's angles differ in their last bits


def test_as_many_views_of_each_panorama() -> None:
    scenes = [torch.full((3, 8 * n, 16 * n), 50 * n, dtype=torch.uint8) for n in (1, 2, 3)]
    for count, shares in ((8, [3, 3, 2]), (3, [1, 1, 1]), (2, [1, 1, 0])):
        seen = views(scenes, count, (6, 10), _seeded(1))
        assert (seen.dtype, seen.shape) == (torch.uint8, (count, 3, 6, 10))
        assert [int((seen == 50 * n).flatten(1).all(1).sum()) for n in (1, 2, 3)] == shares


def test_views_are_the_seeds_all_around_and_nearly_level(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Tensor, ...]] = []

    def watched(scene: Tensor, size: tuple[int, int], *camera: Tensor) -> Tensor:
        given.append(camera)
        return look(scene, size, *camera)

    monkeypatch.setattr(panorama, "look", watched)
    first, again, other = (views([_compass()], 400, (6, 60), _seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    yaw, pitch, roll, field = given[0]
    least = narrowest(_compass(), 60)
    assert NARROWEST < least < WIDEST
    for drawn, low, high in ((yaw, -math.pi, math.pi), (field, least, WIDEST)):
        assert low <= drawn.min() < low + 0.05 * (high - low)
        assert high >= drawn.max() > high - 0.05 * (high - low)
    assert [pitch.std().item(), roll.std().item()] == pytest.approx([panorama.TILT, panorama.ROLL], rel=0.15)


def test_views_of_coarse_panoramas_are_wide() -> None:
    """Between the bounds, the panorama's pixels are COARSEST times as wide as those in the middle of a view."""
    fields = {n: narrowest(torch.empty(1).expand(3, n, 2 * n), 378) for n in (32, 128, 256, 512, 640, 2048, 8192)}
    assert fields[32] == fields[128] == WIDEST > fields[256] > fields[512] > fields[640]
    assert fields[640] > NARROWEST == fields[2048] == fields[8192]
    for n in (256, 512, 640):
        left, right = _directions((1, 378), 0, 0, 0, fields[n])[0, 188:190]
        assert math.pi / n / math.acos(left @ right) == pytest.approx(panorama.COARSEST, rel=1e-4)


def test_panoramas_are_read_by_name_and_nothing_else_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no panoramas"):
        read_panoramas(tmp_path)
    for name, grey in (("b.png", 20), ("d.png", 40), ("a.png", 10), ("c.png", 30)):
        Image.new("L", (8, 4), grey).save(tmp_path / name)
    found = read_panoramas(tmp_path)
    assert [(p.dtype, p.shape) for p in found] == [(torch.uint8, (3, 4, 8))] * 4
    assert [p.unique().tolist() for p in found] == [[10], [20], [30], [40]]
    Image.new("RGB", (8, 5)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b\.png is 8x5: a panorama is twice as wide as high"):
        read_panoramas(tmp_path)
    (tmp_path / "b.png").write_text("nothing")
    with pytest.raises(ValueError, match=r"b\.png is no picture"):
        read_panoramas(tmp_path)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["panoramas", *map(str, arguments)])
    panoramas.main()


def _write_exr(file: Path, light: NDArray[np.float16]) -> None:
    exr = pytest.importorskip("OpenEXR", reason="panoramas of light are OpenEXR files")
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    pixels = {c: light[..., n].copy() for n, c in enumerate("RGB")} | {"A": np.ones_like(light[..., 0])}
    exr.File(header, pixels).write(str(file))  # with transparency, as some are


@pytest.mark.parametrize("ending", [".exr", ".exr.js"])
def test_light_becomes_a_photo(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a middle brightness, whatever the light's unit; what is below zero or without end is light, too."""
    monkeypatch.chdir(tmp_path)
    light = np.tile(np.geomspace(1 / 64, 1, 32)[:, None] * (1.25, 1, 0.75), (16, 1, 1)).astype(np.float16)
    light[4, 4, 0] *= -1
    light[12, 12, 1] = np.inf
    _write_exr(tmp_path / "court.1k.exr", light)
    if ending == ".exr.js":
        data = base64.b64encode(Path("court.1k.exr").read_bytes()).decode()
        Path("court.1k.exr.js").write_text(f"export default 'data:application/octet-stream;base64,{data}'\n")
    _run(monkeypatch, f"court.1k{ending}", "--out", "out")
    (file,) = Path("out").iterdir()
    assert file.name == f"{tmp_path.name}_court.jpg"
    assert file.read_bytes().startswith(b"\xff\xd8\xff")
    (photo,) = (p.permute(1, 2, 0).double().numpy() for p in read_panoramas(Path("out")))
    assert photo.shape == (16, 32, 3)
    middle = panoramas.MIDDLE * (1 + panoramas.MIDDLE / panoramas.WHITE**2) / (1 + panoramas.MIDDLE)
    assert np.median(photo[..., 1]) == pytest.approx(255 * (1.055 * middle ** (1 / 2.4) - 0.055), abs=5)
    assert (np.diff(photo[2, ::4].mean(-1)) > 10).all()
    assert (np.diff(photo.mean((0, 1))) < -5).all()  # red is first
    assert photo[4, 4] == pytest.approx(photo[2, 4], abs=8)  # JPEG's errors
    assert photo[12, 12, 1] > 240
    assert photo[12, 12, [0, 2]] == pytest.approx(photo[2, 12, [0, 2]], abs=16)


def test_two_files_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sky.1k.exr", "sky.2k.exr"):
        _write_exr(tmp_path / name, np.ones((4, 8, 3), np.float16))
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, *sorted(tmp_path.glob("*.exr")), "--out", tmp_path / "out")
    assert stop.value.code == 1
    assert "sky.2k.exr: another file is called" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


OTHERS = {
    "text.exr": "text.exr: no OpenEXR file of colours",
    "dark.exr": "dark.exr: it is dark",
    "missing.exr": "missing.exr",
    "text.js": "text.js: it holds nothing in base64",
    "odd.js": "odd.js: it holds nothing in base64",
    "without_package.exr": "pip install OpenEXR",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if name in ("dark.exr", "text.exr"):
        _write_exr(tmp_path / name, np.zeros((4, 8, 3), np.float16))
    if name not in ("dark.exr", "missing.exr"):
        (tmp_path / name).write_text("'base64,text?'" if name == "odd.js" else "nothing")
    if name == "without_package.exr":
        monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, tmp_path / name, "--out", tmp_path / "out")
    assert stop.value.code == 1
    told = capfd.readouterr().err
    assert OTHERS[name] in told
    assert told.count("\n") == 1
    assert not list((tmp_path / "out").iterdir())
