"""The step at the ends of what docs/fastcar.md allows: the widest rows, heads and hiddens, the most heads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hls.reference import Case
from tests.rtl.fastcar.step_case import run_case, tokens_of
from triptych.golden.fastcar.config import Controls, LayerConfig
from triptych.sim.fastcar.step_rtl import StepSize

LARGEST = StepSize(
    lanes=4, words=4, width=16384, ffn=16384, head_dim=256, head_words=256, tokens=16, vector=32, depth=64,
)  # fmt: skip
SHAPES = {
    "wide rows, wide heads": (1, LayerConfig(16384, 64, 1, 1, 256, frame_tokens=4, context=16)),
    "many heads of one key": (1, LayerConfig(64, 64, 128, 1, 128, frame_tokens=4, context=16)),
    "wide hidden of all rows": (32, LayerConfig(64, 16384, 2, 1, 64, frame_tokens=4, context=16)),
}


@pytest.fixture(scope="module")
def program() -> Path:
    return LARGEST.build().executable()


@pytest.mark.parametrize(("rows", "config"), SHAPES.values(), ids=SHAPES)
def test_the_largest_shapes(program: Path, rows: int, config: LayerConfig) -> None:
    """The first token that may replay; of many rows one that may not, so that their inputs just fit into the lanes."""
    case = Case.random(config, rows, [Controls(threshold=0)], LARGEST.limits, 3)
    assert run_case(case, LARGEST, tokens_of(case, 4 if rows == 1 else 3, 1), program=program) == []
