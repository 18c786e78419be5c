"""What stops the core: an error response to a read of weights, a job whose inputs have no room. Never a wrong sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.rtl.fastcar.scenario import check, integers, random_scenario
from tests.rtl.fastcar.test_core import SIZES
from triptych.golden.fastcar.config import Policy
from triptych.sim.fastcar.twin import Product, Scenario, execute

SIZE = SIZES["four lanes"]
SLAVE, DECODE, NO_ROOM = 1, 2, 3


@pytest.mark.parametrize(("response", "fault"), [(2, SLAVE), (3, DECODE)])
def test_an_error_response_stops_the_core(response: int, fault: int, tmp_path: Path) -> None:
    """Sums that need a weight behind the error never leave, the others are right, the bus is left clean."""
    rng = np.random.default_rng(response)
    program = SIZE.build().executable()
    cut = 0
    for _ in range(12):
        scenario = replace(random_scenario(rng, SIZE, 3), response=response)
        whole = check(scenario, SIZE, tmp_path, program)
        assert whole.counters["fault"] == 0
        read = whole.counters["delivered"] * SIZE.width
        if not read:
            continue
        seen = execute(replace(scenario, error=int(rng.integers(read))), SIZE, tmp_path, program)
        assert seen.counters["fault"] in (0, fault)
        if seen.counters["fault"] == 0:  # the byte is of a region that was not read
            assert np.array_equal(seen.sums, whole.sums)
            continue
        assert seen.counters["delivered"] < whole.counters["delivered"]
        assert np.array_equal(seen.sums, whole.sums[: len(seen.sums)])
        cut += len(seen.sums) < len(whole.sums)
    assert cut >= 4


def test_a_job_without_room_is_refused(tmp_path: Path) -> None:
    """Two passes of rows by more segments than a lane stores: nothing is computed, the cause is shown."""
    rng = np.random.default_rng(1)
    rows = 2 * SIZE.lanes
    most = SIZE.inputs // 2 * SIZE.width

    def job(inputs: int) -> Scenario:
        weight, x = integers(rng, -8, 7, 8, inputs), integers(rng, -128, 127, rows, inputs)
        return Scenario(rows, Policy.PER_SAMPLE, 0, np.ones(rows, bool), [Product(weight, x)])

    assert check(job(most), SIZE, tmp_path).counters["fault"] == 0
    seen = execute(job(most + 1), SIZE, tmp_path)
    assert seen.counters["fault"] == NO_ROOM
    assert not len(seen.sums)
