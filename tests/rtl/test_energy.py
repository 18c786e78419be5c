"""Energy: what OpenSTA prints is added up, what changes more takes more, windows stand for the whole frame."""

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
from triptych.sim.model import energy, gates, switching
from triptych.sim.model.flat import Flat, Instance
from triptych.sim.model.liberty import Cell, Library, Pin
from triptych.sim.model.place import place
from triptych.sim.model.repair import repair
from triptych.sim.model.sta import lengths
from triptych.sim.model.timing import Placed
from triptych.sim.rtl.run import run_program

PRINTED = """POWER 0 0
     Internal    Switching      Leakage        Total
----------------------------------------------------
 1.000000e-05 1.000000e-06 1.000000e-07 2.000000e-05 p0_c1
 1.000000e-05 1.000000e-06 1.000000e-07 3.000000e-05 p0_c2
POWER 0 1
POWER 1 1
 1.000000e-05 1.000000e-06 1.000000e-07 5.000000e-06 p1_c1
DONE
"""

SAIF = r"""(SAIFILE
(DURATION 41)
 (INSTANCE TOP
  (NET
   (clk_i (T0 20) (T1 21) (TZ 0) (TX 0) (TB 0) (TC 1))
  )
  (INSTANCE quartdepth_board
   (INSTANCE u_chip
    (NET
     (irq_o (T0 41) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 0))
    )
    (INSTANCE u_mxu
     (NET
      (row_q\[0\] (T0 21) (T1 20) (TZ 0) (TX 0) (TB 0) (TC 11))
      (row_q\[1\] (T0 31) (T1 10) (TZ 0) (TX 0) (TB 0) (TC 6))
      (sum_q[0]\[0\] (T0 21) (T1 20) (TZ 0) (TX 0) (TB 0) (TC 3))
      (sum_q[0]\[1\] (T0 21) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 0))
      (sum_q[1]\[0\] (T0 21) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 5))
      (sum_q[1]\[1\] (T0 21) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 0))
     )
     (INSTANCE gen_bank[1]
      (NET
       (full_q (T0 41) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 0))
      )
     )
    )
   )
  )
 )
)
"""


def test_powers_are_added_up() -> None:
    # 50 uW are .05 pJ in a ns
    assert np.array(energy.parse_powers(PRINTED, 2, 2)) == pytest.approx(np.array([[0.05, 0.0], [0.0, 0.005]]))


def test_changes_are_those_of_the_window() -> None:
    seen = switching.read_saif(SAIF, 20)
    assert (seen.of("u_mxu.row_q[0]"), seen.of("u_mxu.row_q[1]")) == ((0.5, 0.5), (0.25, 0.25))
    assert seen.of("u_mxu.gen_bank[1].full_q") == (0.0, 0.0)
    # an array of two elements of two bits is four bits of the netlist: the mean of both, bit by bit
    assert seen.of("u_mxu.sum_q[0]") == seen.of("u_mxu.sum_q[2]") == pytest.approx((0.15, 0.25))
    assert seen.of("u_mxu.sum_q[3]") == (0.0, 0.0)
    assert seen.of("u_vpu.row_q[0]") is None
    assert seen.of("clk_i") is None  # of the board


@pytest.mark.skipif(util.find_spec("coloquinte") is None, reason="the extra `cost` is not installed")
@pytest.mark.skipif(shutil.which("sta") is None, reason="apt-get install opensta")
def test_what_changes_takes_more(tmp_path: Path) -> None:
    flat, library = queue(tmp_path)
    where = place(flat, library, PROCESS, lambda *_: None)
    clock = flat.ports["clk_i"][1][0]
    assert isinstance(clock, int)
    buffers = repair(flat, where, library, {clock}, PROCESS.node)
    chip = Placed(flat, where, library, PROCESS, buffers, clock)
    moving, still = energy.powers(chip)
    assert still == [0.0]  # the library of the test has neither leakage nor power of its cells' inside
    wires = lengths(flat, where).sum() * PROCESS.capacitance
    assert moving[0] > 0.5 * 0.5e-3 * library.voltage**2 * wires

    named = {name.split("[")[0] for name in flat.names}
    seen = switching.Switching({name: np.array([[0.25, 0.5]] * 64) for name in named})
    registers, known = switching.rates(flat, library, seen)
    assert known == 1.0
    assert set(registers.values()) == {(0.25, 0.5)}
    (some,) = energy.part_rates(chip, gates.net_rates(flat, library, registers))
    assert 0.1 < some < 0.5
    unknown, none = switching.rates(flat, library, switching.Switching({}))
    assert none == 0.0
    assert energy.part_rates(chip, gates.net_rates(flat, library, unknown)) == [0.0]


FUNCTIONS = {
    "!((A & B) | C)": lambda a, b, c: not ((a and b) or c),
    "(A ^ B) C": lambda a, b, c: (a != b) and c,
    "A' + B * C": lambda a, b, c: not a or (b and c),
    "A ^ B * C": lambda a, b, c: (a != b) and c,
    "!A | 0 | (B' C)": lambda a, b, c: not a or (not b and c),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_cells(function: str) -> None:
    """All eight inputs at once, a bit each."""
    a, b, c = 0b10101010, 0b11001100, 0b11110000
    value = eval(gates.expression(function), {"v": {"A": a, "B": b, "C": c}, "m": 0xFF})
    wanted = [bool(FUNCTIONS[function](a >> i & 1, b >> i & 1, c >> i & 1)) for i in range(8)]
    assert [bool(value >> i & 1) for i in range(8)] == wanted


def test_gates_follow_their_registers() -> None:
    """An AND of a bit at one and a moving one moves as it does; of a bit at zero it stands still; XOR moves with
    either."""
    pins = {"A": Pin("input", 1.0, None), "B": Pin("input", 1.0, None), "Z": Pin("output", 0.0, "A & B")}
    other = {**pins, "Z": Pin("output", 0.0, "A ^ B")}
    cells = {"AND": Cell("AND", 1.0, pins, None, None), "XOR": Cell("XOR", 1.0, other, None, None)}
    library = Library("l", "l", [b""], cells, 1.0, 1e-9)
    flat = Flat(["top"], nets=6)
    for kind, a, b, z in (("AND", 0, 1, 3), ("AND", 0, 2, 4), ("XOR", 3, 0, 5)):
        flat.cells.append(Instance(f"g{z}", kind, 0, {"A": a, "B": b, "Z": z}))
    found = gates.net_rates(flat, library, {0: (0.4, 0.5), 1: (0.0, 1.0), 2: (0.0, 0.0)})
    assert found[0] == pytest.approx(0.4, abs=0.1)
    assert found[3] == found[0]
    assert found[1] == found[2] == found[4] == found[5] == 0.0


def test_windows_stand_for_the_frame() -> None:
    network = single.matmul(60, 64, 32, Format.UINT4, Format.UINT4, seed=1)
    config = chip_config("small")
    compiled = compile_network(network, config)
    image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions))
    chosen = switching.windows(compiled, run)
    assert sum(w.cycles for w in chosen) == pytest.approx(run.cycles)
    for window in chosen:
        assert 0 <= window.begin < window.end <= run.cycles
        assert window.end - window.begin <= switching.CYCLES
    least = run.bytes_read + run.bytes_written + run.counters["MXU"]["active"] * config.depth
    assert energy.memory_bytes(run, config) > least


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = triptych(tmp_path, "energy")
    assert done.returncode == 2
    assert "apt-get install opensta" in done.stderr
