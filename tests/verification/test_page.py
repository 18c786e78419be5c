"""docs/verification.md is what its record and the lists of bugs say, and says how sure a rate is."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest

from tests.mutation.holes import HOLES
from tests.verification import record
from tests.verification.__main__ import PAGE
from tests.verification.page import page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(record.load()), "run `make verification`"


def test_a_bug_that_survives_is_told() -> None:
    text = page({"planted": {HOLES[0].name: {"outcome": "survived", "by": "", "stages": 1, "first": "survived"}}})
    assert f"| {HOLES[0].name} | `dma_setup.sv` | **survived** |" in text
    assert f"| {HOLES[1].name} | `mxu_stream.sv` | not run |" in text
    assert "| holes of the audit | 0/1 noticed now" in text


def test_rates_have_their_interval() -> None:
    low, high = record.interval(57, 60)
    assert (round(low, 3), round(high, 3)) == (0.863, 0.983)
    assert record.interval(60, 60)[1] == pytest.approx(1.0)
    assert record.interval(0, 0) == (0.0, 1.0)


def test_mutants_of_the_last_text_count(tmp_path: Path) -> None:
    folder = tmp_path / "mutation"
    folder.mkdir()
    base = {"of": 9, "kind": "k", "by": "", "stages": 1}
    rows = [
        {**base, "source": "old", "said": "a", "outcome": "survived"},
        {**base, "source": "new", "said": "a", "outcome": "killed"},
        {**base, "source": "new", "said": "b", "outcome": "equivalent"},
        {**base, "source": "new", "said": "c", "outcome": "survived"},
        {**base, "source": "new", "said": "c", "outcome": "refuted"},
        {**base, "source": "new", "said": "d", "outcome": "survived"},
    ]
    (folder / "fifo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with mock.patch.object(record, "OUT", tmp_path):
        found = record.mutation()
    assert found["fifo"] == {
        "of": 9, "sample": 4, "noticed": 2, "refuted": 1, "equivalent": 1, "survived": ["d"],
    }  # fmt: skip
    (folder / "vpu").mkdir()
    for name in ("one", "two"):
        lines = [json.dumps({**row, "module": f"vpu/{name}"}) + "\n" for row in rows[1:4]]
        (folder / "vpu" / f"{name}.jsonl").write_text("".join(lines))
    with mock.patch.object(record, "OUT", tmp_path):
        found = record.mutation()
    assert found["vpu/"] == {
        "of": 9, "sample": 6, "noticed": 2, "refuted": 0, "equivalent": 2, "survived": ["one, c", "two, c"],
    }  # fmt: skip


def test_what_racecheck_says(tmp_path: Path) -> None:
    (tmp_path / "gpu").mkdir()
    summary = "========= RACECHECK SUMMARY: {} hazards displayed ({} errors, {} warnings)\n"
    log = "== planted\nHost Frame\n" + summary.format(5, 513, 0) + "== cut\nnever ended\n== triton\n"
    (tmp_path / "gpu" / "races.log").write_text(log + summary.format(0, 0, 2))
    with mock.patch.object(record, "OUT", tmp_path):
        found = record.races()
    assert found == {"planted": [513, 0], "triton": [0, 2]}
    said = page({"races": found})
    assert "racecheck on a Hopper card: `triton` 0 hazards; the planted race is named (513 hazards)" in said
    assert "**missed**" in page({"races": {"triton": [0, 0]}})
    assert "| GPU kernels in shared memory | not run |" in page({})
