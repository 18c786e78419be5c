"""The HLS kernels behind AXI-Streams in Verilator, driven by pyuvm: functional co-simulation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from triptych.sim.build import cocotb_run
from triptych.sim.fastcar.cosim import SHELL, link_flags
from triptych.sim.fastcar.csim import library

LANES = 4


def run(testcase: str, inputs: int, outputs: int, shell: Path = SHELL, **options: object) -> None:
    path = library(LANES)
    chosen = {"lanes": LANES, "library": str(path), "gap": 0.3, "stall": 0.3, **options}
    cocotb_run.run(
        "cosim_shell", [shell], "tests.hls.cocotb_kernels", {"Inputs": inputs, "Outputs": outputs},
        testcase=[testcase], env={"COSIM_OPTIONS": json.dumps(chosen)}, flags=link_flags(path),
        power_on=False,  # the shell's variables are no flops: some hold what C++ gave them
    )  # fmt: skip


def test_lane_array() -> None:
    run("LaneArray", 5, 1, cases=6, weights_depth=8)


@pytest.mark.parametrize(("rows", "steps"), [(3, 2), pytest.param(8, 12, marks=pytest.mark.slow)])
def test_system(rows: int, steps: int) -> None:
    run("System", 3, 3, rows=rows, steps=steps)


def test_deadlock_fails_at_once() -> None:
    run("Deadlock", 3, 3)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("if (m_tvalid[o] && m_tready[o]) cosim_pop(o);", "if (m_tvalid[o]) cosim_pop(o);"),
        ("s_tready[i] <= running && cosim_room(i) != 0;", "s_tready[i] <= running;"),
    ],
    ids=["output", "input"],
)
def test_a_dropped_back_pressure_cycle_is_caught(right: str, wrong: str, tmp_path: Path) -> None:
    text = SHELL.read_text()
    assert text.count(right) == 1
    broken = tmp_path / SHELL.name
    broken.write_text(text.replace(right, wrong))
    with pytest.raises(AssertionError, match=r"before ready|differ|elements|no ap_done"):
        run("LaneArray", 5, 1, shell=broken, cases=2, weights_depth=2, gap=0.0, stall=0.9)
