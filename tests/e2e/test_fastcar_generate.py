"""`triptych fastcar generate`: what it writes, and one line for bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.kit.command import triptych
from triptych.golden.photo import PhotoError, shipped_photo
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar import generate
from triptych.sim.view.report import read


@pytest.mark.slow
def test_a_video_dense_and_replayed(tmp_path: Path) -> None:
    photo = str(shipped_photo("coffee.png"))
    options = ("--frames", "2", "--skip", "0.5", "--out", tmp_path, "--json")
    done = triptych(tmp_path, "fastcar", "generate", photo, *options)
    assert done.returncode == 0, done.stderr
    assert "its middle square is the seed frame, 67% of the photo" in done.stderr
    result = json.loads(done.stdout)
    with Image.open(tmp_path / "fastcar.gif") as movie:
        assert movie.n_frames == 2
    with Image.open(tmp_path / "fastcar.png") as strip:
        assert strip.size == (256, 384)
    with (tmp_path / "fastcar_skips.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 512
    replayed = sum(int(row["replayed"]) for row in rows)
    assert result["mlp_rows_dense"] - result["mlp_rows_computed"] == replayed > 0
    assert result["skip_ratio"] == pytest.approx(replayed / (6 * 256))
    assert all(Path(path).is_file() for path in result["files"])
    page = read(Path(result["files"][-1])).page
    assert page.problems == []
    assert {f.name for f in page.figures} == {"skip_shares", "skip_maps"}
    assert {q.name: q.value for q in page.quantities}["psnr_db"] == pytest.approx(result["psnr_db"])
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--skip", "1.5"], "--skip is a share"),
        (["{tmp}/text.png"], "is not a picture"),
        (["{tmp}/none.png"], "No such file"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    given = [a.format(tmp=tmp_path) for a in arguments]
    done = triptych(tmp_path, "fastcar", "generate", *given, "--out", tmp_path / "out")
    lines = [line for line in done.stderr.splitlines() if line.startswith("triptych: ")]
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert len(lines) == 1
    assert says in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"frames": 9}, r"--frames must be in 2\.\.8"),
        ({"temperature": -1.0}, "--temperature"),
        ({"guidance": 17.0}, "--guidance"),
        ({"chain_cap": 256}, "--chain-cap"),
        ({"window": -1}, "--window and --sink"),
        ({"sink": 4}, "--sink needs --window"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_options_out_of_range(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(TriptychError, match=says):
        generate.check(generate.Options(**wrong))


def test_photos_are_read_as_everywhere(tmp_path: Path) -> None:
    upright = np.zeros((192, 256, 3), np.uint8)
    upright[:, 128:] = (200, 100, 50)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "turned.png", exif=exif)
    seed, share = generate.seed_picture(tmp_path / "turned.png")
    assert (seed[:, :62] < 3).all()
    assert np.abs(seed[:, 66:].astype(int) - (200, 100, 50)).max() < 3
    assert share == 0.75
    Image.fromarray(upright[..., 0].astype(np.uint16) * 257).save(tmp_path / "wide.png")
    seed, _ = generate.seed_picture(tmp_path / "wide.png")
    assert (seed[:, :62] < 3).all()
    assert (seed[:, 66:] > 197).all()
    assert (seed[:, 66:] < 203).all()
    Image.fromarray(upright[..., 0] / np.float32(255)).save(tmp_path / "float.tiff")
    with pytest.raises(PhotoError, match="floating-point"):
        generate.seed_picture(tmp_path / "float.tiff")


def test_a_picture_too_small(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "dot.png")
    with pytest.raises(TriptychError, match="too small"):
        generate.seed_picture(tmp_path / "dot.png")
