"""Libraries of several files: read as one, given to the mapper as one, whatever lies in which file."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.cells import write_cells
from triptych.sim.build.sources import RTL, packages
from triptych.sim.errors import TriptychError
from triptych.sim.model.liberty import Library, read_library
from triptych.sim.model.mapped import map_units
from triptych.sim.model.netlist import read


def split(folder: Path) -> list[Path]:
    """The test's cells in two files: what has one input, and no semicolon behind its area; all else."""
    lines = write_cells(folder).read_text().splitlines()
    head = next(i for i, line in enumerate(lines) if line.lstrip().startswith("cell"))
    cells = re.split(r"(?=^\s*cell\b)", "\n".join(lines[head:-1]), flags=re.MULTILINE)
    single = [cell for cell in cells if re.match(r"\s*cell\s*\((INV|BUF)_", cell)]
    assert single
    parts = {
        "single.lib": [re.sub(r"(area\s*:\s*[\d.]+)\s*;", r"\1\n", cell) for cell in single],
        "others.lib": [cell for cell in cells if cell not in single],
    }
    for name, own in parts.items():
        (folder / name).write_text("\n".join([*lines[:head], *own, "}"]))
    return [folder / name for name in parts]


def gates(library: Library) -> Counter[str]:
    """Cells of a FIFO."""
    netlist = read([*packages(), RTL / "common" / "fifo.sv"], "fifo", {"Width": 8, "Depth": 2}, "fifo")
    units = map_units(netlist, library, lambda *_: None)
    return Counter(gate.kind for unit in units.values() for gate in unit.gates)


def test_inverters_in_a_file_of_their_own(tmp_path: Path) -> None:
    whole = read_library([write_cells(tmp_path)])
    parts = read_library(split(tmp_path))
    assert parts.cells == whole.cells
    assert gates(parts) == gates(whole)


def test_files_that_contradict_each_other(tmp_path: Path) -> None:
    single, others = split(tmp_path)
    other = single.read_text().replace(
        "nom_voltage : 1.1;", "nom_voltage : 1.1; lu_table_template (t) { index_1 (%s); }"
    )
    single.write_text(other % '"1, 2"')
    assert b"lu_table_template (t)" in read_library([others, single]).write_merged(tmp_path).read_bytes()
    third = tmp_path / "third.lib"
    third.write_text(other % '"1, 3"')
    with pytest.raises(TriptychError, match="a lu_table_template t each, and these differ"):
        read_library([others, single, third]).write_merged(tmp_path)
