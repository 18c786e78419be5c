"""The step at the ends of what docs/fastcar.md allows: the widest rows, heads and hiddens, the most heads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hls.reference import Case
from tests.rtl.fastcar.step_case import compare_turns, tokens_of
from triptych.golden.fastcar.config import Controls, LayerConfig
from triptych.sim.fastcar.step_rtl import Model, StepSize, run_turns

LARGEST = StepSize(
    lanes=4, words=4, width=16384, ffn=16384, head_dim=256, head_words=256, tokens=16, vector=32, depth=64,
)  # fmt: skip
SHAPES = {
    "wide rows, wide heads": (1, LayerConfig(16384, 64, 1, 1, 256, frame_tokens=4, context=16)),
    "many heads of one key": (1, LayerConfig(64, 64, 128, 1, 128, frame_tokens=4, context=16)),
    "wide hidden of all rows": (32, LayerConfig(64, 16384, 2, 1, 64, frame_tokens=4, context=16)),
    "wide heads of all rows": (32, LayerConfig(192, 64, 12, 3, 256, frame_tokens=4, context=16)),
}


@pytest.fixture(scope="module")
def program() -> Path:
    return LARGEST.build().executable()


def test_the_largest_shapes(program: Path) -> None:
    """In turn, and in turn again. Of one row the first tokens that may replay; of many the last that may not and the
    first that may, so that their inputs just fit into the lanes at first."""
    cases = [Case.random(config, rows, [Controls(threshold=0)], LARGEST.limits, 3) for rows, config in SHAPES.values()]
    firsts = [4 if rows == 1 else 3 for rows, _ in SHAPES.values()]
    tokens = [tokens_of(case, first, 2) for case, first in zip(cases, firsts, strict=True)]
    turns = [(number, steps[turn]) for turn in range(2) for number, steps in enumerate(tokens)]
    models = [Model(case.program, case.device) for case in cases]
    made = run_turns(LARGEST, models, turns, executable=program, apart=1, limit=3_000_000)
    assert compare_turns(cases, turns, made)[0] == []
