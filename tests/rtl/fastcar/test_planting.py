"""Planted bugs are of the sources as they are: a list that a change has left behind is seen at once, with no build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.rtl.fastcar import test_planted, test_step_planted, test_units, test_walks
from tests.rtl.fastcar.planting import plant

Bugs = Mapping[str, tuple[str, str, str]]
LISTS: dict[str, Bugs] = {
    "core": test_planted.BUGS,
    "step": test_step_planted.BUGS | test_step_planted.UNHEARD,
    "units": {name: bug[1:] for name, bug in test_units.BUGS.items()},
    "walks": {name: bug[1:] for name, bug in test_walks.BUGS.items()},
}


@pytest.mark.parametrize("name", LISTS)
def test_every_bug_can_be_planted(name: str, tmp_path: Path) -> None:
    """Its text stands once in its file, and every bug has a choice of its own."""
    changed = "".join(path.read_text() for path in plant(tmp_path, LISTS[name]))
    for number in range(1, len(LISTS[name]) + 1):
        assert changed.count(f"(fastcar_pkg::planted() == {number})") >= 1, number
