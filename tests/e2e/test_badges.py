"""Badges of README.md say what docs/results.md says, and are the files that the command draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.sim.bench.badges import BADGES, figure, rows, write_badges
from triptych.sim.bench.ledger import PICTURES, RESULTS
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError

LEDGER = """
<!-- begin:quartdepth-depth -->
| network | bit-exact | MAC/cycle |
|---|---|---|
| METER-XXS | true | 150 |
| ViT-S + DPT | false | 1,234 |
<!-- end:quartdepth-depth -->
"""


def test_the_committed_ones_are_the_ledgers(tmp_path: Path) -> None:
    for path in write_badges(folder=tmp_path):
        assert path.read_text() == (PICTURES / path.name).read_text(), "run `triptych results badges`"
        assert f"docs/img/{path.name}" in (ROOT / "README.md").read_text()


def test_a_badge_is_its_row() -> None:
    told = {badge.name: figure(badge, LEDGER) for badge in BADGES if badge.section == "quartdepth-depth"}
    assert told == {"chip": "DIFFERS", "rate": "1,234"}
    assert [row["network"] for row in rows("quartdepth-depth", LEDGER)] == ["METER-XXS", "ViT-S + DPT"]


def test_a_figure_that_is_not_there_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text(RESULTS.read_text().replace("| ours (Hopper) |", "| gone |"))
    with pytest.raises(TriptychError, match="no row of draft-kernel"):
        write_badges(tmp_path / "results.md", tmp_path / "img")
    assert not (tmp_path / "img").exists()
