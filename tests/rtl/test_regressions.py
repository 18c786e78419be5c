"""Programs that once ran otherwise on the chip than on the golden machine, as `make fuzz` keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest

from tests import fuzz
from tests.fuzz import KEPT, Case, draw
from triptych.golden.quartdepth.chip.isa import Trap

FILES = sorted(KEPT.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_regression(path: Path) -> None:
    case = Case(**json.loads(path.read_text()))
    assert case.run() == "", f"{case} is back"


def test_the_shortest_that_differs_is_kept() -> None:
    """A fault that shows from so many instructions on; what agrees is left alone."""

    def wrong(config: object, seed: int, trap: Trap, length: int) -> None:
        assert length < 13, f"seed {seed}: instruction {length}"

    with mock.patch.object(fuzz, "compare", wrong):
        case, instructions = fuzz.judge(Case("tiny", 5, "NONE", 60))
        assert (case.length, case.what) == (13, "seed 5: instruction 13")
        assert instructions >= 60
        assert fuzz.judge(Case("tiny", 5, "NONE", 12))[0].what == ""


def test_programs_end_in_every_way() -> None:
    drawn = [draw(n, ["tiny", "small"]) for n in range(60)]
    assert {case.trap for case in drawn} == {trap.name for trap in Trap}
    assert {case.config for case in drawn} == {"tiny", "small"}
    assert len({(case.config, case.seed) for case in drawn}) == 60
