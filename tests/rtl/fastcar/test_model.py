"""The cycle model against the RTL: the engine's cycles over shapes, batches, word rates; the closed form's corners."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.golden.fastcar.config import LLAMA_7B, Chooser, Policy
from triptych.sim.fastcar import boards, performance
from triptych.sim.fastcar.calibration import measure
from triptych.sim.fastcar.dram import efficiency
from triptych.sim.fastcar.performance import Schedule


def test_engine_cycles_follow_the_rtl(tmp_path: Path) -> None:
    points = measure(tmp_path)
    errors = [p.error for p in points]
    assert len(points) > 100
    assert max(map(abs, errors)) < 0.03, max(points, key=lambda p: abs(p.error))
    assert sum(map(abs, errors)) / len(errors) < 0.005


@pytest.mark.parametrize("name", boards.BOARDS)
def test_weight_streams_come_from_dram_timing(name: str) -> None:
    """Bursts and open rows keep what refresh leaves; short turns over readers in the same banks lose most of it."""
    board = boards.BOARDS[name]
    t = board.timing
    refresh = t.rfc / t.refi
    reached = performance.weight_efficiency(board)
    assert 0.90 <= reached <= 1 - refresh
    assert efficiency(t, streams=4, chunk=256, stagger=False) < 0.5


def test_hbm_matches_what_was_measured() -> None:
    """Shuhai (arXiv 2005.04324) measured 425 of 460 GB/s on the U280."""
    reached = performance.weight_efficiency(boards.BOARDS["U280"]) * boards.BOARDS["U280"].peak_bytes_per_second
    assert reached == pytest.approx(425e9, rel=0.02)


@pytest.mark.parametrize("name", boards.BOARDS)
@pytest.mark.parametrize("rows", [1, 2, 4, 8, 32])
def test_closed_form_bounds_the_model(name: str, rows: int) -> None:
    """Speed-ups of the model and of the closed form differ by what bursts, plans and latencies cost: 7 % at most."""
    board, position, skip = boards.BOARDS[name], 1151, 0.8
    m, k = performance.mlp_share(LLAMA_7B), performance.kv_share(LLAMA_7B, position + 1)
    dense = performance.dense_cycles(LLAMA_7B, board, rows=rows, position=position)
    replayed = performance.expected_cycles(LLAMA_7B, board, rows=rows, skip=skip, position=position)
    formula = [performance.closed_form(m, k, board.ridge_batch, rows=rows, skip=s) for s in (0.0, skip)]
    assert dense.cycles / replayed.cycles == pytest.approx(formula[0] / formula[1], rel=0.07)


def test_steps_are_averaged_rightly() -> None:
    """The expectation over policies is the sum over index registers, written out."""
    board, rows, skip = boards.BOARDS["U50"], 5, 0.6
    for policy, schedule in ((Policy.PER_SAMPLE, Schedule.STATIC_DROP), (Policy.PER_SAMPLE, Schedule.DRS)):
        total = 0.0
        for index in range(1 << rows):
            computing = index.bit_count()
            p = (1 - skip) ** computing * skip ** (rows - computing)
            step = performance.index_cycles(LLAMA_7B, board, index, rows=rows, position=900, schedule=schedule)
            total += p * step.cycles
        got = performance.expected_cycles(
            LLAMA_7B, board, rows=rows, skip=skip, policy=policy, position=900, schedule=schedule
        )
        assert got.cycles == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("name", boards.BOARDS)
def test_every_chooser_decides_in_time(name: str) -> None:
    """A distance is known behind V only; what is left of attention still hides the decision, at any batch."""
    board = boards.BOARDS[name]
    for rows in (1, 2, 4, 8, 16, 32):
        mlp = performance.work(1, rows, board.lanes)
        steps = [
            performance.layer_cycles(LLAMA_7B, board, rows=rows, mlp=mlp, position=256, chooser=chooser)
            for chooser in (Chooser.CONSISTENT, Chooser.VALUE)
        ]
        assert steps[0].exposed == steps[1].exposed


def test_policies_at_their_ends() -> None:
    board = boards.BOARDS["U280"]
    for policy in Policy:
        for skip, computing in ((0.0, 6), (1.0, 0)):
            step = performance.expected_cycles(LLAMA_7B, board, rows=6, skip=skip, policy=policy, position=500)
            assert step.computing == computing
            assert bool(step.skipped_bytes) is (computing == 0)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="KV260, ZCU102"):
        boards.board("nexys")
    with pytest.raises(ValueError, match=r"0\.\.1"):
        performance.deciders(Policy.ALL, 3, 1.5)
    with pytest.raises(ValueError, match="cannot compute"):
        performance.layer_cycles(LLAMA_7B, boards.BOARDS["U50"], rows=2, mlp=performance.Work(3, 4), position=0)
    with pytest.raises(ValueError, match="multiples"):
        efficiency(boards.DDR4_2400, chunk=100)
