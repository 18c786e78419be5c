"""The command as a user types it: photos of any shape through the RTL, one clear line for whatever is wrong."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.kit.command import triptych
from tests.kit.runs import chip_run
from triptych.golden.paths import shared_dir
from triptych.golden.photo import Fit, fit_inside, shipped_photo
from triptych.sim.cli import main as cli
from triptych.sim.model.liberty import read_liberty
from triptych.sim.view.runfile import load_chip, save

Refused = Callable[..., str]

METER = ("--model", "meter")
KEYS = {
    "bit_exact",
    "mismatches",
    "cycles",
    "macs",
    "mxu_utilization",
    "sim_seconds",
    "sim_cycles_per_second",
    "output",
}


def alone(*arguments: object, timeout: int = 600) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    words = [sys.executable, "-m", "triptych.sim.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command here, expects that it refuses, and gives back the one line that it says."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        assert end.value.code == 1, captured.err
        assert captured.out == ""
        lines = [s for s in captured.err.splitlines() if s.startswith("triptych: ")]
        assert len(lines) == 1, captured.err
        assert "Traceback" not in captured.err
        return lines[0]

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A landscape, a portrait and one smaller than the network's input."""
    folder = tmp_path_factory.mktemp("photos")
    coffee = Image.open(shipped_photo("coffee.png"))
    coffee.crop((100, 0, 340, 400)).save(folder / "portrait.png")
    coffee.resize((90, 60)).save(folder / "small.jpg")
    return {
        "landscape": shipped_photo("motorcycle_left.png"),
        "portrait": folder / "portrait.png",
        "small": folder / "small.jpg",
    }


@pytest.mark.parametrize(
    ("bits", "kind"),
    [
        pytest.param("w4a4", "portrait", marks=pytest.mark.slow),
        pytest.param("w4a8", "landscape", marks=pytest.mark.slow),
        pytest.param("w4a8", "portrait", marks=pytest.mark.slow),
        pytest.param("w4a8", "small", marks=pytest.mark.slow),  # a documented session runs a smaller input
        pytest.param("w4a4", "landscape", marks=pytest.mark.slow),
        pytest.param("w4a4", "small", marks=pytest.mark.slow),
    ],
)
def test_photo_through_the_chip(bits: str, kind: str, photos: dict[str, Path], tmp_path: Path) -> None:
    run = alone("depth", photos[kind], *METER, "--bits", bits, "--out", tmp_path, "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert set(result) >= KEYS
    assert result["bit_exact"] is True
    assert result["mismatches"] == 0
    photo, name = Image.open(photos[kind]), f"{photos[kind].stem}.{bits}-small"
    left, top, right, bottom = fit_inside(photo.size, (192, 256), Fit.LETTERBOX)
    assert Image.open(result["output"]).size == (3 * (right - left) + 12, bottom - top)
    assert Image.open(tmp_path / f"{name}.depth.png").size == (64, 48)
    full = np.asarray(Image.open(tmp_path / f"{name}.depth.full.png"))
    assert full.shape == photo.size[::-1]
    assert full.min() > 0
    record = load_chip(tmp_path / f"{photos[kind].stem}.{bits}-small.run.json")
    for engine, classes in record.counters.items():
        assert sum(classes.values()) == record.cycles, engine
    assert sum(layer.cycles for layer in record.layers) == record.cycles
    assert result["mxu_utilization"] >= (0.6 if bits == "w4a8" else 0.3)


@pytest.mark.slow
def test_published_kitti_weights(tmp_path: Path) -> None:
    shared = shared_dir()
    if shared is None:
        pytest.skip("the published METER weights lie in shared/, which is not here")
    frame = shared / "data" / "kitti" / "udacity" / "rgb" / "000000.png"
    weights = shared / "weights" / "meter" / "build_model_best_kitti_xxs"
    arguments = (*METER, "--weights", weights, "--size", "192x640", "--calibrate", frame)
    run = alone("depth", frame, *arguments, "--out", tmp_path, "--json", timeout=1200)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["bit_exact"] is True


@pytest.mark.slow
def test_reports_of_two_runs_of_one_name_are_both_kept(tmp_path: Path) -> None:
    save(chip_run("../../x"), tmp_path / "t.run.json")
    for content in ("first", "second"):
        (tmp_path / content).mkdir()
        save(chip_run(content), tmp_path / content / "t.run.json")
    for _ in range(2):  # a second time: the same folder
        done = triptych(tmp_path, "report", tmp_path / "t.run.json")
        assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"t.run.json", "t.report", "history.jsonl", "first", "second"}
    both = triptych(tmp_path, "report", tmp_path / "t.run.json", tmp_path / "first" / "t.run.json")
    assert both.stdout.splitlines()[-1] == str(tmp_path / "t-2.report" / "index.html")


def test_missing_and_damaged_photos(refused: Refused, tmp_path: Path) -> None:
    assert "no photo" in refused("depth", tmp_path / "none.jpg", "--out", tmp_path)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    assert "cannot read photo" in refused("depth", tmp_path / "bad.png", "--out", tmp_path)
    data = shipped_photo("coffee.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    assert "cannot read photo" in refused("depth", tmp_path / "cut.png", "--out", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.png", "cut.png"]


