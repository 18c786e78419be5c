"""Energy: what OpenSTA prints is added up, a part that works takes more than one that waits, counters weigh both."""

from __future__ import annotations

import shutil
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from tests.kit.command import triptych
from tests.rtl.test_timing import PROCESS, queue
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.model import energy
from triptych.sim.model.place import place
from triptych.sim.model.repair import repair
from triptych.sim.model.timing import Placed
from triptych.sim.rtl.run import run_program

PRINTED = """POWER busy 0
     Internal    Switching      Leakage        Total
----------------------------------------------------
 1.000000e-05 1.000000e-06 1.000000e-07 2.000000e-05 p0_c1
 1.000000e-05 1.000000e-06 1.000000e-07 3.000000e-05 p0_c2
POWER busy 1
POWER idle 0
 1.000000e-05 1.000000e-06 1.000000e-07 5.000000e-06 p0_c1
POWER idle 1
DONE
"""


def test_powers_are_added_up() -> None:
    busy, idle = energy.parse_powers(PRINTED, 2)
    assert busy == pytest.approx([0.05, 0.0])  # 50 uW are .05 pJ in a ns
    assert idle == pytest.approx([0.005, 0.0])


@pytest.mark.skipif(util.find_spec("coloquinte") is None, reason="the extra `cost` is not installed")
@pytest.mark.skipif(shutil.which("sta") is None, reason="apt-get install opensta")
def test_work_takes_more_than_waiting(tmp_path: Path) -> None:
    flat, library = queue(tmp_path)
    where = place(flat, library, PROCESS, lambda *_: None)
    clock = flat.ports["clk_i"][1][0]
    assert isinstance(clock, int)
    buffers = repair(flat, where, library, {clock}, PROCESS.node)
    busy, idle = energy.powers(Placed(flat, where, library, PROCESS, buffers, clock), lambda *_: None)
    assert busy[0] > idle[0] >= 0.0


def test_shares_are_the_counters() -> None:
    network = single.matmul(60, 64, 32, Format.UINT4, Format.UINT4, seed=1)
    config = chip_config("small")
    compiled = compile_network(network, config)
    image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions))
    shares = energy.busy_shares(run, ["top", "u_mxu", "u_csr"])
    assert shares == {"top": 0.0, "u_mxu": run.counters["MXU"]["active"] / run.cycles, "u_csr": 1.0}
    least = run.bytes_read + run.bytes_written + run.counters["MXU"]["active"] * config.depth
    assert energy.memory_bytes(run, config) > least


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = triptych(tmp_path, "energy")
    assert done.returncode == 2
    assert "apt-get install opensta" in done.stderr
