"""`triptych fastcar study`: its points, its aims, its files, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kit.command import triptych
from triptych.golden.fastcar.config import Policy
from triptych.sim.fastcar import study
from triptych.sim.fastcar.performance import Schedule
from triptych.sim.fastcar.study import Case, evaluate
from triptych.sim.view.report import read


def test_aims() -> None:
    """What the model reaches, and the one aim that it does not: 5.3 tokens a second at a context of 1024."""
    found = study.targets()
    missed = [t for t in found if t.aim and not t.met]
    assert {(t.name, t.scope.split(";")[-1].split(",")[0]) for t in missed if t.name != "DRS on over off"} == {
        ("tokens a second", " closed: at pin rate")
    }
    assert all(study.DROPS in t.scope for t in missed if t.name == "DRS on over off")
    replayed = next(t for t in found if t.name == "speed-up, replay")
    assert 1.9 < replayed.value < replayed.closed


def test_drs_buys_nothing_where_the_stream_is_the_bound() -> None:
    for rows in (1, 4, 16):
        assert study.drs_gain(Case("KV260", rows, 0.6), Schedule.STATIC) == pytest.approx(1.0)
    assert study.drs_gain(Case("U280", 32, 0.6), Schedule.STATIC) > 2


def test_pair_at_two_rows_is_one_row() -> None:
    """Without keys and values a pair that decides together replays as a single row does."""
    one = evaluate(Case("KV260", 1, 0.7))
    pair = evaluate(Case("KV260", 2, 0.7, Policy.PAIR))
    assert pair.mlp_cycles == pytest.approx(one.mlp_cycles)


def test_table_is_complete() -> None:
    points = [evaluate(Case("U50", rows, 0.5)) for rows in (1, 8)]
    rows = list(csv.DictReader(io.StringIO(study.table_csv(points))))
    assert [r["rows"] for r in rows] == ["1", "8"]
    assert float(rows[1]["speedup"]) == pytest.approx(points[1].speedup, rel=1e-4)
    assert evaluate(replace(points[0].case, skip=0.0)).speedup < 1.0  # TAS and ring cost a little


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    run = triptych(tmp_path, "fastcar", "study", "--out", tmp_path, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == json.loads((tmp_path / "study.json").read_text())
    assert len((tmp_path / "study.csv").read_text().splitlines()) == 1 + len(list(study.cases()))
    page = read(tmp_path / "study.run.json").page
    assert page.problems == []
    assert {f.name for f in page.figures} == {
        "speedup_KV260", "speedup_ZCU102", "speedup_U50", "speedup_U280", "lanes_drs", "lanes_static-drop",
        "lanes_static", "drs_gain", "bandwidth", "token_bytes", "resources",
    }  # fmt: skip
    told = {q.name: q.value for q in page.quantities}
    assert told["speedup:U280:32:0.8"] == pytest.approx(evaluate(Case("U280", 32, 0.8)).speedup)
    assert told["used:KV260:dsps"] == pytest.approx(100 * 1024 / 1248)
    for name in ("speedup", "drs", "policies", "ridge"):
        assert (tmp_path / f"{name}.svg").stat().st_size > 10_000
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = triptych(tmp_path, "fastcar", "study", "--out", tmp_path / "file" / "x")
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("triptych: cannot write")
    assert "Traceback" not in run.stderr
