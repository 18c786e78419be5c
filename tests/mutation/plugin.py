"""pytest plugin: tests see the RTL of the folder that TRIPTYCH_RTL names instead of the repository's.

The folder's files hold many mutants; TRIPTYCH_MUTANT, read by the simulation when it starts, switches one of them on.
TRIPTYCH_FIRST names the tests that noticed most mutants so far, one a line: they run first.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.mutation.first import pytest_collection_modifyitems  # noqa: F401  (a hook)
from triptych.sim.build import sources

sources.RTL = Path(os.environ["TRIPTYCH_RTL"])
sources.INCLUDES = (sources.RTL / "common",)
sources.WAIVERS = sources.RTL / "common" / "waivers.vlt"
sources.FIRST = ("mutant_pkg.sv", *sources.FIRST)
