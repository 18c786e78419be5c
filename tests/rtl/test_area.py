"""Area: units are found once, their numbers add up, and a netlist that is not the design is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.sim.build.sources import RTL, packages
from triptych.sim.errors import TriptychError
from triptych.sim.model import area
from triptych.sim.model.netlist import Memory, Netlist, elaborate, read
from triptych.sim.model.place import macro_area
from triptych.sim.model.yosys import check_log

WALK = RTL / "mem" / "dma_walk.sv"
PLANTED = {
    "one driver too many": "  always_ff @(posedge clk_i) active_q <= 1'b0;",
    "a driver of a port": "  assign space_o = 2'd1;",
    "a latch": "  logic [1:0] kept; always @* if (load) kept = space_q; assign space_o = kept;",
    "a net that nobody drives": "  logic nobody; logic [1:0] other_q; `FFLNR(other_q, {other_q[0], nobody}, 1'b1)\n"
    "  assign space_o = other_q;",
}  # fmt: skip
FAULTS = {"a latch": "a latch: .*kept", "a net that nobody drives": "a net without a driver: .*nobody"}


def walk(folder: Path, more: str = "", without: str = "") -> Netlist:
    """dma_walk with more text at its end, and a line less."""
    planted = folder / "dma_walk.sv"
    text = WALK.read_text()
    assert without in text
    planted.write_text(text.replace(without, "").replace("endmodule", f"{more}\nendmodule"))
    return read([*packages(), planted], "dma_walk", {}, "dma_walk")


def test_a_unit_has_cells(tmp_path: Path) -> None:
    netlist = walk(tmp_path)
    cells = area.synthesise(netlist, netlist.top)
    assert cells["flops"] == 1 + 2 + 1 + 16 + 5 * 20  # active, space, first, rows; five words
    assert cells["area"] > area.FLOP_TRANSISTORS * cells["flops"]


@pytest.mark.parametrize("name", PLANTED)
def test_a_netlist_that_is_not_the_design_is_refused(name: str, tmp_path: Path) -> None:
    without = "  assign space_o  = space_q;" if name in FAULTS else ""

    def measure() -> None:
        netlist = walk(tmp_path, PLANTED[name], without)
        area.synthesise(netlist, netlist.top)

    with pytest.raises(TriptychError, match=f"dma_walk.*{FAULTS.get(name, 'driver')}"):
        measure()


@pytest.mark.parametrize(
    "line",
    [
        "Warning: multiple conflicting drivers for dma_walk.\\active_q:",
        "Warning: Driver-driver conflict for \\a between cell $b.Q and constant 1'0 in c: Resolved using constant.",
        "Warning: Wire dma_walk.\\nobody is used but has no driver.",
        "Latch inferred for signal `\\dma_walk.\\kept' from process `$proc': $auto$1",
        "Warning: found logic loop in module dma_walk:",
        "Warning: Resizing cell port dma_walk.u_ram.rdata_o from 1024 bits to 256 bits.",
    ],
)
def test_what_yosys_only_mentions_is_a_fault(line: str) -> None:
    with pytest.raises(TriptychError, match="dma_walk has"):
        check_log(f"3. Executing PROC\nNo latch inferred for signal `\\a'.\n{line}\ndone", "dma_walk")


def test_units_are_shared_and_memories_counted() -> None:
    config = CONFIGS["tiny"]
    netlist = elaborate(config)
    modules = [unit.module for unit in netlist.units.values()]
    assert modules.count("dma_walk") == modules.count("dma_setup") == modules.count("engine_queues") == 1
    used = [name for unit in netlist.units.values() for _, name in unit.children]
    assert len(used) > len(set(used))
    spad = next(unit for unit in netlist.units.values() if unit.module == "spad")
    assert [m for _, m in spad.memories] == [Memory(config.spad_words // 4, 8 * config.depth)] * 4
    sums = next(name for name, unit in netlist.units.items() if unit.module == "mxu_acc")
    wide = 32 * config.cols
    assert f"wire width {wide} output 6 \\rdata_o" in netlist.source(sums), "the box has the memory's own width"
    assert area.synthesise(netlist, sums)["flops"] > wide, "what leaves the accumulators stands in flip-flops"
    assert macro_area(Memory(1024, 32)) == pytest.approx(1.3 * 16406.082)
