"""What a chip needs beside its function: reset, clock gating, macros in one place, marks in every file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rtl.test_structure import TO_BITS, chip, yosys
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL, packages, parameters

FILES = sorted(p for p in RTL.rglob("*") if p.suffix in {".sv", ".svh", ".rdl", ".vlt"})
GENERATED = {"quartdepth_csr.sv", "quartdepth_csr_pkg.sv"}


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_marks(file: Path) -> None:
    """A licence line first, no implicit nets in a module, no file over 400 lines."""
    text = file.read_text()
    assert text.startswith("// SPDX-License-Identifier: Apache-2.0\n")
    if file.name in GENERATED:
        return
    if file.suffix == ".sv" and "\nmodule " in text:
        assert text.index("\n`default_nettype none\n") < text.index("\nmodule ")
        assert text.endswith("\n`default_nettype wire\n")
    assert len(text.splitlines()) <= 400


@pytest.fixture(scope="module")
def netlist(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The chip with stub engines in flops and gates; memories and clock gates are black boxes."""
    out = tmp_path_factory.mktemp("netlist") / "chip.json"
    commands = [*TO_BITS, f"write_json {out}"]
    yosys("quartdepth", chip(), commands, parameters(chip_config("tiny")), ["ram_1r1w", "clock_gate", "reset_sync"])
    return json.loads(out.read_text())["modules"]["quartdepth"]


def test_every_flop_has_the_synchronised_reset(netlist: dict) -> None:
    """Or none: what resets asynchronously does so by `reset_sync`, and all is clocked by the chip's clock."""
    cells = netlist["cells"].values()
    (sync,) = (c for c in cells if c["type"].startswith("reset_sync"))
    resets = {c["connections"]["R"][0] for c in cells if c["type"].startswith("$_DFF") and "R" in c["connections"]}
    assert resets == {sync["connections"]["rst_no"][0]}
    assert {c["connections"]["C"][0] for c in cells if "DFF" in c["type"]} == set(netlist["ports"]["clk_i"]["bits"])
    assert sync["connections"]["test_en_i"] == netlist["ports"]["test_en_i"]["bits"]


def test_code_tables_are_clocked_from_the_gate(tmp_path: Path) -> None:
    out = tmp_path / "tables.json"
    files = [*packages(), RTL / "common" / "clock_gate.sv", RTL / "common" / "code_tables.sv"]
    yosys("code_tables", files, [*TO_BITS, f"write_json {out}"], {"Tables": 2}, ["clock_gate"])
    module = json.loads(out.read_text())["modules"]["code_tables"]
    (gate,) = (c["connections"] for c in module["cells"].values() if c["type"] == "clock_gate")
    assert gate["en_i"] == module["ports"]["tab_we_i"]["bits"]
    assert gate["test_en_i"] == module["ports"]["test_en_i"]["bits"]
    flops = [c["connections"] for c in module["cells"].values() if "DFF" in c["type"]]
    assert len(flops) == 2 * (5 * 16 + 16 * 15)
    assert all(c["C"] == gate["clk_o"] for c in flops)


def test_no_latch(netlist: dict) -> None:
    assert not [c["type"] for c in netlist["cells"].values() if "LATCH" in c["type"].upper()]


def test_interrupt_is_a_flop(netlist: dict) -> None:
    (irq,) = netlist["ports"]["irq_o"]["bits"]
    assert [c["type"] for c in netlist["cells"].values() if c["connections"].get("Q") == [irq]]


def test_memories_have_the_pins(netlist: dict) -> None:
    """Power and self-test go to every macro straight from the chip's ports."""
    memories = [c for c in netlist["cells"].values() if c["type"].startswith("ram_1r1w")]
    assert len(memories) == 6  # the scratchpad's banks, the queues, what was fetched; the stubs have none
    pins = {bit for name, port in netlist["ports"].items() if name.startswith("sram_pins_i") for bit in port["bits"]}
    assert len(pins) == 7
    assert all(set(c["connections"]["pins_i"]) == pins for c in memories)


def test_cells() -> None:
    """Gate and synchroniser under random enables and resets."""
    run("clock_gate", [RTL / "common" / "clock_gate.sv"], "tests.rtl.cocotb_cells", testcase=["gate"])
    run("reset_sync", [RTL / "common" / "reset_sync.sv"], "tests.rtl.cocotb_cells", testcase=["synchroniser"])
