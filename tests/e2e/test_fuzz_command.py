"""`triptych fuzz-networks`: JSON, RTL, refusals in one line, and what it leaves where judges do not agree."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner

from triptych.golden.quartdepth.compiler import job_work
from triptych.sim.bench import fuzz, ledger
from triptych.sim.cli.main import app
from triptych.sim.errors import TriptychError

RUN = CliRunner()


def test_json_and_rtl(tmp_path: Path) -> None:
    done = RUN.invoke(
        app,
        ["fuzz-networks", "6", "0", "--chips", "tiny", "--rtl", "2", "--json", "--out", str(tmp_path)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    result = json.loads(done.stdout)
    assert result["networks"] == 6
    assert result["programs"]["tiny"] + sum(result["refused"].values()) == 6
    assert result["rtl"] == {"tiny": 2}
    assert result["differences"] == []
    assert 0 < result["worst"][0]["error"] <= 0.1
    assert result["within_two_percent"] >= 5 / 6
    assert [p.suffix for p in tmp_path.iterdir()] == [".jsonl"]


def test_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are taken over, but for one that was cut while it was written, and for those of other code."""
    judged: list[int] = []
    real = fuzz.judge
    monkeypatch.setattr(fuzz, "judge", lambda case, *rest: judged.append(case.seed) or real(case, *rest))

    def run(count: int) -> fuzz.Fuzzed:
        judged.clear()
        return fuzz.fuzz_networks(count, 3, ["tiny"], 0, ["tiny"], tmp_path, lambda *_: None)

    first = run(2)
    assert judged == [3, 4]
    again = run(3)
    assert judged == [5]
    assert again.right >= first.right
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-20])
    assert run(3).right == again.right
    assert judged == [5]
    monkeypatch.setattr(fuzz, "_fingerprint", lambda: "other")
    run(1)
    assert judged == [3]


def test_a_difference_is_shown_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: status 1, the script printed and in a file; the ledger says how many there were."""
    real = job_work._matmul
    monkeypatch.setattr(fuzz, "ATTEMPTS", 4)
    with mock.patch.object(job_work, "_matmul", lambda *a: {**real(*a), "pad_value": 0}):
        done = RUN.invoke(app, ["fuzz-networks", "2", "0", "--chips", "tiny", "--out", str(tmp_path)])
    assert isinstance(done.exception, TriptychError)
    files = list(tmp_path.glob("seed-*-tiny.py"))
    assert files
    assert str(done.exception) == f"{len(files)} differences; a script for each is in {tmp_path}"
    assert files[0].read_text() in done.stdout


def test_the_row_of_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "results.md"
    monkeypatch.setattr(fuzz, "replace_section", lambda name, body: ledger.replace_section(name, body, page))
    result = fuzz.Fuzzed(2000, 5)
    result.right.update({"tiny": 1900, "small": 1950})
    result.rtl.update({"tiny": 3})
    result.refused.update({"tiny: '...' does not fit": 100, "small: '...'": 50})
    result.errors = [(0.001 * n, n, ("Conv", "Relu")) for n in range(1, 41)]
    fuzz.publish(result)
    assert (
        "median 2.05 %, at most 2 % on 50.0 % of networks. The worst:\n- 4.0 %: seed 40: Conv, Relu" in page.read_text()
    )
    assert "| 2,000 | 5..2004 | 1,900 | 1,950 | 3 tiny | 150 | 0 | 0 | cpu-measured |" in page.read_text()
    assert "- 100: tiny: '...' does not fit" in page.read_text()


def test_refusals() -> None:
    for arguments in (["0", "1"], ["1", "1", "--rtl", "-1"], ["1", "-1"]):
        assert RUN.invoke(app, ["fuzz-networks", *arguments]).exit_code == 2
    done = RUN.invoke(app, ["fuzz-networks", "1", "1", "--chips", "tiny", "--rtl-chips", "small"])
    assert str(done.exception) == "--rtl-chips names 'small', which is none of --chips: tiny"
    done = RUN.invoke(app, ["fuzz-networks", "1", "1", "--chips", "tiny,large"])
    assert str(done.exception) == "no configuration 'large': choose one of tiny, small, paper"
