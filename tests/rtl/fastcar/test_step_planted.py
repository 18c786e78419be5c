"""Bugs planted in the whole step: the cases of test_step must catch each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hls.reference import Case
from tests.rtl.fastcar.step_case import ANY, any_case, run_case, tokens_of
from triptych.golden.fastcar.config import TINY, Controls
from triptych.sim.build.sources import checker, fastcar_sources
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.step_rtl import Fault, run_steps

BUGS = {
    "the value cache of the wrong frame": (
        "cache_walk.sv", "at = place_q + derived_i.earlier;",
        "at = place_q + (value_i ? derived_i.now : derived_i.earlier);",
    ),
    "the sign of the distance": ("score_walk.sv", "if (distance) tas_weight_o = -4'sd1;", "if (distance) ;"),
    "the ring one place off": (
        "step_reads.sv", "shape_i.ring + {derived_i.ring_slot, 6'd0}",
        "shape_i.ring + {derived_i.ring_slot + place_t'(derived_i.row_words), 6'd0}",
    ),
    "two lanes on one bank": (
        "matvec_engine.sv", "+ (split ? 32'(share[k].first) : '0));", "+ (split ? 32'(share[k&~1].first) : '0));",
    ),
    "keys are read before they are there": ("step_control.sv", "PhaseStored: if (written_i)", "PhaseStored: if (1'b1)"),
    "the row of a group that does not replay": (
        "step_reads.sv", "outside_o    = rows_all_i & ~index_i;", "outside_o    = rows_all_i & ~(index_i >> 1);",
    ),
    "gate and up change places": (
        "row_pipe.sv", "assign tag_d.up          = tile[0];", "assign tag_d.up          = !tile[0];",
    ),
    "a sink's words are the window's": ("cache_walk.sv", "end else if (window_q) begin", "end else if (1'b1) begin"),
    "a root of the row before": ("row_norm.sv", "if (wait_q == 3'(RootLatency + 1))", "if (wait_q == 3'd2)"),
}  # fmt: skip
UNHEARD = {
    "RRESP ignored": ("weight_streamer.sv", "if (rvalid_i && rresp_i[1] && sound)", "if (1'b0)"),
    "BRESP ignored": ("step_writer.sv", "if (bvalid_i && bresp_i[1] && sound)", "if (1'b0)"),
}


def planted(file: str, text: str, bug: str, folder: Path) -> Path:
    """The program with that bug."""
    files = []
    for path in (*fastcar_sources(), *checker("fastcar_step")):
        if path.name == file:
            assert path.read_text().count(text) == 1
            path = folder / file
            path.write_text(next(p for p in fastcar_sources() if p.name == file).read_text().replace(text, bug))
        files.append(path)
    return ANY.build(files).executable()


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_caught(name: str, tmp_path: Path) -> None:
    program = planted(*BUGS[name], tmp_path)
    found = []
    for seed in range(24):
        case, tokens, memory = any_case(ANY, seed)
        try:
            found = run_case(case, ANY, tokens, memory, program)
        except TriptychError as error:
            found = [str(error)]
        if found:
            break
    assert found


@pytest.mark.slow
@pytest.mark.parametrize("name", UNHEARD)
def test_an_ignored_response_is_caught(name: str, tmp_path: Path) -> None:
    """The step ends as if nothing had been: what test_an_error_response_ends_the_step would see."""
    program = planted(*UNHEARD[name], tmp_path)
    case = Case.random(TINY, 3, [Controls(threshold=0)], ANY.limits, 5)
    for array in ("weights", "scales", "turns") if name == "RRESP ignored" else ("y",):
        made = run_steps(ANY, case.program, case.device, tokens_of(case, 8, 1), executable=program, error=(array, 0, 2))
        assert made[0].fault is Fault.NONE
