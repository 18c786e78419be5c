"""The command that teaches a network in four bits, from frames on disk to a model file: a small ViT, a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.kit.sequences import write_sequences
from tests.kit.vit import COLS, ROWS, tiny_vit
from triptych.golden.quartdepth.data.render.solids import Quality
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.ptq.model_file import load
from triptych.golden.quartdepth.train import frames, teach, validation
from triptych.golden.quartdepth.train.pools import Pool, keep, kept

SIZE = (14 * ROWS, 14 * COLS)


def _pool(count: int, size: tuple[int, int], name: str, seed: int) -> Pool:
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 5, 7), generator=g) * 255
    rgb = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").to(torch.uint8)
    return Pool(rgb, (torch.rand((count, *size), generator=g) * 3 + 0.5).half(), 1.0, name=name)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that name small data."""
    torch.set_num_threads(1)
    write_sequences(tmp_path / "data")
    made = [_pool(4, SIZE, "room", 1), _pool(4, SIZE, "street", 2), _pool(4, (28, 112), "street", 3)]
    keep(tmp_path / "kept.pt", made, [_pool(2, SIZE, "room", 4), _pool(2, SIZE, "street", 5)])
    monkeypatch.setattr(teach, "float_module", lambda *_: (tiny_vit().eval().requires_grad_(False), SIZE))
    monkeypatch.setattr(teach, "CALIBRATION", (2, 1, 1, 1, 1))
    monkeypatch.setattr(teach, "WIDE", 8)
    monkeypatch.setitem(teach.BATCH, "vit", (1, 1, 1, 0, 1))
    return [
        "vit", "--backbone", "none", "--device", "cpu", "--data", str(tmp_path / "data"), "--kept",
        str(tmp_path / "kept.pt"), "--method", "lognp",
    ]  # fmt: skip


def _run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", ["teach", *arguments])
    teach.main()


