"""pytest plugin: models count lines, branches, expressions and toggles, and leave their counts in TRIPTYCH_COVERAGE.

Not finite state machines: `--coverage-fsm` of Verilator 5.048 ends with an internal error on this RTL.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from triptych.sim.build import cocotb_run, verilate

FLAGS = ("--coverage-line", "--coverage-toggle", "--coverage-expr", "--coverage-max-width", "64")
COUNTS = Path(os.environ["TRIPTYCH_COVERAGE"])

cocotb_run.BUILD_FLAGS = (*cocotb_run.BUILD_FLAGS, *FLAGS)
_scratch, _executable = cocotb_run.scratch, verilate.Build.executable


@contextmanager
def _keeping() -> Iterator[Path]:
    """cocotb's simulations run, and leave their counts, in the scratch folder."""
    with _scratch() as held:
        try:
            yield held
        finally:
            for path in held.rglob("coverage.dat"):
                shutil.copy(path, COUNTS / f"{uuid.uuid4().hex}.dat")


def _counting(self: verilate.Build) -> Path:
    return _executable(replace(self, flags=(*self.flags, *FLAGS), tune=None))


cocotb_run.scratch = _keeping
verilate.Build.executable = _counting  # type: ignore[method-assign]
