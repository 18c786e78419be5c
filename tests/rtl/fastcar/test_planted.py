"""Bugs planted in the twins: the scenarios of test_core must catch each (the proofs' own bugs: tests/formal)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rtl.fastcar.planting import VARIABLE, chosen, plant
from tests.rtl.fastcar.scenario import check, random_scenario
from tests.rtl.fastcar.test_core import SIZES
from triptych.sim.errors import TriptychError

SIZE = SIZES["four lanes"]
BUGS = {
    "a sum under back-pressure is lost": (
        "sum_drain.sv", "`FF(valid_o, step || (valid_o && !ready_i), 1'b0)",
        "`FF(valid_o, step || (valid_o && !ready_i && !BUG), 1'b0)",
    ),
    "a burst is asked for without room": (
        "weight_streamer.sv", "active_q && room_q >= CountW'(burst)", "active_q && (BUG || room_q >= CountW'(burst))",
    ),
    "a skew is one short": (
        "lane.sv", "wide_operand(weight_q[i%Chain][i])",
        "wide_operand(BUG ? weight_q[(i+1)%Chain][i] : weight_q[i%Chain][i])",
    ),
    "accumulators are taken too early": ("matvec_engine.sv", "(taken_q != 2'd2)", "(taken_q != 2'd2 || BUG)"),
    "a window is overwritten": (
        "matvec_engine.sv", "word_ready_o = !window_full_q[fill_bank_q];",
        "word_ready_o = !window_full_q[fill_bank_q] || BUG;",
    ),
    "the MLP's weights do not wait": ("weight_streamer.sv", "&& !waits && sound;", "&& (!waits || BUG) && sound;"),
    "a score under back-pressure is lost": (
        "tas_unit.sv", "assign ready_o = advance;", "assign ready_o = advance || BUG;",
    ),
    "a distance has the wrong sign": (
        "tas_unit.sv", "weighted_d = weight_q[1][3] ?", "weighted_d = (weight_q[1][3] && !(BUG && distance_i)) ?",
    ),
    "a head has the weight of the next": (
        "tas_unit.sv", "`FFLNR(weight_q, {weight_q[0], weight_i}, advance)",
        "`FFLNR(weight_q, {BUG ? weight_i : weight_q[0], weight_i}, advance)",
    ),
    "two segments begin a sum": ("matvec_engine.sv", "(segment == '0)", "(segment <= 10'(BUG))"),
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All bugs in one build."""
    folder = tmp_path_factory.mktemp("planted")
    return chosen(SIZE.build(plant(folder, BUGS)), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", *BUGS])
def test_planted_bug_is_caught(name: str, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(["none", *BUGS].index(name)))
    if name == "none":
        _run(program, tmp_path)
    else:
        with pytest.raises((AssertionError, TriptychError)):
            _run(program, tmp_path)


def _run(program: Path, folder: Path) -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        check(random_scenario(rng, SIZE, int(rng.integers(1, 6))), SIZE, folder, program)
