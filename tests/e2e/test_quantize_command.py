"""`triptych quantize` makes a file that `triptych depth --model` runs; what does not fit is refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from triptych.sim.cli.depth import shipped_photo
from triptych.sim.cli.main import app
from triptych.sim.cli.quantize import repeatable

PHOTO = str(shipped_photo("coffee.png"))
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
    code, _, error = _call("depth", PHOTO, "--bits", "w8a8", "--golden-only", "--out", str(tmp_path))
    assert code != 0
    assert "needs --model" in str(error)


def test_a_damaged_file_is_refused(model: Path, tmp_path: Path) -> None:
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    bad = tmp_path / "bad.triptych"
    bad.write_bytes(content)
    code, _, error = _call("depth", PHOTO, "--model", str(bad), "--bits", "w4a4", *SMALL, "--out", str(tmp_path))
    assert code != 0
    assert "damaged" in str(error)
