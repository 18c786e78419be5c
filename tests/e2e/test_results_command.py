"""`triptych results`: which sections it makes, in which order; for a name that it does not know it measures nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.sim.bench import results
from triptych.sim.errors import TriptychError


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written, in order; sections are not measured."""
    out: list[str] = []
    monkeypatch.setattr(results, "replace_section", lambda name, text: out.append(name))
    monkeypatch.setattr(results, "write_badges", lambda: out.append("badges"))
    for maker in ("function_rows", "depth_rows", "load_rows", "speed_rows"):
        monkeypatch.setattr(results, maker, lambda *_: "")
    return out


def _run(sections: list[str]) -> None:
    results.run_results(sections, [], Path("unused"), lambda text, done, total: None)


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        (["badges"], ["badges"]),
        (["badges", "functions"], ["quartdepth-functions", "badges"]),
        (["load", "depth"], ["quartdepth-load", "quartdepth-depth", "badges"]),
    ],
)
def test_badges_come_last_and_beside_others(sections: list[str], wanted: list[str], written: list[str]) -> None:
    _run(sections)
    assert written == wanted


def test_a_stranger_is_refused_before_anything_is_measured(written: list[str]) -> None:
    with pytest.raises(TriptychError, match="no section 'depht': choose from depth, "):
        _run(["functions", "depht"])
    assert written == []
