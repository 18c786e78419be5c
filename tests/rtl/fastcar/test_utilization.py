"""What the twins take of a device, and what the estimator makes of kernels whose size is known."""

from __future__ import annotations

import pytest

from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.hls_estimate import Estimator
from triptych.sim.fastcar.utilization import count, synthesise


def test_half_a_dsp_a_product() -> None:
    """8 DSP48E2 for 16 W4A8 products a cycle, and nothing else in the lane takes one."""
    used = synthesise("lane", {"Width": 8, "Chain": 4, "Words": 2, "Inputs": 16, "Entries": 8})
    assert used.dsps == 8
    assert used.luts > 0


@pytest.mark.slow
def test_decision_is_small() -> None:
    """Deciding and mapping 32 rows on 16 lanes is less logic than a lane."""
    used = synthesise("drs", {"Lanes": 16, "Words": 16})
    assert used.dsps == 0
    assert used.luts < 3600


def test_unmapped_cells_are_refused() -> None:
    with pytest.raises(TriptychError, match=r"\$mul"):
        count({"LUT2": 3, "$mul": 1})


@pytest.mark.slow
def test_estimates_of_what_is_known() -> None:
    """16 lanes of two dot products over 64 inputs and a trip count; a score of 64 products, a weight, addresses."""
    estimator = Estimator()
    assert estimator.dsps("run_tile") == 16 * 2 * 64 + 4
    assert 64 <= estimator.dsps("run_tas") < 110
