"""A run file with holes costs what is in the hole: one line that names the field, and the rest of the report."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.runs import chip_run
from triptych.golden.paths import shared_dir
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.errors import TriptychError
from triptych.sim.view.runfile import load, save
from triptych.sim.view.runs import ChipRun

REMOVED = "removed"
BAD = (REMOVED, "null", "true", '"text"', "NaN", "Infinity", "-1", "1" + 400 * "0", "[]", "{}", '[""]')
HEAD = ("title", "origin", "chip", "memory", "network", "cycles", "bytes_read", "bytes_written")
PARTS = ("layers", "counters", "program", "dram", "scratchpad", "tensors", "pictures", "bit_exact")


@pytest.fixture
def held(tmp_path: Path) -> dict[str, Any]:
    save(chip_run(), tmp_path / "t.run.json")
    value: dict[str, Any] = json.loads((tmp_path / "t.run.json").read_text())
    return value


def _places(value: Any, place: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every value inside an object, of lists the first two: its place in words and as keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in pairs:
        words = f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}".lstrip(".")
        yield words, [key]
        for below, keys in _places(inner, words):
            yield below, [key, *keys]


def _changed(run: dict[str, Any], keys: list[Any], text: str) -> str:
    """The run's JSON with one value removed or replaced."""
    run = copy.deepcopy(run)
    inner = run
    for key in keys[:-1]:
        inner = inner[key]
    if text == REMOVED:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = "@here@"
    return json.dumps(run).replace('"@here@"', text)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    for widths in Widths:
        run = chip_run(widths=widths)
        save(run, tmp_path / "t.run.json")
        assert load(tmp_path / "t.run.json") == (run, [])


@pytest.mark.slow
def test_every_hole_costs_its_part_alone(tmp_path: Path, held: dict[str, Any]) -> None:
    file, refused, left_out = tmp_path / "t.run.json", 0, 0
    for place, keys in _places(held):
        for text in BAD:
            file.write_text(_changed(held, keys, text))
            part = str(keys[0])
            try:
                run, problems = load(file)
            except TriptychError as error:
                told = str(error)
                assert part in (*HEAD, "format", "machine"), (place, text, told)
                assert str(file) in told
                assert "\n" not in told
                assert part in told
                refused += 1
                continue
            assert isinstance(run, ChipRun)
            whole = chip_run()
            assert all(getattr(run, other) == getattr(whole, other) for other in HEAD if other != part)
            for problem in problems:
                assert "\n" not in problem
                assert problem.endswith("(that part of the report is left out)")
            if problems:
                # a run whose cycles changed contradicts all that is counted
                others = set(PARTS) if part == "cycles" else {part}
                assert all(p.startswith(tuple(others)) for p in problems), (place, text, problems)
                left_out += 1
            for other in PARTS:
                if other == "program" and not run.layers:
                    assert run.program is None
                elif other != part and not any(p.startswith(other) for p in problems):
                    assert getattr(run, other) == getattr(whole, other), (place, text, other)
    assert refused > 150
    assert left_out > 250


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no JSON"),
        ("{", "no JSON, or half of it"),
        ("\xff\xfe", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no field 'format'"),
        ("null", "no field 'format'"),
        ("{}", "no field 'format'"),
        ('{"format": 1, "title": "t"}', "its format is 1, this version reads 2: run the command again"),
        ('{"format": 2}', "machine must be one of chip, fpga, gpu, not None"),
        ('{"format": 2, "machine": "abacus"}', "not abacus"),
        ('{"format": 2, "machine": "gpu"}', "title is missing"),
    ],
)
def test_what_is_no_run_is_said(content: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "t.run.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(TriptychError, match="is no run") as error:
        load(file)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (["layers", 0, "classes", "acc"], 7, "layers[0].classes sum to"),
        (["layers", 0, "cycles"], 7, "layers[0].classes sum to"),
        (["counters", "VPU", "active"], 7, "counters.VPU sum to"),
        (["program", "layer_of", 0], 9, "program.layer_of names layers that are not there"),
        (["program", "spans", "MXU", 0], [9, 3, 4], "program.spans.MXU[0] is no part of the run: 9, 3, 4"),
        (["program", "spans", "MXU", 0], [1, 9, 3], "program.spans.MXU[0] is no part of the run: 1, 9, 3"),
        (["program", "spans", "MXU", 0], [1, 9, 4000], "is no part of the run"),
        (["colour"], "red", "colour is no field that is known"),
        (["layers", 0, "colour"], "red", "layers[0].colour is no field that is known"),
        (["network", "widths"], "w4", "network.widths must be one of w4a8, w4a4, mixed, w8a8, not 'w4'"),
    ],
)
def test_fields_that_belong_together(
    keys: list[Any], value: Any, says: str, tmp_path: Path, held: dict[str, Any]
) -> None:
    inner = held
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (tmp_path / "t.run.json").write_text(json.dumps(held))
    try:
        _, problems = load(tmp_path / "t.run.json")
    except TriptychError as error:
        problems = [str(error)]
    assert len(problems) == 1
    assert says in problems[0]


def test_files_of_earlier_versions_are_one_line() -> None:
    shared = shared_dir()
    files = sorted((shared / "cases" / "files" / "runs").glob("*.run.json")) if shared else []
    if not files:
        pytest.skip("needs shared/cases")
    for file in files:
        with pytest.raises(TriptychError, match="its format is 1, this version reads 2"):
            load(file)
