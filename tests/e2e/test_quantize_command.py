"""`triptych quantize` makes a file that `triptych depth --model` runs; what does not fit is refused in one line."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from triptych.golden.photo import fit_photo, shipped_photo, to_input
from triptych.golden.quartdepth.ptq.model_file import load, save
from triptych.golden.quartdepth.zoo.meter import DEFAULT_WEIGHTS, load_weights
from triptych.sim.cli.main import app
from triptych.sim.depth.calibration import rooms
from triptych.sim.depth.quantize import repeatable
from triptych.sim.view.pictures import colour, upsample
from triptych.sim.view.runfile import load_chip

PHOTO = str(shipped_photo("coffee.png"))
METER = ["--model", "meter"]
SMALL = ["--size", "64x64"]


def _call(*args: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.stdout, result.exception


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "meter.triptych"
    code, out, error = _call(
        "quantize", "--bits", "w4a4", "--method", "lognp", "--calibrate", PHOTO, *SMALL, "--out", str(file), "--json"
    )
    assert code == 0, error
    told = json.loads(out)
    assert told["bytes"] == file.stat().st_size
    assert told["smaller"] >= 7.5
    assert told["pictures_with_tables"] > 0
    assert [p.name for p in file.parent.iterdir()] == [file.name]  # the working file is gone
    return file


def test_the_file_runs_and_machine_and_integer_network_agree(model: Path, tmp_path: Path) -> None:
    code, out, error = _call(
        "depth",
        PHOTO,
        "--model",
        str(model),
        "--golden-only",
        "--out",
        str(tmp_path),
        "--json",
    )
    assert code == 0, error
    assert json.loads(out)["bit_exact"] is True
    assert (tmp_path / "coffee.w4a4-small.depth.png").exists()


def test_what_is_summed_is_summed_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        repeatable("cpu")
        assert torch.get_num_threads() == 1
        assert not torch.are_deterministic_algorithms_enabled()
        repeatable("cuda")
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.set_num_threads(kept[0])
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept[1:]
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--bits", "w4a8", *SMALL], "say --bits w4a4"),
        (["--size", "64x128"], "takes 64x64"),
        (["--bits", "w8a8", *SMALL], "say --bits w4a4"),
    ],
)
def test_a_file_of_other_width_or_size_is_refused(args: list[str], says: str, model: Path, tmp_path: Path) -> None:
    code, _, error = _call("depth", PHOTO, "--model", str(model), *args, "--golden-only", "--out", str(tmp_path))
    assert code != 0
    assert says in str(error)
    assert "\n" not in str(error)


def test_int8_weights_run_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "wide.triptych"
    made = _call(
        "quantize", "--bits", "w8a8", "--method", "minmax", "--calibrate", PHOTO, *SMALL, "--out", str(file)
    )  # fmt: skip
    assert made[0] == 0, made[2]
    code, out, error = _call("depth", PHOTO, "--model", str(file), "--golden-only", "--out", str(tmp_path), "--json")
    assert code == 0, error
    assert json.loads(out)["bit_exact"] is True
    code, _, error = _call(
        "depth", PHOTO, "--model", "meter", "--bits", "w8a8", "--golden-only", "--out", str(tmp_path)
    )
    assert code != 0
    assert "needs a --model file" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(("widths", "rate"), [("w8a8", 64), ("mixed", 256)])
def test_a_run_is_titled_by_the_widths_of_its_file(widths: str, rate: int, tmp_path: Path) -> None:
    file = tmp_path / "m.triptych"
    made = _call(
        "quantize", "--bits", widths, "--method", "minmax", "--calibrate", PHOTO, *SMALL, "--out", str(file)
    )  # fmt: skip
    assert made[0] == 0, made[2]
    code, out, error = _call("depth", PHOTO, "--model", str(file), "--out", str(tmp_path), "--json")
    assert code == 0, error
    told = json.loads(out)
    run = load_chip(Path(told["run"]))
    assert run.network.widths == widths
    products = [layer for layer in run.layers if layer.mode in ("w4a4", "w4a8", "w8a8")]
    assert max(layer.peak for layer in products) == rate
    assert {t.name for t in run.tensors if t.error is not None} >= {layer.name for layer in products}
    code, out, error = _call("report", told["run"], "--out", str(tmp_path / "report"))
    assert code == 0, error
    drawn = sorted((tmp_path / "report" / "figures").glob("*.svg"))
    titles = "".join(p.read_text() for p in drawn)
    assert f"meter, {widths}, small" in titles
    assert f"{rate} MAC/cycle" in titles


def test_the_float_panel_is_that_of_the_files_own_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(DEFAULT_WEIGHTS) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    own, other = tmp_path / "own.npz", tmp_path / "other.npz"
    last = next(name for name in reversed(state) if name.endswith("bias"))
    np.savez(own, **(state | {last: state[last] + np.float32(0.5)}))
    np.savez(other, **(state | {last: state[last] - np.float32(0.5)}))
    file = tmp_path / "m.triptych"
    made = _call(
        "quantize", "--bits", "w4a8", "--method", "minmax", "--weights", str(own), "--calibrate", PHOTO, *SMALL,
        "--out", str(file),
    )  # fmt: skip
    assert made[0] == 0, made[2]

    def panels(*weights: str) -> NDArray[np.uint8]:
        where = tmp_path / f"out{len(weights)}"
        words = ["depth", PHOTO, "--model", str(file), *weights, "--golden-only", "--out", str(where), "--json"]
        code, out, error = _call(*words)
        assert code == 0, error
        return np.asarray(Image.open(json.loads(out)["output"]))

    drawn = panels("--weights", str(own))
    assert drawn.shape[1] == 3 * 64 + 12
    exact = fit_photo(PHOTO, (64, 64))
    _, top, _, bottom = exact.inside
    with torch.no_grad():
        depth = load_weights(own)(to_input(exact.rgb[None]))[0, 0].numpy().astype(np.float64)
    wanted = upsample(depth, (64, 64))[top:bottom]
    assert (drawn[:, 70:134] == colour(wanted, *np.percentile(wanted, (2, 98)))).all()
    assert panels().shape[1] == 2 * 64 + 6  # the shipped weights are not the file's: no panel says that they were
    code, _, error = _call("depth", PHOTO, "--model", str(file), "--weights", str(other), "--out", str(tmp_path))
    assert code != 0
    assert "was not made of" in str(error)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({}, "does not say what it was made of"),
        ({"model": "meter", "recipe": {"widths": "w2a2"}}, "does not say what it was made of"),
        ({"model": "mars", "recipe": {"widths": "w4a4"}}, "holds a network 'mars'; known here are meter,"),
    ],
)
def test_a_file_of_unknown_making_is_refused(about: dict[str, object], says: str, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.triptych"
    save(dataclasses.replace(load(model), about=about), file)
    code, _, error = _call("depth", PHOTO, "--model", str(file), "--golden-only", "--out", str(tmp_path / "out"))
    assert code != 0
    assert says in str(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_sequences_rendered_rooms_calibrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("TRIPTYCH_SHARED", str(tmp_path / "nothing"))
    words = ["quantize", "--bits", "w4a8", "--method", "minmax", *SMALL, "--json"]
    code, out, error = _call(*words, "--out", str(tmp_path / "m.triptych"))
    assert code == 0, error
    assert json.loads(out)["calibration"] == "rendered rooms"
    named = []
    for number, room in enumerate(rooms((64, 64))):
        Image.fromarray(room).save(tmp_path / f"{number}.png")
        named += ["--calibrate", str(tmp_path / f"{number}.png")]
    code, _, error = _call(*words, *named, "--out", str(tmp_path / "n.triptych"))
    assert code == 0, error
    files = [load(tmp_path / name) for name in ("m.triptych", "n.triptych")]
    assert files[0].about["key"] == files[1].about["key"]


def test_a_damaged_file_is_refused(model: Path, tmp_path: Path) -> None:
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    bad = tmp_path / "bad.triptych"
    bad.write_bytes(content)
    code, _, error = _call("depth", PHOTO, "--model", str(bad), "--bits", "w4a4", *SMALL, "--out", str(tmp_path))
    assert code != 0
    assert "damaged" in str(error)
