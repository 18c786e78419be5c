"""The model of a step's cycles: against the RTL, and what it must say whatever the RTL does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from triptych.golden.fastcar.config import LLAMA_7B, Chooser
from triptych.sim.fastcar import step_study
from triptych.sim.fastcar.boards import board
from triptych.sim.fastcar.step_model import StepWork, layer_cycles, layer_phases, step_cycles, weight_words

KV260 = step_study.machine(step_study.KV260, step_study.board_memory(board("KV260")))


@pytest.mark.slow
def test_the_model_follows_the_rtl() -> None:
    """3 % at every point, 1 % in the mean: batches to 32, contexts to 4,096, choosers, policies, DRS off."""
    points = step_study.calibrate(step_study.works())
    errors = [abs(p.error) for p in points]
    assert max(errors) < 0.03, max(points, key=lambda p: abs(p.error))
    assert sum(errors) / len(errors) < 0.01


def test_a_layer_takes_what_its_weights_and_keys_take() -> None:
    """One row on the KV260: no less than the stream of both, and 1 % more at most."""
    for position in (127, 1023, 4095):
        work = StepWork(1, position, 1)
        moved = (weight_words(LLAMA_7B, 16) + 2 * 64 * (position + 1)) / KV260.rate
        assert moved < layer_cycles(LLAMA_7B, KV260, work) < 1.01 * moved


def test_replay_leaves_the_mlp_out() -> None:
    work = StepWork(4, 300, 4)
    phases = layer_phases(LLAMA_7B, KV260, replace(work, computing=0))
    assert "hidden" not in phases
    saved = layer_cycles(LLAMA_7B, KV260, work) - sum(phases.values())
    words = weight_words(LLAMA_7B, 16) - weight_words(LLAMA_7B, 16, mlp=False)
    assert saved == pytest.approx(words / KV260.rate, rel=0.01)


def test_scheduling_and_choosers() -> None:
    """Without DRS a row that computes costs as much as all; a distance feeds fewer words than a score of queries."""
    on, off = (layer_phases(LLAMA_7B, KV260, StepWork(32, 300, 3, scheduling=s)) for s in (True, False))
    every = layer_phases(LLAMA_7B, KV260, StepWork(32, 300, 32))
    assert off["hidden"] == every["hidden"] > on["hidden"]
    grouped = replace(LLAMA_7B, kv_heads=8)
    queries, values = (
        layer_phases(grouped, KV260, StepWork(8, 300, 8, chooser=c))["score"] for c in (Chooser.HEADS, Chooser.VALUE)
    )
    assert values < queries


def test_layers_add_up_and_bad_numbers_are_refused() -> None:
    work = StepWork(1, 300, 1)
    one, two = (step_cycles(LLAMA_7B, KV260, work, n) for n in (1, 2))
    assert two - one == pytest.approx(layer_cycles(LLAMA_7B, KV260, work))
    with pytest.raises(ValueError, match="cannot compute"):
        layer_cycles(LLAMA_7B, KV260, StepWork(2, 0, 3))
