"""pytest plugin: tests see the RTL of the folder that TRIPTYCH_RTL names instead of the repository's.

The folder's files hold many mutants; TRIPTYCH_MUTANT, read by the simulation when it starts, switches one of them on.
TRIPTYCH_FIRST names the tests that noticed most mutants so far, one a line: they run first.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triptych.sim.build import sources

sources.RTL = Path(os.environ["TRIPTYCH_RTL"])
sources.INCLUDES = (sources.RTL / "common",)
sources.WAIVERS = sources.RTL / "common" / "waivers.vlt"
sources.FIRST = ("mutant_pkg.sv", *sources.FIRST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that notice most come first."""
    first = os.environ.get("TRIPTYCH_FIRST", "").splitlines()
    items.sort(key=lambda item: first.index(item.nodeid) if item.nodeid in first else len(first))
