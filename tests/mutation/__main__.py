"""`make mutate`: which of the small wrong changes to the RTL the tests notice.

A module's mutants lie in one build and are chosen when the simulation starts, so that a mutant costs a run of the
module's tests and no build. Results go to out/mutation/MODULE.jsonl as they come; what is there is not run again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutation.equivalence import QUICK, equivalent
from tests.mutation.operators import mutants
from tests.mutation.refuted import refuted
from tests.mutation.sample import Sample, forked, parser
from tests.mutation.suites import SUITES, Suite
from tests.mutation.tree import plant
from tests.mutation.wait import Row, reason, wait
from triptych.sim.build.cache import build_root

SLACK = 60.0  # seconds that a mutant may take beyond four times what the design takes: then it hangs, and is noticed


def run_tests(rtl: Path, tests: tuple[str, ...], number: int, log: Path, first: Sequence[str] = ()) -> int:
    """Starts the tests with one mutant switched on; returns the process, a fork that has everything imported.
    first: the tests that go before the others."""

    def prepare() -> None:
        os.environ.update(TRIPTYCH_RTL=str(rtl), TRIPTYCH_MUTANT=str(number), TRIPTYCH_FIRST="\n".join(first))

    return forked(log, ["-p", "tests.mutation.plugin", *tests], prepare)


def limit_of(module: str, tests: tuple[str, ...], rtl: Path, log: Path) -> float:
    """Builds what the tests need; returns the seconds after which a mutant counts as hanging.

    Raises AssertionError when the tests fail without a mutant.
    """
    taken = 0.0
    for _ in ("builds", "runs"):
        begin = time.monotonic()
        outcome = wait(run_tests(rtl, tests, 0, log), 3600)
        assert outcome == "survived", f"{module} without a mutant: {outcome}: {reason(log)} [{log}]"
        taken = time.monotonic() - begin
    return 4 * taken + SLACK


def examine(suite: Suite, sample: Sample, stages: Sequence[tuple[str, ...]], work: Path) -> Iterator[Row]:
    """The outcome of each mutant, as it comes. stages: groups of tests, one after the other. Proofs go first, then the
    tests that noticed most so far."""
    rtl, log = work / "rtl", work / "run.log"
    limits: dict[tuple[str, ...], float] = {}  # of the stages that something has come to
    for number, mutant in sample.chosen.items():
        if known := sample.known(mutant):
            yield known
            continue
        if why := sample.harmless(mutant):
            yield sample.keep(mutant, "equivalent", why)
            continue
        by, certain = refuted(suite, mutant)
        outcome = "refuted"
        if not certain:
            outcome = "equivalent" if equivalent(suite, mutant, QUICK) else "unclosed" if by else "survived"
        for tests in stages if outcome == "survived" else ():
            if not limits:
                plant(rtl, suite.path, sample.chosen)
            if tests not in limits:
                limits[tests] = limit_of(suite.module, tests, rtl, log)
            outcome = wait(run_tests(rtl, tests, number, log, sample.first), limits[tests])
            if outcome != "survived":
                by = reason(log)
                break
            if tests is stages[0]:
                by, certain = refuted(suite, mutant, late=True)
                outcome = "refuted" if certain else "unclosed" if by else outcome
                if not by and equivalent(suite, mutant):
                    outcome = "equivalent"
                if outcome != "survived":
                    break
        yield sample.keep(mutant, outcome, by)


def main() -> None:
    """Runs what the command line asks for."""
    asking = parser("mutate", __doc__, "module", SUITES, 60)
    asking.add_argument("--own", action="store_true", help="the module's own tests alone, not those of the whole chip")
    asked = asking.parse_args()
    for name in asked.names or SUITES:
        suite, work = SUITES[name], build_root() / "mutation" / name
        work.mkdir(parents=True, exist_ok=True)
        stages = suite.stages[:1] if asked.own else suite.stages
        found = mutants(suite.path, suite.files(), suite.top)
        sample = Sample(name, suite.path, found, asked.count, asked.seed, len(stages))
        sample.told(examine(suite, sample, stages, work))


if __name__ == "__main__":
    main()