@pytest.mark.slow
def test_from_frames_to_a_file_and_on_from_the_mean_of_two_runs(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = str(tmp_path / "begun.pt")
    _run(monkeypatch, [*files, "--steps", "0", "--keep", begun, "--out", str(tmp_path / "begun.triptych")])
    ends = [str(tmp_path / f"{seed}.pt") for seed in (1, 2)]
    for seed, end in zip(("1", "2"), ends, strict=True):
        out = str(tmp_path / f"{seed}.triptych")
        rest = ["--steps", "2", "--parts", "2", "--code-rate", "0.05", "--keep", end, "--out", out]
        _run(monkeypatch, [*files, "--seed", seed, "--start", begun, *rest])
    told = capsys.readouterr().out
    assert told.count("validation, real: d1 lost") == told.count("validation, street:") == 3
    runs = [teach.read_end(Path(end)) for end in ends]
    between = teach.mean(runs)
    moved = 0
    for name, latent in (between.latent or {}).items():
        a, b = ((run.latent or {})[name] for run in runs)
        torch.testing.assert_close(latent, (a + b) / 2)
        moved += int((a != b).any())
    assert moved > 10
    scales = [q.scale for name, q in between.codes.items() if q.scale != runs[0].codes[name].scale]
    assert scales
    _run(monkeypatch, [*files, "--start", *ends, "--steps", "0", "--out", str(tmp_path / "mean.triptych")])
    model = load(tmp_path / "mean.triptych")
    lessons = model.about["recipe"]["runs"]
    assert [(run["seed"], run["steps"], run["code_rate"], run["strange"]) for run in lessons] == [
        (1, 2, 0.05, False), (2, 2, 0.05, False),
    ]  # fmt: skip
    assert model.about["tensor_errors"]
    assert model.network.maps[model.network.output].shape.height > 0


@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_it(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where maps on the way do not count (each part has its own variance), two parts move weights as one does."""
    begun, ends = str(tmp_path / "b.pt"), []
    out = ["--out", str(tmp_path / "x.triptych")]
    _run(monkeypatch, [*files, "--steps", "0", "--keep", begun, *out])
    for parts in ("1", "2"):
        end = str(tmp_path / f"p{parts}.pt")
        _run(
            monkeypatch,
            [*files, "--start", begun, "--steps", "1", "--maps", "0", "--parts", parts, "--keep", end, *out],
        )
        ends.append(teach.read_end(Path(end)))
    start = teach.read_end(Path(begun))
    for name, a in (ends[0].latent or {}).items():
        b, before = (ends[1].latent or {})[name], (start.latent or {})[name]
        same = torch.isclose(a - before, b - before, atol=1e-6)
        assert same.float().mean() > 0.97, name  # Adam's first step is a sign


def test_what_is_lost_on_frames_of_validation() -> None:
    """A third of each picture too far by half: two thirds are within d1's bound after scaling by the median."""
    rgb, depth = torch.zeros((3, 3, 28, 42), dtype=torch.uint8), torch.full((3, 28, 42), 2.0)
    pool = Pool(rgb, depth.half(), name="real")
    right = torch.full((28, 42), 2.0)
    wrong = right.clone()
    wrong[:, :14] = 3.0

    def sees(depth: torch.Tensor) -> validation.Predict:
        return lambda photos: depth.expand(len(photos), 1, 28, 42)

    cpu = torch.device("cpu")
    (d1, far) = validation.lost(sees(right), sees(wrong), [pool], (28, 42), cpu)["real"]
    assert d1 == pytest.approx(1 / 3)
    assert far > 0.1
    assert validation.lost(sees(wrong), sees(right), [pool], (28, 42), cpu)["real"][0] == -d1
    assert validation.lost(sees(wrong), sees(wrong), [pool], (28, 42), cpu)["real"] == (0.0, 0.0)


def test_parts_are_those_that_fit() -> None:
    assert teach.parts_for("vit", torch.device("cpu")) == teach.parts_for("meter", torch.device("cpu")) == 1


def test_no_end_is_said_in_one_line(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.pt").write_bytes(b"nothing")
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, [*files, "--start", str(tmp_path / "no.pt"), "--out", str(tmp_path / "x.triptych")])
    assert stop.value.code == 1
    assert not (tmp_path / "x.triptych").exists()


@pytest.mark.parametrize("pools", [2, 3, 4, 5])
def test_frames_of_things_near_the_camera_are_part_of_a_batch(
    pools: int, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there are such; no other number of pools is taken. The lessons are not reached."""
    sizes = [SIZE, SIZE, (28, 112), SIZE, SIZE][:pools]
    keep(tmp_path / "kept.pt", [_pool(4, s, "made", n) for n, s in enumerate(sizes)], [_pool(2, SIZE, "room", 9)])
    monkeypatch.setitem(teach.WITH_NEAR, "vit", (1, 1, 1, 0, 1, 2))
    given: list[tuple[tuple[int, ...], list[tuple[int, ...]]]] = []

    def taught(_: object, size: object, found: list[torch.Tensor], each: tuple[int, ...], *rest: object) -> None:
        given.append((each, [tuple(p.shape[2:]) for p in found]))
        raise ValueError("enough")

    monkeypatch.setattr(teach, "taught", taught)
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, [*files, "--out", str(tmp_path / "x.triptych")])
    assert stop.value.code == 1
    told = capsys.readouterr().err
    if pools in (2, 5):
        assert told == f"{pools + 2} pools of frames: render them by train.frames, with --near or without\n"
        assert not given
        return
    ((each, found),) = given
    assert each == ((1, 1, 1, 0, 1, 2) if pools == 4 else (1, 1, 1, 0, 1))
    assert found[2:] == [SIZE] * pools  # the wide streets, too; real ones as they are


def _panorama(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(5).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.mark.slow
def test_lessons_with_views_of_panoramas(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in each batch beside the others, and the file says so."""
    sizes = [SIZE, SIZE, (28, 112), SIZE]
    keep(tmp_path / "kept.pt", [_pool(4, s, "made", n) for n, s in enumerate(sizes)], [_pool(2, SIZE, "room", 9)])
    monkeypatch.setitem(teach.WITH_VIEWS, "vit", (1, 0, 1, 0, 0, 0, 2))
    monkeypatch.setattr(teach, "VIEWS", 5)
    _panorama(tmp_path / "panoramas" / "a.png")
    batches: list[int] = []
    real = teach.Stream.photos

    def photos(stream: teach.Stream) -> torch.Tensor:
        assert [len(rgb) for rgb, count in stream.pools][-1] == 5
        batches.append(sum(count for _, count in stream.pools))
        return real(stream)

    monkeypatch.setattr(teach.Stream, "photos", photos)
    out = tmp_path / "x.triptych"
    _run(monkeypatch, [*files, "--steps", "1", "--panoramas", str(tmp_path / "panoramas"), "--out", str(out)])
    assert set(batches) == {4}
    (lessons,) = load(out).about["recipe"]["runs"]
    assert lessons["views"] is True


def test_views_need_panoramas_and_things_near_the_camera(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "panoramas", tmp_path / "x.triptych"
    folder.mkdir()
    rest = ["--panoramas", str(folder), "--out", str(out)]
    with pytest.raises(SystemExit):
        _run(monkeypatch, [*files, *rest])
    assert "render them by --near" in capsys.readouterr().err
    sizes = [SIZE, SIZE, (28, 112), SIZE]
    keep(tmp_path / "kept.pt", [_pool(4, s, "made", n) for n, s in enumerate(sizes)], [_pool(2, SIZE, "room", 9)])
    with pytest.raises(SystemExit):
        _run(monkeypatch, [*files, *rest])
    assert capsys.readouterr().err == f"{folder} holds no panoramas\n"
    assert not out.exists()


@pytest.mark.slow
def test_where_a_run_ended_is_kept_though_it_becomes_no_integers(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise QuantizeError("no integers")

    monkeypatch.setattr(teach.Learner, "network", refused)
    end, out = tmp_path / "end.pt", tmp_path / "x.triptych"
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, [*files, "--steps", "1", "--keep", str(end), "--out", str(out)])
    assert stop.value.code == 1
    assert teach.read_end(end).latent
    assert not out.exists()


@pytest.mark.slow
def test_rendered_frames_are_kept_for_several_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sequences(tmp_path / "data")
    out = tmp_path / "kept.pt"
    monkeypatch.setattr(frames, "INPUT_SIZE", (28, 42))
    monkeypatch.setattr(frames, "made_pools", lambda *_: [_pool(3, SIZE, "room", 1)])
    words = ["--out", str(out), "--device", "cpu", "--data", str(tmp_path / "data"), "--rendered", "0.01"]
    monkeypatch.setattr("sys.argv", ["frames", *words])
    frames.main()
    device = torch.device("cpu")
    assert [p.name for p in kept(out, "pools", device)] == ["room"]
    held = kept(out, "held_out", device)
    assert [(p.name, tuple(p.rgb.shape)) for p in held] == [("room", (2, 3, 28, 42)), ("street", (2, 3, 28, 42))]
    found = validation.pools(validation.Sources(tmp_path / "data", kept=out))
    assert [len(p.rgb) for p in found] == [4, 2, 2]  # the desk has no test frames
    fresh = validation.pools(validation.Sources(tmp_path / "data", quality=Quality(1, 1)), 0.01)
    assert [(p.name, len(p.rgb)) for p in fresh] == [("real", 4), ("room", 2), ("street", 2)]
    out.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no rendered frames"):
        kept(out, "pools", device)
