"""`triptych depth` loses nothing of the user's, keeps what other runs made, and says bit-exact of what is."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from triptych.golden.photo import shipped_photo
from triptych.golden.quartdepth.chip.isa import Engine, Trap
from triptych.golden.quartdepth.network.network import Network
from triptych.sim.cli import main as cli
from triptych.sim.depth.run import compare, judge
from triptych.sim.view.outputs import claimed, identity_of

Depth = Callable[..., dict[str, object]]
PHOTO = shipped_photo("coffee.png")


@pytest.fixture
def depth(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Depth:
    """Runs `triptych depth --golden-only --json` on a small input; gives back the object."""

    def run(*arguments: object) -> dict[str, object]:
        words = ["depth", *arguments, "--model", "meter", "--size", "64x64", "--golden-only", "--json"]
        monkeypatch.setattr(sys, "argv", ["triptych", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        assert end.value.code in (0, None), captured.err
        found: dict[str, object] = json.loads(captured.out)
        return found

    return run


def test_a_file_that_is_there_is_kept(depth: Depth, tmp_path: Path) -> None:
    """Photos, whatever their names, and results of other options; the same run again replaces its own."""
    photo, mine = tmp_path / "room.png", tmp_path / "room.w4a8-small.triptych.png"
    for path in (photo, mine):
        shutil.copyfile(PHOTO, path)
    first = depth(photo, "--out", tmp_path)
    assert first["output"] == str(tmp_path / "room.w4a8-small-2.triptych.png")
    assert first["bit_exact"] is True
    assert first["compared"] == ["golden machine", "integer network"]
    made = {p.name for p in tmp_path.iterdir()}
    assert depth(photo, "--out", tmp_path)["output"] == first["output"]
    assert {p.name for p in tmp_path.iterdir()} == made
    other = depth(photo, "--out", tmp_path, "--bits", "w4a4")
    assert other["output"] == str(tmp_path / "room.w4a4-small.triptych.png")
    for path in (photo, mine):
        assert path.read_bytes() == PHOTO.read_bytes()


def test_photos_of_one_name_have_results_of_their_own(depth: Depth, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    shutil.copyfile(PHOTO, tmp_path / "a" / "x.png")
    Image.open(PHOTO).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "x.png")
    found = depth(tmp_path / "a" / "x.png", tmp_path / "x.png", "--out", tmp_path / "[out]")
    outputs = [Path(str(o)) for o in found["output"]]  # type: ignore[attr-defined]
    assert [p.name for p in outputs] == ["x.w4a8-small.triptych.png", "x.w4a8-small-2.triptych.png"]
    assert all(p.parent == tmp_path / "[out]" and p.is_file() for p in outputs)
    assert len({p.read_bytes() for p in outputs}) == 2


def test_a_photo_with_a_long_name(depth: Depth, tmp_path: Path) -> None:
    name = tmp_path / f"{'ü' * 120}.png"
    shutil.copyfile(PHOTO, name)
    output = Path(str(depth(name, "--out", tmp_path / "out")["output"]))
    assert output.is_file()
    assert output.name.endswith(".triptych.png")


@pytest.mark.slow
def test_a_damaged_cached_network_is_made_anew(depth: Depth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty flipped weight bytes gave a depth wrong by .63 m, called bit-exact."""
    good = depth(PHOTO, "--out", tmp_path / "good")
    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path / "build"))
    depth(PHOTO, "--out", tmp_path / "first")
    (kept,) = (tmp_path / "build" / "networks").glob("*.store")
    content = bytearray(kept.read_bytes())
    for i in range(40):
        content[len(content) // 2 + i] ^= 0x11
    kept.write_bytes(bytes(content))
    again = depth(PHOTO, "--out", tmp_path / "again")
    for folder in ("first", "again"):
        name = Path(str(good["output"])).name.replace("triptych", "depth")
        assert (tmp_path / folder / name).read_bytes() == (tmp_path / "good" / name).read_bytes()
    assert again["bit_exact"] is True
    kept.write_bytes(b"")  # it said "Aborted."
    assert depth(PHOTO, "--out", tmp_path / "empty")["bit_exact"] is True


def test_a_machine_that_computes_something_else_is_not_bit_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """RTL and machine run one program: what the compiler gets wrong only the integer network shows."""
    right = Network.run_integer

    def wrong(self: Network, codes: np.ndarray) -> np.ndarray:
        out = right(self, codes).copy()
        out[3, 5, 0] += 1
        return out

    monkeypatch.setattr(Network, "run_integer", wrong)
    words = ["depth", PHOTO, "--model", "meter", "--size", "64x64", "--golden-only", "--json", "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    assert end.value.code == 1
    assert json.loads(captured.out)["bit_exact"] is False
    assert "coffee.png: golden machine and integer network: 1 outputs, the first at row 3, column 5" in captured.err


def _run(signature: int = 7, memory: tuple[int, ...] = (1, 2, 3), trap: Trap = Trap.NONE) -> SimpleNamespace:
    rows = np.array([[0, int(Engine.MXU), 0, signature]])
    return SimpleNamespace(retirements=rows, memory=np.array(memory, np.uint8), trap=trap)


@pytest.mark.parametrize(
    ("rtl", "integers", "told"),
    [
        (_run(), (2, 3), None),
        (_run(signature=8), (2, 3), "RTL and golden machine: instruction 0 on MXU"),
        (_run(memory=(1, 2, 9)), (2, 3), "RTL and golden machine: memory differs from byte 0x2"),
        (_run(trap=Trap.RANGE), (2, 3), "RTL and golden machine: the chip ended with RANGE"),
        (_run(), (2, 4), "golden machine and integer network: 1 outputs, the first at row 0, column 1, channel 0: 3, "),
        (None, (2, 3), None),
        (None, (9, 3), "golden machine and integer network"),
    ],
)
def test_the_judges(rtl: SimpleNamespace | None, integers: tuple[int, int], told: str | None) -> None:
    compiled = SimpleNamespace(read_output=lambda m: m[1:].astype(np.int64).reshape(1, 2, 1))
    golden = SimpleNamespace(retired=[SimpleNamespace(engine=Engine.MXU, pc=0, signature=7)], trap=Trap.NONE)
    memory = np.array((1, 2, 3), np.uint8)
    found = judge(compiled, golden, memory, np.array(integers).reshape(1, 2, 1), rtl)  # type: ignore[arg-type]
    assert (found[0] == 0) == (told is None)
    assert (found[1] or "").startswith(told or "")
    if rtl is not None and told and told.startswith("RTL"):
        assert compare(rtl, golden, memory)[0] == found[0]  # type: ignore[arg-type]


def test_names_are_chosen_by_one_process_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path, "x", "run 1") as path:
        path(".run.json").write_text("{}")  # another's, whose picture is missing
    with claimed(tmp_path, "x", "run 1") as path:
        assert path(".triptych.png").name == "x-2.triptych.png"
    assert identity_of(tmp_path / "none.png") is None
    assert identity_of(tmp_path / "x.run.json") is None


def test_results_on_stdout_and_progress_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("a long folder name " * 8) / "[bold]"
    words = ["depth", PHOTO, "--model", "meter", "--size", "64x64", "--golden-only", "--out", out]
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, words)])
    monkeypatch.setattr("triptych.sim.cli.progress.SECONDS", 0.5)
    with pytest.raises(SystemExit):
        cli.main()
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert line == (
        f"coffee.png: bit-exact (golden machine = integer network), 17 MMAC -> {out}/coffee.w4a8-small.triptych.png"
    )
    for line in captured.err.splitlines():
        assert line.strip()
        assert "chip" not in line
