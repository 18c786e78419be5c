"""Placement and timing: the netlist keeps its logic, nets are buffered, slow paths are found; what lacks is said."""

from __future__ import annotations

import shutil
from collections import Counter
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from tests.kit.cells import write_cells
from tests.kit.command import triptych
from triptych.sim.build.sources import RTL, packages
from triptych.sim.errors import TriptychError
from triptych.sim.model import place, repair, sta
from triptych.sim.model.flat import Flat, flatten
from triptych.sim.model.liberty import Library, read_library
from triptych.sim.model.mapped import map_units
from triptych.sim.model.netlist import read
from triptych.sim.model.process import PROCESSES, process_of

PLACER = pytest.mark.skipif(util.find_spec("coloquinte") is None, reason="the extra `cost` is not installed")
STA = pytest.mark.skipif(shutil.which("sta") is None, reason="apt-get install opensta")
PROCESS = PROCESSES["NangateOpenCellLibrary"]


def queue(folder: Path) -> tuple[Flat, Library]:
    """A FIFO's cells."""
    library = read_library([write_cells(folder)])
    netlist = read([*packages(), RTL / "common" / "fifo.sv"], "fifo", {"Width": 24, "Depth": 4}, "fifo")
    return flatten(netlist, map_units(netlist, library, lambda *_: None), library), library


def test_cells_of_a_library(tmp_path: Path) -> None:
    library = read_library([write_cells(tmp_path)])
    assert (library.gate, library.voltage, library.time) == (2.0, 1.1, 1e-9)
    assert library.cells["NAND2_X1"].inputs == ["A", "B"]
    assert library.cells["DFF_X1"].next_state == "D"
    assert library.cells["XOR2_X1"].pins["A"].capacitance == 1.0
    assert repair.buffer_cell(library) == ("BUF_X1", "A", "Y")
    assert process_of(library.title) == PROCESS
    with pytest.raises(TriptychError, match="--library: nothing is known"):
        process_of("somebody's")


def test_a_flat_netlist_has_no_chains_of_buffers(tmp_path: Path) -> None:
    flat, library = queue(tmp_path)
    kinds = Counter(cell.kind for cell in flat.cells)
    assert kinds["BUF_X1"] == 0
    assert len(flat.flops(library)) == 24 * 4 + 2 * 3
    driven = Counter(net for cell in flat.cells for pin, net in cell.nets.items() if pin in ("Y", "Q"))
    assert set(driven.values()) == {1}


@PLACER
def test_cells_stand_apart_and_nets_are_buffered(tmp_path: Path) -> None:
    flat, library = queue(tmp_path)
    where = place.place(flat, library, PROCESS, lambda *_: None)
    width = np.array([library.cells[cell.kind].area / PROCESS.row for cell in flat.cells])
    for row in np.unique(np.round(where.y / PROCESS.row, 3)):
        here = np.flatnonzero(np.isclose(where.y / PROCESS.row, row, atol=1e-3))
        here = here[np.argsort(where.x[here])]
        gaps = np.diff(where.x[here]) - (width[here][1:] + width[here][:-1]) / 2
        assert (gaps > -0.02).all()  # the grid's rounding
    clock = flat.ports["clk_i"][1][0]
    assert isinstance(clock, int)
    added = repair.repair(flat, where, library, {clock}, PROCESS.node)
    loads = Counter(net for cell in flat.cells for pin, net in cell.nets.items() if pin not in ("Y", "Q"))
    assert added.count > 0
    assert max(count for net, count in loads.items() if net != clock) <= repair.MOST
    assert len(where.x) == len(flat.cells)


def test_memories_do_not_make_a_strip() -> None:
    """A part whose memory is a hundred times its cells is no longer than the square of both."""
    sides, kept = [100.0, 500.0, 60.0], [1e6, 2e4, 0.0]
    cells, memories = place.floorplan(["spad", "vpu", "csr"], sides, kept)
    every = [*cells, *(m for m in memories if m is not None)]
    assert [m.width * m.height if m else 0.0 for m in memories] == pytest.approx(kept)
    whole = sum(b.width * b.height for b in every)
    for axis, size in (("x", "width"), ("y", "height")):
        far = max(getattr(b, axis) + getattr(b, size) for b in every) - min(getattr(b, axis) for b in every)
        assert far < 2 * whole**0.5
    for n, one in enumerate(every):
        for other in every[:n]:
            apart_x = one.x + one.width <= other.x + 1e-6 or other.x + other.width <= one.x + 1e-6
            apart_y = one.y + one.height <= other.y + 1e-6 or other.y + other.height <= one.y + 1e-6
            assert apart_x or apart_y


@PLACER
@STA
def test_a_slow_path(tmp_path: Path) -> None:
    flat, library = queue(tmp_path)
    where = place.place(flat, library, PROCESS, lambda *_: None)
    clock = flat.ports["clk_i"][1][0]
    assert isinstance(clock, int)
    sta.write_design(flat, where, library, PROCESS, clock, {clock}, tmp_path)
    text = sta.run_sta(tmp_path, library.write(tmp_path), 1.0, ["report_checks -from [get_cells p0_*]"])
    assert "slack" in text
    assert float(text.split("data arrival time")[0].split()[-1]) >= 0.3  # a flop and two gates of .1 ns at least


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd.lib").write_text(write_cells(tmp_path).read_text().replace("NangateOpenCell", "Odd"))
    if shutil.which("sta"):
        done = triptych(tmp_path, "timing", "--library", tmp_path / "odd.lib")
        assert done.returncode == 1
        assert "--library: nothing is known of rows and wires of 'OddLibrary_test'" in done.stderr
    monkeypatch.setenv("PATH", str(tmp_path))
    done = triptych(tmp_path, "timing")
    assert done.returncode == 2
    assert "apt-get install opensta" in done.stderr
