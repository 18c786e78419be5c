"""A run file with holes is refused in one line that names the field, before anything is written."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.e2e.test_command import a_run
from triptych.sim.cli.main import app
from triptych.sim.errors import TriptychError
from triptych.sim.view.report import write_report
from triptych.sim.view.runfile import RunFile

REMOVED = "removed"
BAD = (REMOVED, "null", "true", '"text"', "NaN", "Infinity", "-1", "-0.5", "1" + 400 * "0", "[]", "{}", '[""]')
TEXTS = {"title", "config", "bits", "layers[0].name", "layers[0].kind", "layers[0].mode"}
LANES = {f"spans.{engine}" for engine in ("LOAD", "MXU", "VPU", "STORE")}


def _places(value: Any, place: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every value inside an object: its place in words and as keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        words = f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}".lstrip(".")
        yield words, [key]
        for below, keys in _places(inner, words):
            yield below, [key, *keys]


def _changed(run: dict[str, Any], keys: list[Any], text: str) -> str:
    """The run's JSON with one value removed or replaced."""
    run = copy.deepcopy(run)
    held = run
    for key in keys[:-1]:
        held = held[key]
    if text == REMOVED:
        del held[keys[-1]]
    else:
        held[keys[-1]] = "@here@"
    return json.dumps(run).replace('"@here@"', text)


def _still_a_run(place: str, text: str) -> bool:
    """Another name; an engine that did nothing or was not counted."""
    if text == REMOVED:
        return place in {f"{lane}[0]" for lane in LANES} or place.startswith("counters.")
    return (
        (text == '"text"' and place in TEXTS)
        or (text == "[]" and place in LANES)
        or (text == "{}" and place in ("counters", "counters.MXU"))
    )


def test_every_hole_is_named(tmp_path: Path) -> None:
    run: dict[str, Any] = a_run("t") | {"counters": {"MXU": {"active": 3}}}
    file, seen = tmp_path / "t.run.json", 0
    for place, keys in _places(run):
        for text in BAD:
            file.write_text(_changed(run, keys, text))
            if _still_a_run(place, text):
                RunFile.load(file)
                continue
            with pytest.raises(TriptychError) as error:
                RunFile.load(file)
            told = str(error.value)
            assert str(file) in told
            assert "\n" not in told
            named = place if text != REMOVED else place.removesuffix("[0]").removesuffix("[1]").removesuffix("[2]")
            assert named in told, (place, text, told)
            seen += 1
    assert seen > 400


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("\xff\xfe", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "the whole must be an object, not a list of 0"),
        ("null", "the whole must be an object, not null"),
        ("{}", "format is missing"),
    ],
)
def test_what_is_no_run_is_said(content: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "t.run.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(TriptychError, match="is not a run of `triptych depth`") as error:
        RunFile.load(file)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [([0, 20, 1], r"spans\.MXU\[0\] is of layer 1: there are 1"), ([9, 3, 0], "ends before it begins: 9, 3")],
)
def test_fields_that_belong_together(row: list[int], says: str, tmp_path: Path) -> None:
    run: dict[str, Any] = a_run("t")
    run["spans"]["MXU"] = [row]
    (tmp_path / "t.run.json").write_text(json.dumps(run))
    with pytest.raises(TriptychError, match=says):
        RunFile.load(tmp_path / "t.run.json")


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.run.json").write_text(json.dumps(a_run("t") | {"colour": "red"}))
    with pytest.raises(TriptychError, match="colour is no field"):
        RunFile.load(tmp_path / "t.run.json")


def test_nothing_is_written_of_a_run_with_holes(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.run.json", tmp_path / "bad.run.json"
    good.write_text(json.dumps(a_run("good")))
    bad.write_text(json.dumps(a_run("bad") | {"cycles": 0}))
    done = CliRunner().invoke(app, ["report", str(good), str(bad), "--out", str(tmp_path / "out")])
    assert "bad.run.json is not a run of `triptych depth`: cycles must be" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_titles_are_drawn_as_they_are(tmp_path: Path) -> None:
    """Photos may be called what matplotlib takes for a formula, or in letters that its font lacks."""
    file = tmp_path / "t.run.json"
    for n, title in enumerate(("$x_$ a\nb", "写真 🚲 {%s}")):
        file.write_text(json.dumps(a_run(title)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            written = write_report(RunFile.load(file), tmp_path / str(n))
        assert len(written) == 7
