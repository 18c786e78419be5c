"""What the netlist must look like, whatever it computes: drivers, paths through the bus, enables (slang, Yosys)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.build.sources import BOARD, INCLUDES, ROOT, RTL, packages, parameters, sources
from triptych.sim.lint.checks import slang_findings

STUBS = ROOT / "tests" / "rtl" / "stubs"

# Run by a Python of its own: Yosys writes to stdout and ends the process on errors.
WORKER = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1].splitlines():
    ys.run_pass(command, design)
"""
TO_BITS = ("proc", "flatten", "opt -fast", "memory_dff", "memory_map", "simplemap", "splitnets -ports", "opt_clean")


def yosys(
    top: str, files: Sequence[Path], commands: Sequence[str], sizes: Mapping[str, int] | None = None,
    boxes: Sequence[str] = (),
) -> str:  # fmt: skip
    """Reads a design, runs the commands and returns what Yosys said. Raises AssertionError when it fails."""
    options = [*(f"-I {p}" for p in INCLUDES), *(f"-G {k}={v}" for k, v in (sizes or {}).items())]
    options += [f"--blackboxed-module {name}" for name in boxes]
    read = f"read_slang --threads 1 -D SYNTHESIS {' '.join(options)} --top {top} {' '.join(map(str, files))}"
    script = "\n".join([read, f"hierarchy -top {top}", *commands])
    run = subprocess.run([sys.executable, "-c", WORKER, script], capture_output=True, text=True, check=False)
    log = run.stdout + run.stderr
    assert run.returncode == 0, log[-3000:]
    return log


GATE = RTL / "common" / "clock_gate.sv"
TWO_DRIVERS = "\n  always_ff @(posedge clk_i) parameter_o[target_q][0] <= '0;\nendmodule"
PRELOADED = "\n  initial mem[0] = '0;\nendmodule"


@pytest.mark.parametrize(("name", "more"), [("vpu_parameters", TWO_DRIVERS), ("ram_1r1w", PRELOADED)])
def test_a_second_driver_is_seen(name: str, more: str, tmp_path: Path) -> None:
    planted = tmp_path / f"{name}.sv"
    files = [planted if p.stem == name else p for p in [*sources(), BOARD]]
    (original,) = (p for p in sources() if p.stem == name)
    planted.write_text(original.read_text().replace("\nendmodule", more))
    assert "findings in quartdepth_board" in slang_findings("quartdepth_board", files)


def test_parameters_keep_their_flops(tmp_path: Path) -> None:
    """Two buffers of C parameters of 64 bits are as many flops, each with one driver."""
    cols, out = 8, tmp_path / "parameters.json"
    files = [*packages(), RTL / "vpu" / "vpu_pkg.sv", GATE, RTL / "vpu" / "vpu_parameters.sv"]
    commands = ["proc", "opt", "check -assert", "simplemap", f"write_json {out}"]
    log = yosys("vpu_parameters", files, commands, {"Cols": cols}, ["clock_gate"])
    assert "conflicting" not in log
    module = json.loads(out.read_text())["modules"]["vpu_parameters"]
    driven = [c["connections"]["Q"][0] for c in module["cells"].values() if "DFF" in c["type"]]
    held = module["ports"]["parameter_o"]["bits"]
    assert len(held) == len(set(held)) == 2 * 64 * cols
    assert set(held) <= set(driven)
    assert len(driven) == len(set(driven))


def chip() -> list[Path]:
    """The chip with stub engines."""
    stubs = sorted(STUBS.glob("*.sv"))
    return [*sources("common", "mem", "regs", "ctrl"), *stubs, RTL / "top" / "quartdepth.sv"]


def test_no_path_from_bus_to_bus() -> None:
    """No output of a bus depends on an input of a bus in the same cycle (AXI4, A3.2.1)."""
    buses = ("m_axi", "s_axil")
    cones = [c for bus in buses for c in (f"i:{bus}_* %coe*", f"i:{bus}_* %coe* o:m_axi_* o:s_axil_* %u %i")]
    counting = [f"select -count {cone}" for cone in cones]
    log = yosys("quartdepth", chip(), [*TO_BITS, *counting], parameters(chip_config("tiny")), ["ram_1r1w"])
    counts = [int(line.split()[0]) for line in log.splitlines() if line.endswith(" objects.")]
    assert min(counts[-4], counts[-2]) > 100, "the cone of the inputs is empty: the names have changed"
    assert counts[-3] == counts[-1] == 0


def test_a_column_of_the_tile_is_clocked_alone(tmp_path: Path) -> None:
    """No enable clocks more flops than a column has; the swap's are behind a clock gate."""
    depth, cols, out = 16, 8, tmp_path / "tile.json"
    files = [*packages(), GATE, RTL / "mxu" / "mxu_tile.sv"]
    commands = ["proc", "opt", "simplemap", f"write_json {out}"]
    yosys("mxu_tile", files, commands, {"Depth": depth, "Cols": cols}, ["clock_gate"])
    module = json.loads(out.read_text())["modules"]["mxu_tile"]
    (gate,) = (c["connections"] for c in module["cells"].values() if c["type"] == "clock_gate")
    assert gate["en_i"] == module["ports"]["swap_i"]["bits"]
    cells = [c["connections"] for c in module["cells"].values() if "DFF" in c["type"]]
    active = [c for c in cells if c["C"] == gate["clk_o"]]
    assert not any("E" in c for c in active)
    clocked = Counter(c["E"][0] for c in cells if "E" in c)
    assert len(active) == sum(clocked.values()) == 8 * depth * cols
    assert max(clocked.values()) <= 8 * depth


@pytest.mark.parametrize(
    ("module", "gates", "most"), [("vpu_stages", 12, 12), ("vpu_read_port", 2, 8), ("vpu_parameters", 8, 64)]
)
def test_wide_registers_are_clocked_from_gates(module: str, gates: int, most: int, tmp_path: Path) -> None:
    """Each gate opens with the scan's pin and clocks flops without an enable; at most so many flops have one."""
    out = tmp_path / "module.json"
    files = [*packages(), RTL / "vpu" / "vpu_pkg.sv", GATE, RTL / "vpu" / f"{module}.sv"]
    yosys(module, files, ["proc", "opt", "simplemap", f"write_json {out}"], boxes=["clock_gate"])
    found = json.loads(out.read_text())["modules"][module]
    cells = [c for c in found["cells"].values() if c["type"] == "clock_gate"]
    assert len(cells) == gates
    assert all(c["connections"]["test_en_i"] == found["ports"]["test_en_i"]["bits"] for c in cells)
    clocks = {c["connections"]["clk_o"][0] for c in cells}
    flops = [c["connections"] for c in found["cells"].values() if "DFF" in c["type"]]
    assert clocks == {c["C"][0] for c in flops} - set(found["ports"]["clk_i"]["bits"])
    assert not [c for c in flops if c["C"][0] in clocks and "E" in c]
    assert len([c for c in flops if "E" in c]) <= most
