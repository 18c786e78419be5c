"""The command as a user types it: photos of any shape through the RTL, one clear line for whatever is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.golden.paths import shared_dir
from triptych.sim.cli import main as cli
from triptych.sim.cli.depth import shipped_photo
from triptych.sim.view.runfile import RunFile

Refused = Callable[..., str]

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


def triptych(*arguments: object, timeout: int = 600) -> subprocess.CompletedProcess[str]:
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
        ("w4a8", "landscape"),
        ("w4a4", "portrait"),
        pytest.param("w4a8", "portrait", marks=pytest.mark.slow),
        pytest.param("w4a8", "small", marks=pytest.mark.slow),
        pytest.param("w4a4", "landscape", marks=pytest.mark.slow),
        pytest.param("w4a4", "small", marks=pytest.mark.slow),
    ],
)
def test_photo_through_the_chip(bits: str, kind: str, photos: dict[str, Path], tmp_path: Path) -> None:
    run = triptych("depth", photos[kind], "--bits", bits, "--out", tmp_path, "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert set(result) >= KEYS
    assert result["bit_exact"] is True
    assert result["mismatches"] == 0
    assert Image.open(result["output"]).size == (3 * 256 + 12, 192)
    assert Image.open(tmp_path / f"{photos[kind].stem}.{bits}-small.depth.png").size == (64, 48)
    record = RunFile.load(tmp_path / f"{photos[kind].stem}.{bits}-small.run.json")
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
    arguments = ("--weights", weights, "--size", "192x640", "--calibrate", frame)
    run = triptych("depth", frame, *arguments, "--out", tmp_path, "--json", timeout=1200)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["bit_exact"] is True


def a_run(title: str) -> dict[str, object]:
    """A run of one layer."""
    layer = {"name": "a", "kind": "w4a8", "mode": "w4a8", "macs": 1280, "ideal_cycles": 10.0, "cycles": 20}
    classes = dict.fromkeys(("empty", "token", "weights", "acc", "spad", "fill"), 0) | {"active": 12, "token": 8}
    spans = {e: [[0, 20, 0]] for e in ("LOAD", "MXU", "VPU", "STORE")}
    return {
        "format": 1, "title": title, "config": "small", "bits": "w4a8", "clock_mhz": 1000, "bytes_per_cycle": 19.2,
        "macs_per_cycle": 128, "cycles": 20, "counters": {}, "spans": spans,
        "layers": [layer | {"classes": classes, "dram_bytes": 64}],
    }  # fmt: skip


def test_report_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "t.run.json").write_text(json.dumps(a_run("t")))
    done = triptych("report", tmp_path / "t.run.json", "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "r" / "t.report"
    figures = {f"{n}.{e}" for n in ("utilization", "timeline", "roofline") for e in ("svg", "png")}
    assert {p.name for p in folder.iterdir()} == figures | {"layers.csv", "run.json"}
    assert "a,w4a8,w4a8,1280,64,20,10.0,2.0," in (folder / "layers.csv").read_text()


def test_reports_of_two_runs_of_one_name_are_both_kept(tmp_path: Path) -> None:
    for title in ("../../x", "y"):
        other = tmp_path / title.strip("./")
        other.mkdir()
        (other / "t.run.json").write_text(json.dumps(a_run(title)))
    runs = sorted(tmp_path.glob("*/t.run.json"))
    for _ in range(2):  # a second time: the same folders
        done = triptych("report", *runs, "--out", tmp_path / "r")
        assert done.returncode == 0, done.stderr
        assert {p.name for p in (tmp_path / "r").iterdir()} == {"t.report", "t-2.report"}
    assert {p.name for p in tmp_path.iterdir()} == {"x", "y", "r"}
    kept = [(tmp_path / "r" / name / "run.json").read_text() for name in ("t.report", "t-2.report")]
    assert kept == [run.read_text() for run in runs]


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
    assert "multiples of 64" in refused("depth", photo, "--size", "100x100", "--out", tmp_path)
    assert "HEIGHTxWIDTH" in refused("depth", photo, "--size", "big", "--out", tmp_path)
    assert "latency" in refused("depth", photo, "--latency", "0", "--out", tmp_path)
    assert "BEGIN:END" in refused("depth", photo, "--memory-error", "7", "--out", tmp_path)
    assert "no weight file" in refused("depth", photo, "--weights", tmp_path / "w", "--out", tmp_path)
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    refused("depth", photo, "--weights", tmp_path / "w.npz", "--out", tmp_path)
    assert "cannot read" in refused("report", tmp_path / "none.run.json", "--out", tmp_path)
    (tmp_path / "x.json").write_text("{}")
    assert "not a run" in refused("report", tmp_path / "x.json", "--out", tmp_path)


def test_unwritable_folder(refused: Refused) -> None:
    assert "cannot write" in refused("depth", shipped_photo("coffee.png"), "--out", "/proc/nowhere")
    assert "cannot write" in refused("depth", shipped_photo("coffee.png"), "--out", "/dev/null/out")


def test_vectors_that_differ_are_named(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert "differ" in refused("vectors", "--check", "--out", tmp_path)
