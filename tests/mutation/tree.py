"""A copy of `rtl/` in which modules hold mutants that are off until they are selected."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.mutation.operators import Mutant, armed
from triptych.golden.files import write
from triptych.sim.build.sources import RTL

SELECTED = "mutant_pkg::selected"

PACKAGE = Path(__file__).parent / "mutant_pkg.sv"

# What the changed expressions may do to widths and constant comparisons is no fault of the design.
LOOSE = ("WIDTHEXPAND", "WIDTHTRUNC", "CMPCONST", "UNSIGNED", "UNOPTFLAT", "LATCH", "SELRANGE", "WIDTHXZEXPAND")


def plant(to: Path, chosen: Mapping[Path, Mapping[int, Mutant]]) -> Path:
    """Copies `rtl/` to `to`, with the chosen mutants (by file, then by their numbers, from 1) in the copies."""
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(RTL, to)
    for path, numbered in chosen.items():
        write(to / path.relative_to(RTL), armed(path.read_text(), numbered, SELECTED))
        shutil.copy(PACKAGE, to / ("fastcar" if path.parent.name == "fastcar" else "pkg"))
    waivers = to / "common" / "waivers.vlt"
    write(waivers, waivers.read_text() + "".join(f"lint_off -rule {rule}\n" for rule in LOOSE))
    return to
