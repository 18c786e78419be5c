"""Bugs planted in the twins: the scenarios of test_core must catch each (the proofs' own bugs: tests/formal)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rtl.fastcar.scenario import check, random_scenario
from tests.rtl.fastcar.test_core import SIZES
from triptych.sim.build.sources import fastcar_sources
from triptych.sim.errors import TriptychError

BUGS = {
    "a sum under back-pressure is lost": (
        "sum_drain.sv", "`FF(valid_o, step || (valid_o && !ready_i), 1'b0)", "`FF(valid_o, step, 1'b0)",
    ),
    "a burst is asked for without room": (
        "weight_streamer.sv", "active_q && room_q >= CountW'(burst)", "active_q",
    ),
    "a skew is one short": ("lane.sv", "(weight_q[i%Chain][i])", "(weight_q[(i+1)%Chain][i])"),
    "accumulators are taken too early": ("matvec_engine.sv", "(taken_q != 2'd2)", "(1'b1)"),
    "a window is overwritten": (
        "matvec_engine.sv", "word_ready_o = !window_full_q[fill_bank_q];", "word_ready_o = 1'b1;",
    ),
    "the MLP's weights do not wait": ("weight_streamer.sv", "&& !waits && sound;", "|| waits;"),
    "a score under back-pressure is lost": ("tas_unit.sv", "assign ready_o = advance;", "assign ready_o = 1'b1;"),
    "a distance has the wrong sign": (
        "tas_unit.sv", "weighted_d = sum_q * 32'($signed(weight_q[1]));",
        "weighted_d = sum_q * (distance_i ? 32'sd1 : 32'($signed(weight_q[1])));",
    ),
    "a head has the weight of the next": ("tas_unit.sv", "$signed(weight_q[1])", "$signed(weight_q[0])"),
    "two segments begin a sum": ("matvec_engine.sv", "(segment == '0)", "(segment <= 10'd1)"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, text, bug = BUGS[name]
    files = []
    for path in fastcar_sources():
        if path.name == file:
            assert path.read_text().count(text) == 1
            planted = tmp_path / file
            planted.write_text(path.read_text().replace(text, bug))
            path = planted
        files.append(path)
    monkeypatch.setattr("triptych.sim.fastcar.twin.fastcar_sources", lambda: files)
    with pytest.raises((AssertionError, TriptychError)):
        _run(tmp_path)


def _run(folder: Path) -> None:
    rng = np.random.default_rng(3)
    size = SIZES["four lanes"]
    for _ in range(40):
        check(random_scenario(rng, size, int(rng.integers(1, 6))), size, folder)
