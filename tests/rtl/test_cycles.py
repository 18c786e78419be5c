"""Cycles are exact: twelve layers take what is committed, and a bubble anywhere is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.bench import cycles
from triptych.sim.build.sources import RTL
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import chip_build

PLANTED = {
    "one queue entry less": (
        "common/fifo.sv", "(IndexW + 1)'(Depth);", "(IndexW + 1)'(Width > 70 ? Depth - 1 : Depth);",
    ),
    "one bubble a tile": (
        "mxu/mxu.sv", "!wait_acc && !wait_row;",
        "!wait_acc && !wait_row && !bubble_q;\n  logic bubble_q;\n  `FF(bubble_q, go && beat.swap, 1'b0)",
    ),
    "one LOAD burst under way instead of eight": ("top/quartdepth.sv", "(LoadBursts * LoadBurst)", "(LoadBurst)"),
    "the VPU's reads never go first": ("top/quartdepth.sv", "first[p] = vpu_behind;", "first[p] = 1'b0;"),
    "the VPU's reads always go first": ("top/quartdepth.sv", "first[p] = vpu_behind;", "first[p] = 1'b1;"),
}  # fmt: skip


def test_layers_take_the_committed_cycles() -> None:
    """After a change that is meant: `triptych cycles --commit REASON`."""
    assert cycles.differences(cycles.measure_all(), cycles.committed()) == []


def test_what_is_planted_has_its_place() -> None:
    """The long test below finds all of it; a change that moves a line shows at once."""
    for fault, (place, line, _) in PLANTED.items():
        assert (RTL / place).read_text().count(line) == 1, fault


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_planted(fault: str, tmp_path: Path) -> None:
    """Results stay right, cycles do not; with fewer queue entries than the compiler counts on, a program hangs."""
    place, line, planted = PLANTED[fault]
    path = tmp_path / place.rsplit("/", 1)[1]
    path.write_text((RTL / place).read_text().replace(line, planted))
    build = chip_build(chip_config(cycles.CONFIG))
    build = replace(build, sources=tuple(path if p == RTL / place else p for p in build.sources))
    wanted, found, stopped = cycles.committed(), {}, []
    for name, network in cycles.layers().items():
        try:
            found[name] = cycles.measure(name, network, build)
        except TriptychError as error:
            stopped.append(str(error))
    changed = cycles.differences(found, {name: wanted[name] for name in found})
    assert changed or stopped
    assert all("(the same program)" in line for line in changed)
    assert all("WATCHDOG" in line for line in stopped)
    assert not stopped or fault == "one queue entry less"


def test_a_change_is_committed_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "cycles.json"
    old = cycles.Figures("p", 10, {"MXU": {"active": 6, "empty": 4}})
    new = replace(old, cycles=12, engines={"MXU": {"active": 6, "empty": 6}})
    assert cycles.committed(path) == {}
    cycles.commit({"a": old, "b": old}, "the first", path)
    cycles.commit({"a": new, "b": old}, "a wait", path)
    assert cycles.committed(path) == {"a": new, "b": old}
    assert path.read_text().count('"reason"') == 2
    assert '{"reason": "a wait", "cycles": {"a": [10, 12]}}' in path.read_text()
    assert cycles.differences({"a": old, "c": old}, cycles.committed(path)) == [
        "b: measured no more",
        "a: 12 -> 10 cycles (the same program): MXU empty 6 -> 4",
        "c: 10 cycles, not committed",
    ]
    with pytest.raises(TriptychError, match="the reason"):
        cycles.commit({"a": old}, " ", path)
    path.write_text("<<<<<<< ours\n" + path.read_text())
    with pytest.raises(TriptychError, match="damaged"):
        cycles.committed(path)
