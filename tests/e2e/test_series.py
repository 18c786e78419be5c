"""`triptych depth FOLDER|VIDEO`: every frame judged, interrupted and gone on with, shown as a clip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kit.command import triptych
from triptych.golden.photo import PhotoError
from triptych.golden.quartdepth.data.sequences import Sequence
from triptych.golden.quartdepth.network.network import Network
from triptych.sim.bench.example_frames import clip, photos
from triptych.sim.depth.frames import is_clip, open_frames

HERE = Path(__file__).parent
SIZE = ("--model", "meter", "--size", "64x64")


def a_folder(path: Path, names: tuple[str, ...] = ("10.png", "2.jpg", "1.png")) -> Path:
    rng = np.random.default_rng(5)
    path.mkdir()
    for name in names:
        Image.fromarray(rng.integers(0, 256, (70, 60, 3), np.uint8)).save(path / name)
    (path / "notes.txt").write_text("no photo")
    return path


def run(*arguments: object) -> dict[str, object]:
    done = triptych(HERE, "depth", *SIZE, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    (clip,) = json.loads(done.stdout)["clips"]
    return clip


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    photos = a_folder(tmp_path / "room")
    first = run(photos, "--out", tmp_path / "out", "--rtl-every", 2)
    assert first | {"frames": 3, "on_rtl": 2, "kept": 0, "bit_exact": True, "mismatches": 0} == first
    frames = sorted((tmp_path / "out" / "room.w4a8-small.frames").glob("*.png"))
    assert [p.name for p in frames] == ["00000.depth.png", "00001.depth.png", "00002.depth.png"]
    verdicts = [json.loads(Image.open(p).info["triptych-verdict"]) for p in frames]
    assert [v["frame"] for v in verdicts] == ["1.png", "2.jpg", "10.png"], "numbers by their value"
    assert [v["compared"][0] for v in verdicts] == ["RTL", "golden machine", "RTL"]
    assert verdicts[0]["cycles"] == verdicts[2]["cycles"] == first["cycles"] > 0
    clip = Image.open(str(first["output"]))
    assert (clip.n_frames, clip.size) == (3, (64 + 6 + 64, 64))
    # What is missing or of other pixels is computed again, what is there is not.
    frames[1].unlink()
    Image.new("RGB", (60, 70), "red").save(photos / "10.png")
    again = run(photos, "--out", tmp_path / "out", "--rtl-every", 2)
    assert again == first | {"kept": 1}
    # Another folder of that name has its own place.
    (tmp_path / "other").mkdir()
    other = run(a_folder(tmp_path / "other" / "room", ("1.png",)), "--out", tmp_path / "out", "--golden-only")
    assert other["on_rtl"] == 0
    assert Path(str(other["folder"])).name == "room.w4a8-small-2.frames"


def test_a_frame_that_differs_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Network.run_integer
    monkeypatch.setattr(Network, "run_integer", lambda self, codes: right(self, codes) + (np.ptp(codes) == 0))
    photos = a_folder(tmp_path / "room", ("1.png",))
    Image.new("RGB", (64, 64), "black").save(photos / "2.png")
    done = triptych(HERE, "depth", *SIZE, "--golden-only", "--out", tmp_path / "out", photos)
    assert done.returncode == 1
    assert "room: 2.png: golden machine and integer network" in done.stderr


def test_videos(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV reads videos")
    path = tmp_path / "walk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(90)
        for number in range(5):
            picture = np.zeros((64, 96, 3), np.uint8)
            picture[:, : 16 * (number + 1)] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    frames = open_frames(path)
    assert (frames.count, frames.rate) == (5, 12.0)
    shown = [np.asarray(image)[..., 0] for _, image in frames]
    assert [image.shape for image in shown] == [(96, 64)] * 5, "turned upright"
    assert [round((image[:, 32] > 128).sum() / 16) for image in shown] == [1, 2, 3, 4, 5]
    assert shown[0][-1, 32] > 128 > shown[0][0, 32], "a quarter counterclockwise: what was left is below"
    found = run(path, "--out", tmp_path / "out", "--golden-only")
    assert (found["frames"], Path(str(found["output"])).suffix) == (5, ".mp4")
    clip = open_frames(Path(str(found["output"])))
    assert (clip.count, clip.rate) == (5, 12.0)


def test_what_is_no_clip(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "sound.mp4").write_bytes(b"\0" * 100)
    assert is_clip(tmp_path / "sound.mp4")
    assert not is_clip(tmp_path / "photo.gif")
    with pytest.raises(PhotoError, match="holds no photos"):
        open_frames(tmp_path / "empty")
    with pytest.raises(PhotoError, match="no video"):
        open_frames(tmp_path / "missing.mp4")
    if pytest.importorskip("av", reason="PyAV reads videos"):
        with pytest.raises(PhotoError, match="cannot read video"):
            open_frames(tmp_path / "sound.mp4")
    photo = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(photo)
    done = triptych(HERE, "depth", *SIZE, photo, tmp_path / "empty", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "one command for each kind" in done.stderr


def test_example_frames_are_of_test_splits(tmp_path: Path) -> None:
    """Evenly from all there are; what is asked for beyond that is not made up."""
    rng = np.random.default_rng(3)
    found = [
        Sequence(name, "test", tuple(str(i) for i in range(n)), rng.integers(0, 256, (n, 48, 64, 3), np.uint8),
                 np.zeros((n, 48, 64), np.float32))
        for name, n in (("a", 5), ("b", 3))
    ]  # fmt: skip
    assert photos(found, 4, tmp_path / "four") == 4
    names = sorted(file.name for file in (tmp_path / "four").iterdir())
    assert names == ["00_a_0.png", "01_a_2.png", "02_b_0.png", "03_b_2.png"]
    assert (np.asarray(Image.open(tmp_path / "four" / names[2])) == found[1].rgb[0]).all()
    assert photos(found, 20, tmp_path / "all") == 8
    pytest.importorskip("av", reason="PyAV writes videos")
    assert clip(found[0], 3, tmp_path / "clip.mp4") == 3
    assert open_frames(tmp_path / "clip.mp4").count == 3
