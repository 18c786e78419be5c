"""What is sent to a computer out of reach is what trainings read there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.kit.sequences import write_sequences
from triptych.golden.quartdepth.data.panorama import read_panoramas
from triptych.golden.quartdepth.data.render.materials import PHOTOS, pictures
from triptych.golden.quartdepth.data.sequences import TRAINED_PLACES, read_sequence
from triptych.golden.quartdepth.train import parcel
from triptych.golden.quartdepth.train.pools import Sources, real_pools
from triptych.golden.quartdepth.zoo.vit_backbone import read_backbone

STATE = {"a.weight": torch.tensor([[1.0, -0.5, 3e-5, 0.0]]), "b": torch.tensor([1.0 + 2**-7, -(2.0**100)])}


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["parcel", *map(str, arguments)])
    monkeypatch.setattr(parcel, "wheel_backbone", lambda file: STATE)
    parcel.main()


def test_a_parcel_is_what_trainings_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequences(tmp_path / "data")
    out, panoramas = tmp_path / "parcel", tmp_path / "panoramas"
    panoramas.mkdir()
    Image.new("RGB", (8, 4), (9, 8, 7)).save(panoramas / "a.png")
    rest = ("--every", 2, "--panoramas", panoramas)
    _run(monkeypatch, "--backbone", "wheel", "--data", tmp_path / "data", "--out", out, *rest)
    told = capsys.readouterr().out
    assert f"{2 * (1 + 1) + 4 * 3 + 2} frames, {len(PHOTOS)} photos" in told
    whole = real_pools(Sources(tmp_path / "data", every=2))
    part = real_pools(Sources(out / "data"))
    for a, b in zip(whole, part, strict=True):
        assert torch.equal(a.rgb, b.rgb)
        assert torch.equal(a.depth, b.depth)
        assert b.depth.flatten(1).std(1).min() > 0
    for place in TRAINED_PLACES:
        assert np.array_equal(*(read_sequence(f / place, "test").depth for f in (tmp_path / "data", out / "data")))
        assert json.loads((out / "data" / place / "meta.json").read_text())["licence"] == "CC0"
    back = read_backbone(out / "backbone.npz")
    assert back.keys() == STATE.keys()
    for name, value in STATE.items():
        assert torch.equal(back[name], value.bfloat16().float())
    (panorama,) = read_panoramas(out / "panoramas")
    assert panorama[:, 2, 3].tolist() == [9, 8, 7]
    there, here = (pictures(3, None, folder) for folder in (out / "photos", None))
    assert torch.equal(there.levels[0][: 4 * len(PHOTOS)], here.levels[0][: 4 * len(PHOTOS)])


@pytest.mark.parametrize(("lost", "says"), [("rgb/1.jpg", "lacks rgb/1.jpg"), ("meta.json", "holds no sequence")])
def test_a_sequence_that_is_not_whole_is_one_line(
    lost: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequences(tmp_path / "data")
    (tmp_path / "data" / TRAINED_PLACES[0] / lost).unlink()
    with pytest.raises(SystemExit) as ended:
        _run(monkeypatch, "--backbone", "w", "--data", tmp_path / "data", "--out", tmp_path / "parcel", "--every", 1)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
