"""What the twins take of a device, and what the estimator makes of kernels whose size is known."""

from __future__ import annotations

import re

import pytest

from triptych.sim.bench.ledger import RESULTS
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.boards import BOARDS
from triptych.sim.fastcar.hls_estimate import Estimator, Multipliers, estimate_kernels
from triptych.sim.fastcar.utilization import MOST, Used, count, shares_of, synthesise


def test_half_a_dsp_a_product() -> None:
    """8 DSP48E2 for 16 W4A8 products a cycle, and nothing else in the lane takes one."""
    used = synthesise("lane", {"Width": 8, "Chain": 4, "Words": 2, "Inputs": 16, "Entries": 8})
    assert used.dsps == 8
    assert used.luts > 0


@pytest.mark.slow
def test_a_chain_of_logic() -> None:
    """Takes no DSP, and less than 150 LUTs a pair of products."""
    size = {"Width": 8, "Chain": 4, "Words": 2, "Inputs": 16, "Entries": 8}
    all_dsps, mixed = synthesise("lane", size), synthesise("lane", {**size, "LutChains": 1})
    assert (all_dsps.dsps, mixed.dsps) == (8, 4)
    assert mixed.luts - all_dsps.luts < 4 * 150


def test_every_board_is_in_the_results() -> None:
    """None takes more than 90 % of anything; a section of some boards alone would say less than it seems to."""
    text = RESULTS.read_text().split("<!-- begin:fastcar-utilization -->")[1].split("<!-- end")[0]
    for name in BOARDS:
        row = re.search(rf"^\| of the {name} \|(.*)$", text, re.MULTILINE)
        assert row, name
        shares = [float(s) for s in re.findall(r"([\d.]+)%", row[1])]
        assert len(shares) == 5, name
        assert max(shares) <= 100 * MOST, name


@pytest.mark.slow
def test_decision_is_small() -> None:
    """Deciding and mapping 32 rows on 16 lanes is less logic than a lane."""
    used = synthesise("drs", {"Lanes": 16, "Words": 16})
    assert used.dsps == 0
    assert used.luts < 3600


def test_unmapped_cells_are_refused() -> None:
    with pytest.raises(TriptychError, match=r"\$mul"):
        count({"LUT2": 3, "$mul": 1})


def test_estimates_of_what_is_known() -> None:
    """16 lanes of 64 DSPs for two dot products; values two a DSP; 64 products of the score in LUTs; two rotations."""
    estimator = Estimator()
    assert estimator.of("run_tile").dsps == 16 * 64
    assert estimator.of("value_pair") == Multipliers(dsps=1)
    assert estimator.of("compare") == Multipliers(luts=64 * 195)
    assert estimator.of("rope").dsps == 4
    assert estimator.of("send_keys").dsps == 4  # ALLOCATION: one rotation for both turns
    assert estimator.of("swiglu").dsps == 32 * estimator.of("silu").dsps + 32


def test_kernels_fit_the_kv260() -> None:
    """In DSP48E2, as 90 % of a device; four heads a pass would not."""
    dsps = sum(m.dsps for _, m, _ in estimate_kernels())
    assert dsps <= 0.9 * 1248
    assert sum(m.dsps for _, m, _ in estimate_kernels(head_group=4)) > 0.9 * 1248


def test_shares_of_a_device() -> None:
    """A resource that a device lacks is used up by the first of it."""
    used = Used(luts=11_712, memory_luts=0, flops=0, blocks=72.0, dsps=1_248, urams=16)
    assert shares_of(used, "KV260") == {"LUT": 0.1, "FF": 0.0, "RAMB36E2": 0.5, "URAM288": 0.25, "DSP48E2": 1.0}
    assert shares_of(used, "ZCU102")["URAM288"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("ultra", "blocks", "urams"), [(1, 0, 8), (0, 64, 0)])
def test_memories_of_a_step(ultra: int, blocks: int, urams: int) -> None:
    """UltraRAM, or block RAM where a device has none."""
    used = synthesise("step_ram", {"Words": 4096, "Ultra": ultra})
    assert (used.blocks, used.urams) == (blocks, urams)
