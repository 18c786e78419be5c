"""Runs side by side: what got worse or better, a regression that fails, a trend, and which run is the newest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kit.command import triptych
from tests.kit.runs import MEASURED, blank_pictures, chip_run  # noqa: F401 - a fixture among them
from triptych.sim.view import compare
from triptych.sim.view.report import read, write_report
from triptych.sim.view.runfile import save


def test_what_got_worse_comes_first(tmp_path: Path) -> None:
    save(chip_run("before"), tmp_path / "a.run.json")
    save(chip_run("after", longer=50), tmp_path / "b.run.json")
    before, after = (read(tmp_path / f"{n}.run.json").page for n in "ab")
    found = compare.changes(before, after)
    assert found[0].worse == max(c.worse for c in found) > 0
    assert [c.worse for c in found] == sorted((c.worse for c in found), reverse=True)
    by_name = {c.after.name: c for c in found}
    assert by_name["cycles"].share == pytest.approx(0.05)
    assert by_name["fps"].worse == pytest.approx(1 - 1 / 1.05)  # less of it is worse
    assert by_name["layer:encoder.1"].share == 0
    assert {c.after.name for c in compare.regressions(found, 5.5)} == {"layer:encoder.0"}
    words = ("report", tmp_path / "b.run.json", "--against", tmp_path / "a.run.json", "--fail-on-regression")
    done = triptych(tmp_path, *words, "20")
    assert done.returncode == 0, done.stderr
    assert "worse: cycles: 1000 to 1050, +5 %" in done.stdout.splitlines()
    failed = triptych(tmp_path, *words, "5.5")
    assert failed.returncode == 1
    assert "1 numbers are more than 5.5 % worse, the worst: layer encoder.0, 500 cycles to 550 cycles" in failed.stderr
    back = triptych(tmp_path, "report", tmp_path / "a.run.json", "--against", tmp_path / "b.run.json",
                    "--fail-on-regression", "0")  # fmt: skip
    assert back.returncode == 0, back.stderr
    assert "better: cycles: 1050 to 1000, -4.76 %" in back.stdout.splitlines()
    table = json.loads((tmp_path / "b.report" / "tables" / "comparison.json").read_text())
    assert table[0]["verdict"] == "worse"


def test_runs_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    save(chip_run(), tmp_path / "a.run.json")
    done = triptych(tmp_path, "report", tmp_path / "a.run.json", "--against", MEASURED, "--fail-on-regression", "1")
    assert done.returncode == 1
    assert "is of the gpu, photo.w4a8-small of the chip" in done.stderr


def test_the_history_makes_a_trend(tmp_path: Path) -> None:
    for n in range(3):
        run = chip_run(longer=10 * n)
        save(replace(run, origin=replace(run.origin, time=f"2026-01-0{n + 1}")), tmp_path / "t.run.json")
        for _ in range(2):  # a run counts once
            write_report([tmp_path / "t.run.json"], out=tmp_path / "r")
        if n == 0:
            with (tmp_path / "history.jsonl").open("a") as stream:
                stream.write("half a li\n")
    drawn = json.loads((tmp_path / "r" / "tables" / "trend.json").read_text())
    assert [row["latency at 1000 MHz, ms"] for row in drawn if row["series"] == "runs"] == [0.001, 0.00101, 0.00102]


def test_the_newest_run_is_found(tmp_path: Path) -> None:
    refused = triptych(tmp_path, "report")
    assert refused.returncode == 1
    assert "there is no *.run.json under out" in refused.stderr
    (tmp_path / "out" / "deep").mkdir(parents=True)
    save(chip_run("first"), tmp_path / "out" / "a.run.json")
    save(chip_run("second"), tmp_path / "out" / "deep" / "b.run.json")
    done = triptych(tmp_path, "report")
    assert done.stdout.splitlines()[-1] == "out/deep/b.report/index.html"
    assert "vizviewer out/deep/b.report/second.trace.json" in done.stdout
