"""Networks of different shapes take turns on one step, their arrays anywhere in the address space: nothing of one is
left to the next, and no address is short of bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.fastcar.step_case import ANY, any_case, compare_turns
from triptych.sim.fastcar.step_rtl import Memory, Model, run_turns

NETWORKS = 5


@pytest.fixture(scope="module")
def program() -> Path:
    return ANY.build().executable()


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 30))])
def test_networks_take_turns(program: Path, seed: int) -> None:
    """Each takes three steps, the others' between them; the last turn is the first network's again."""
    found = [any_case(ANY, 1000 * seed + number)[:2] for number in range(NETWORKS)]
    cases = [case for case, _ in found]
    turns = [(number, tokens[step]) for step in range(3) for number, (_, tokens) in enumerate(found)]
    models = [Model(case.program, case.device) for case in cases]
    memory = Memory(latency=9 + seed, rate=0.9, stall=20 * (seed % 3), seed=seed)
    made = run_turns(ANY, models, turns, memory, executable=program, apart=seed, limit=3_000_000)
    assert compare_turns(cases, turns, made)[0] == []
