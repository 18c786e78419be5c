"""`make mutate-golden`: which small wrong changes to golden's integer code the tests notice; as `make mutate` for RTL.

Each mutant is a fork that has PyTorch and NumPy imported already, and imports the code with the mutant in it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy  # noqa: F401  (what forks need not import again)
import torch  # noqa: F401

from tests.mutation.operators import Mutant
from tests.mutation.python import mutants
from tests.mutation.sample import OUT, Sample, draw, forked, parser
from tests.mutation.wait import Row, reason, wait
from triptych.sim.build.sources import ROOT

GOLDEN = ROOT / "golden" / "quartdepth"
TESTS = ROOT / "tests" / "golden"
MACHINE = ("second", "machine_blocks", "machine", "machine_layers", "machine_traps", "vectors")
SUITES: dict[str, tuple[Path, tuple[str, ...]]] = {
    "numerics": (GOLDEN / "arithmetic" / "numerics.py", ("second", "numerics", "machine", "sequences")),
    "codetable": (GOLDEN / "arithmetic" / "codetable.py", ("second", "codetable", "codec", "machine")),
    "qparams": (GOLDEN / "network" / "qparams.py", ("quantize", "quantize_edges", "pinned")),
    "machine_mxu": (GOLDEN / "chip" / "machine_mxu.py", MACHINE),
    "machine_vpu": (GOLDEN / "chip" / "machine_vpu.py", MACHINE),
    "schedule": (GOLDEN / "compiler" / "schedule.py", ("tokens", "load_early", "compiler", "compiler_judged")),
}
"""File and the tests of tests/golden that judge it."""


UNREADABLE = 2  # pytest's status where a test file cannot be imported


def run_tests(path: Path, mutant: Mutant | None, tests: tuple[str, ...], log: Path) -> int:
    """Starts the tests with the mutant; returns the process."""

    def prepare() -> None:
        for name in [n for n in sys.modules if n.startswith("triptych.golden")]:
            del sys.modules[name]  # imported anew, with the mutant
        if mutant is not None:
            os.environ["TRIPTYCH_PATCH"] = json.dumps([str(path), mutant.start, mutant.end, mutant.text])

    plugin = [] if mutant is None else ["-p", "tests.mutation.patch"]
    return forked(log, [*plugin, *(str(TESTS / f"test_{name}.py") for name in tests)], prepare)


def examine(sample: Sample, tests: tuple[str, ...]) -> Iterator[Row]:
    """The outcome of each mutant, as it comes."""
    log, limit = OUT / "golden.log", 0.0
    for mutant in sample.chosen.values():
        if known := sample.known(mutant):
            yield known
        elif why := sample.harmless(mutant):
            yield sample.keep(mutant, "equivalent", why)
        else:
            if not limit:
                begin = time.monotonic()
                outcome = wait(run_tests(sample.path, None, tests, log), 1200)
                assert outcome == "survived", f"{sample.name}: {reason(log)} [{log}]"
                limit = 4 * (time.monotonic() - begin) + 60
            outcome = wait(run_tests(sample.path, mutant, tests, log), limit)
            if outcome == f"broken: {UNREADABLE}":
                outcome = "killed"  # code that cannot even be imported is noticed
            yield sample.keep(mutant, outcome, reason(log))


def main() -> None:
    """Runs what the command line asks for."""
    asked = parser("mutate-golden", __doc__, "module", SUITES, 30).parse_args()
    for name in asked.names or SUITES:
        path, tests = SUITES[name]
        found = mutants(path)
        sample = Sample(f"golden.{name}", path, dict(enumerate(draw(found, asked.count, asked.seed), 1)), len(found))
        sample.told(examine(sample, tests))


if __name__ == "__main__":
    main()
