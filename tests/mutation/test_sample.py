"""What the mutation commands share: the draw repeats, results are kept, and what is known is not run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation import sample as module
from tests.mutation.operators import Mutant
from tests.mutation.sample import Sample, draw, parser

FOUND = [Mutant(4 * k, 4 * k + 1, "operator", "-", k + 1) for k in range(10)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "OUT", tmp_path / "out")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    file = tmp_path / "unit.sv"
    file.write_text("a+b\n" * 10)
    return file


def drawn(path: Path, stages: int = 1) -> Sample:
    return Sample("unit", path, dict(enumerate(draw(FOUND, 3, 1), 1)), len(FOUND), stages)


def test_the_same_seed_draws_the_same_in_the_files_order() -> None:
    one, two, other = (draw(FOUND, 4, seed) for seed in (1, 1, 2))
    assert one == two != other
    assert len(one) == 4
    assert one == sorted(one)
    assert draw(FOUND, 60, 1) == FOUND


def test_what_is_kept_is_known_while_the_text_stands(path: Path) -> None:
    first = drawn(path)
    a, b, c = first.chosen.values()
    first.keep(a, "killed", "test_a")
    first.keep(b, "survived", "")
    later = drawn(path)
    row = later.known(a)
    assert row is not None
    assert (row["outcome"], row["by"], row["of"]) == ("killed", "test_a", 10)
    assert later.known(b) is not None
    assert later.known(c) is None
    assert later.first == ["test_a"]
    assert drawn(path, 2).known(b) is None  # a second stage may notice it
    path.write_text("a-b\n" * 10)
    assert drawn(path).known(a) is None


def test_a_survivor_that_turned_out_harmless_is_told_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = drawn(path)
    a, b, c = sample.chosen.values()
    sample.keep(a, "survived", "")
    said = a.describe(sample.text).partition(": ")[2]
    monkeypatch.setattr(module, "HARMLESS", {("unit", said): "nobody looks"})
    assert sample.known(a) is None
    assert sample.harmless(a) == "nobody looks"
    rows = (
        sample.keep(a, "equivalent", "nobody looks"),
        sample.keep(b, "killed", "test_b"),
        sample.keep(c, "survived", ""),
    )
    sample.told(rows)
    assert capsys.readouterr().out == "unit: 1 of 2 noticed, 1 equivalent\n"


def test_harmless_on_one_line_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("a-b\na-b + 1\n")
    sample = drawn(path)
    (mutant, *_) = sample.chosen.values()
    said = mutant.describe(sample.text).partition(": ")[2]
    line = sample.text.splitlines()[mutant.line - 1]
    other = next(text for text in sample.text.splitlines() if text != line)
    monkeypatch.setattr(module, "HARMLESS", {("unit", said, other): "nobody looks"})
    assert sample.harmless(mutant) == ""
    monkeypatch.setattr(module, "HARMLESS", {("unit", said, line): "nobody looks"})
    assert sample.harmless(mutant) == "nobody looks"


def test_an_unknown_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    asking = parser("mutate", None, "module", ["fifo", "decode"], 60)
    assert asking.parse_args([]).names == []
    assert asking.parse_args(["fifo"]).count == 60
    with pytest.raises(SystemExit, match="2"):
        asking.parse_args(["fifi"])
    assert "no module fifi: one of fifo, decode" in capsys.readouterr().err
