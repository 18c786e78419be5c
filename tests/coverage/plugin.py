"""pytest plugin: models count lines, branches, expressions, toggles and transitions of state machines, and leave their
counts in TRIPTYCH_COVERAGE."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.coverage.counts import fold
from tests.coverage.machines import bound
from triptych.sim.build import cocotb_run, verilate

ALL = ("--coverage-line", "--coverage-toggle", "--coverage-expr", "--coverage-user", "--coverage-max-width", "64")
FLAGS = ("--coverage-user",) if os.environ.get("TRIPTYCH_MACHINES") else ALL  # transitions alone, or everything
COUNTS = Path(os.environ["TRIPTYCH_COVERAGE"])

PARTS = 40

cocotb_run.BUILD_FLAGS = (*cocotb_run.BUILD_FLAGS, *FLAGS)
_scratch, _executable, _model = cocotb_run.scratch, verilate.Build.executable, cocotb_run._model


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
    sources = (*self.sources, *bound(self.sources, COUNTS))
    return _executable(replace(self, sources=sources, flags=(*self.flags, *FLAGS), tune=None))


def _counting_model(top: str, sources: Sequence[Path], parameters: Mapping[str, int], flags: Sequence[str]) -> Path:
    return _model(top, [*sources, *bound(sources, COUNTS)], parameters, flags)


def pytest_runtest_logfinish() -> None:
    """Parts do not pile up."""
    if sum(1 for _ in COUNTS.glob("*.dat")) > PARTS:
        fold(COUNTS)


def pytest_sessionfinish() -> None:
    """What is left."""
    fold(COUNTS)


cocotb_run._model = _counting_model
cocotb_run.scratch = _keeping
verilate.Build.executable = _counting  # type: ignore[method-assign]
