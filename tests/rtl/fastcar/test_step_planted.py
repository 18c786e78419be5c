"""Bugs planted in the whole step, all in one build, chosen by the environment: the cases of test_step catch each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hls.reference import Case
from tests.rtl.fastcar.planting import VARIABLE, chosen, plant
from tests.rtl.fastcar.step_case import ANY, any_case, run_case, tokens_of
from triptych.golden.fastcar.config import TINY, Controls
from triptych.sim.build.sources import checker
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.step_rtl import Fault, Model, run_steps, run_turns

# name: file, text, what stands there instead; BUG is true in the run of that bug
BUGS = {
    "the value cache of the wrong frame": (
        "cache_walk.sv", "place_q + derived_i.earlier;",
        "place_q + ((BUG && value_i) ? derived_i.now : derived_i.earlier);",
    ),
    "the sign of the distance": (
        "score_walk.sv", "tas_weight_o = -4'sd1;", "tas_weight_o = BUG ? 4'sd1 : -4'sd1;",
    ),
    "the ring one place off": (
        "step_reads.sv", "{derived_i.ring_slot, 6'd0}",
        "{derived_i.ring_slot + (BUG ? place_t'(derived_i.row_words) : '0), 6'd0}",
    ),
    "two lanes on one bank": (
        "matvec_engine.sv", "(split ? 32'(share[k].first) : '0));",
        "(split ? 32'(share[BUG ? k & ~1 : k].first) : '0));",
    ),
    "another row replays": (
        "step_reads.sv", "rows_all_i & ~index_i;", "rows_all_i & ~(BUG ? index_i >> 1 : index_i);",
    ),
    "gate and up change places": ("row_pipe.sv", "= tile[0];", "= BUG ? !tile[0] : tile[0];"),
    "a window's words are the sink's": (
        "cache_walk.sv", "end else if (window_q) begin", "end else if (window_q && !BUG) begin",
    ),
    "the root of the row before": (
        "row_norm.sv", "if (wait_q == 3'(RootLatency + 1))", "if (wait_q == (BUG ? 3'd2 : 3'(RootLatency + 1)))",
    ),
    "keys are read before their writes are answered": (
        "step_control.sv", "PhaseStored: if (written_i)", "PhaseStored: if (written_i || BUG)",
    ),
    "a chain count of the next row": ("chain_counts.sv", "addr_q[5:0];", "(addr_q[5:0] ^ 6'(BUG));"),
}  # fmt: skip
UNHEARD = {
    "RRESP ignored": (
        "weight_streamer.sv", "if (rvalid_i && rresp_i[1] && sound)", "if (!BUG && rvalid_i && rresp_i[1] && sound)",
    ),
    "BRESP ignored": (
        "step_writer.sv", "if (bvalid_i && bresp_i[1] && sound)", "if (!BUG && bvalid_i && bresp_i[1] && sound)",
    ),
}  # fmt: skip
FAR = {
    "a region's address of 32 bits": (
        "region_walk.sv", "addr_d = base_i;", "addr_d = BUG ? 40'(base_i[31:0]) : base_i;",
    ),
    "a write's address of 32 bits": (
        "step_writer.sv", "assign awaddr_o     = addr_q;", "assign awaddr_o = BUG ? 40'(addr_q[31:0]) : addr_q;",
    ),
}  # fmt: skip
NUMBERS = {name: number for number, name in enumerate((*BUGS, *UNHEARD, *FAR), 1)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All bugs in one build."""
    folder = tmp_path_factory.mktemp("planted")
    return chosen(ANY.build([*plant(folder, BUGS | UNHEARD | FAR), *checker("fastcar_step")]), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", *BUGS])
def test_planted_bug_is_caught(name: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(NUMBERS.get(name, 0)))
    found: list[str] = []
    for seed in range(24):
        case, tokens, memory = any_case(ANY, seed)
        try:
            found = run_case(case, ANY, tokens, memory, program)
        except TriptychError as error:
            found = [str(error)]
        if found:
            break
    assert bool(found) is (name != "none")


@pytest.mark.slow
@pytest.mark.parametrize("name", UNHEARD)
def test_an_ignored_response_is_caught(name: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step ends as if nothing had been, so that test_an_error_response_ends_the_step sees the wrong cause."""
    case = Case.random(TINY, 3, [Controls(threshold=0)], ANY.limits, 5)
    for array, cause in (("turns", Fault.READ_SLAVE), ("y", Fault.WRITE_SLAVE)):
        if (array == "y") is (name == "BRESP ignored"):
            for number, seen in ((0, cause), (NUMBERS[name], Fault.NONE)):
                monkeypatch.setenv(VARIABLE, str(number))
                tokens = tokens_of(case, 8, 1)
                made = run_steps(ANY, case.program, case.device, tokens, executable=program, error=(array, 0, 2))
                assert made[0].fault is seen


@pytest.mark.slow
@pytest.mark.parametrize("name", FAR)
def test_a_short_address_is_caught(name: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Low addresses hide it; where arrays lie anywhere the memory says that nothing is there."""
    monkeypatch.setenv(VARIABLE, str(NUMBERS[name]))
    for apart in (None, 1):
        case, tokens, _ = any_case(ANY, 3)
        model, turns = Model(case.program, case.device), [(0, token) for token in tokens]
        made = run_turns(ANY, [model], turns[:1], executable=program, apart=apart, limit=3_000_000)
        heard = {Fault.WEIGHT_SLAVE, Fault.SCALE_SLAVE, Fault.WRITE_SLAVE}
        assert made[0].fault in ({Fault.NONE} if apart is None else heard)
