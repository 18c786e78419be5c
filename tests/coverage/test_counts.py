"""Verilator's counts as they lie in its file: merged over instances, sizes and runs; what is waived and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coverage.counts import SUM, Point, Share, by_module, fold, read, simulations
from tests.coverage.machines import MACHINES, bound, rows, seen
from tests.coverage.waivers import WAIVERS, waived
from triptych.sim.build.sources import RTL


def line(file: Path, number: int, kind: str, comment: str, count: int, module: str = "fifo") -> str:
    keys = {"f": str(file), "l": number, "n": 3, "t": kind, "page": f"v_{kind}/{module}", "o": comment, "h": "top.u"}
    return "C '" + "".join(f"\x01{k}\x02{v}" for k, v in keys.items()) + f"' {count}\n"


def test_points_are_added_over_sizes_and_runs(tmp_path: Path) -> None:
    root = tmp_path / "rtl"
    file = root / "common" / "fifo.sv"
    data = tmp_path / "a.dat"
    data.write_text(
        "# SystemC::Coverage-3\n"
        + line(file, 5, "line", "block", 0) + line(file, 5, "line", "block", 2, "fifo__D4")
        + line(file, 7, "branch", "else", 0) + line(file, 9, "toggle", "data_i[3]:0->1", 0)
        + line(tmp_path / "bench.sv", 1, "line", "block", 0)
    )  # fmt: skip
    (tmp_path / "b.dat").write_bytes(data.read_bytes())
    for runs in (2, 3):
        fold(tmp_path)
        assert simulations(tmp_path) == runs
        assert [path.name for path in tmp_path.glob("*.dat")] == [SUM]
        (tmp_path / "c.dat").write_text(line(file, 9, "toggle", "data_i[3]:0->1", 0))
    counts = read(tmp_path / SUM, root)
    assert counts == {
        Point("common/fifo.sv", 5, 3, "line", "block"): 4, Point("common/fifo.sv", 7, 3, "branch", "else"): 0,
        Point("common/fifo.sv", 9, 3, "toggle", "data_i[3]:0->1"): 0,
    }  # fmt: skip
    shares = by_module(counts, {})
    assert shares["fifo"] == shares[""]
    assert [str(s) for s in shares["fifo"].values()] == ["100.0", "0.0", "-", "0.0"]
    assert by_module(counts, {Point("common/fifo.sv", 7, 3, "branch", "else"): "why"})["fifo"]["branch"] == Share(0, 0)


def test_waivers_take_what_nothing_passed_alone() -> None:
    toggle = Point("mem/spad.sv", 1, 1, "toggle", "sram_pins_i.power[0]:0->1")
    passed, other = (
        Point("mem/spad.sv", 1, 1, "toggle", "sram_pins_i.x:0->1"),
        Point("mem/spad.sv", 1, 1, "toggle", "we:0->1"),
    )
    found = waived({toggle: 0, passed: 3, other: 0}, {"mem/spad.sv": ["input pins"]})
    assert found == {toggle: WAIVERS[0].reason}


def test_transitions_are_counted_and_unexpected_ones_end_it(tmp_path: Path) -> None:
    def line(module: str, a: str, b: str, count: int) -> str:
        return f"C '\x01f\x02arcs.sv\x01o\x02arc_{module}_from_{a}_to_{b}\x01h\x02tb.u_chip' {count}\n"

    data = tmp_path / "one.dat"
    data.write_text(
        line("control", "Idle", "Idle", 9)
        + line("control", "Idle", "Running", 2)
        + line("control", "Running", "Done", 0)
    )
    found = seen([data, data])
    assert found["control", "Idle", "Running"] == 4
    first = rows(found)[0]
    assert first[:3] == ["`control`", "2 of 4", "1 of 6"]
    assert "Running to Done" in first[3]
    data.write_text(line("control", "Done", "Trapped", 1))
    with pytest.raises(AssertionError, match="nobody expects"):
        rows(seen([data]))


def test_counters_are_bound_to_the_machines_of_a_build(tmp_path: Path) -> None:
    assert bound([RTL / "common" / "fifo.sv"], tmp_path) == []
    files = bound([RTL / "ctrl" / "control.sv", RTL / "mem" / "dma_setup.sv"], tmp_path)
    assert files[0].read_text().count("bind ") == 2
    for name, machine in MACHINES.items():
        module, end = next(RTL.rglob(f"{name}.sv")), f"}} {machine.name}_e;"
        text = next(t for t in map(Path.read_text, (module, *module.parent.glob("*_pkg.sv"))) if end in t)
        states = text.partition(end)[0].rpartition("typedef enum logic")[2].partition("{")[2]
        codes = [c for s in states.splitlines() if (c := s.partition("//")[0].strip(" ,"))]
        own = machine.name.capitalize()  # `Phase` of PhaseIdle
        assert tuple(c.removeprefix(own) for c in codes) == machine.states, f"{name} has other states now"