def test_bad_options(refused: Refused, tmp_path: Path) -> None:
    photo = shipped_photo("coffee.png")
    assert "multiples of 64" in refused("depth", photo, *METER, "--size", "100x100", "--out", tmp_path)
    assert "HEIGHTxWIDTH" in refused("depth", photo, "--size", "big", "--out", tmp_path)
    assert "latency" in refused("depth", photo, "--latency", "0", "--out", tmp_path)
    assert "BEGIN:END" in refused("depth", photo, "--memory-error", "7", "--out", tmp_path)
    assert "no weight file" in refused("depth", photo, *METER, "--weights", tmp_path / "w", "--out", tmp_path)
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    refused("depth", photo, *METER, "--weights", tmp_path / "w.npz", "--out", tmp_path)
    assert "cannot read" in refused("report", tmp_path / "none.run.json", "--out", tmp_path)
    (tmp_path / "x.json").write_text("{}")
    assert "is no run" in refused("report", tmp_path / "x.json", "--out", tmp_path / "r")
    save(chip_run(), tmp_path / "t.run.json")
    assert "no report: name another --out" in refused("report", tmp_path / "t.run.json", "--out", tmp_path)
    assert "needs --against" in refused("report", tmp_path / "t.run.json", "--fail-on-regression", "1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--bandwidth", "inf"), "memory bandwidth must be in"),
        (("--bandwidth", "nan"), "memory bandwidth must be in"),
        (("--bandwidth", "1e30"), "memory bandwidth must be in"),
        (("--latency", "99999999999"), "memory latency must be in"),
        (("--memory-error", "0x2000:0x1000"), "with BEGIN below END"),
        (("--memory-hang=-5:7",), "with BEGIN below END"),
        (("--size", "64000x64000"), "sides of at most 4096 pixels"),
        (("--size", "0x64"), "multiples of 64"),
    ],
)
def test_values_out_of_range(words: tuple[str, ...], says: str, refused: Refused, tmp_path: Path) -> None:
    assert says in refused("depth", shipped_photo("coffee.png"), *METER, *words, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_places_that_hold_something_else(refused: Refused, tmp_path: Path) -> None:
    """quantize is refused before its first minute, not after it."""
    photo = tmp_path / "photo.png"
    photo.write_bytes(shipped_photo("coffee.png").read_bytes())
    small = ("--size", "64x64", "--bits", "w4a8", "--method", "minmax", "--calibrate", shipped_photo("coffee.png"))
    assert "it is a folder: name a file in it" in refused("quantize", *small, "--out", tmp_path)
    assert "is no model file: name another --out" in refused("quantize", *small, "--out", photo)
    assert photo.read_bytes() == shipped_photo("coffee.png").read_bytes()
    (tmp_path / ".m.triptych.work").write_bytes(b"damaged" * 1000)
    lognp = ("--size", "64x64", "--bits", "w4a4", "--method", "lognp", "--calibrate", photo)
    assert "is damaged or no work file" in refused("quantize", *lognp, "--out", tmp_path / "m.triptych")
    assert (tmp_path / ".m.triptych.work").read_bytes() == b"damaged" * 1000


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "nonsense"])
def test_a_device_that_is_not_there(device: str, refused: Refused, tmp_path: Path) -> None:
    assert f"--device {device} cannot be used here" in refused("quantize", "--out", tmp_path / "m", "--device", device)
    assert f"--device {device} cannot be used here" in refused("accuracy", "--device", device)


def test_libraries_are_read_before_the_synthesis(refused: Refused, tmp_path: Path) -> None:
    """A cut one said "Aborted." after a minute."""
    cells = b"library (x) { cell (DFF) { ff (IQ, IQN) { } } cell (NAND2) { } }"
    files = {
        "none.lib": (None, "no liberty file"),
        "text.lib": (b"not a library", "no cell library"),
        "cut.lib": (cells[:-4], "is cut off"),
        "cut.lib.gz": (gzip.compress(cells)[:-9], "cannot read the liberty file"),
        "logic.lib": (b"library (x) { cell (NAND2) { } }", "holds no flip-flops"),
    }
    for name, (content, says) in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert says in refused("area", "--library", tmp_path / name, "--out", tmp_path)
    (tmp_path / "whole.lib").write_bytes(cells)
    assert read_liberty(tmp_path / "whole.lib") == cells


def test_unwritable_folder(refused: Refused) -> None:
    """Before any work: the demo found out at its end."""
    for command in (("depth", shipped_photo("coffee.png")), ("demo",), ("fastcar", "generate"), ("fastcar", "study")):
        assert "cannot write" in refused(*command, "--out", "/proc/nowhere")
        assert "cannot write" in refused(*command, "--out", "/dev/null/out")


def test_empty_files(refused: Refused, tmp_path: Path) -> None:
    """They said "Aborted." alone."""
    for name in ("w.npz", "w.pth", "m.triptych"):
        (tmp_path / name).write_bytes(b"")
    photo = shipped_photo("coffee.png")
    assert "w.npz" in refused("depth", photo, *METER, "--weights", tmp_path / "w.npz", "--out", tmp_path)
    assert "w.pth" in refused("depth", photo, *METER, "--weights", tmp_path / "w.pth", "--out", tmp_path)
    assert "m.triptych" in refused("depth", photo, "--model", tmp_path / "m.triptych", "--out", tmp_path)


def test_version() -> None:
    done = alone("--version")
    assert done.returncode == 0
    assert done.stdout == f"triptych {metadata.version('triptych')}\n"


def test_vectors_that_differ_are_named(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert "differ" in refused("vectors", "--check", "--out", tmp_path)
