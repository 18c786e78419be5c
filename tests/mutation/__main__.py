"""`make mutate`: which of the small wrong changes to the RTL the tests notice.

A module's mutants, or those drawn from a whole engine (`vpu/`), lie in one build and are chosen when the simulation
starts, so that a mutant costs a run of the module's tests and no build. Results go to out/mutation/MODULE.jsonl and
out/mutation/ENGINE/MODULE.jsonl as they come; what is there is not run again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutation.equivalence import QUICK, equivalent
from tests.mutation.operators import Mutant, mutants
from tests.mutation.refuted import refuted
from tests.mutation.sample import Sample, draw, forked, parser
from tests.mutation.suites import ENGINES, SUITES, Suite
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


class Planted:
    """All mutants of a run in one build, and the seconds that tests may take with one of them."""

    def __init__(self, work: Path, samples: Sequence[Sample]) -> None:
        self.rtl, self.log = work / "rtl", work / "run.log"
        self.samples = samples
        self.limits: dict[tuple[str, ...], float] = {}  # of the stages that something has come to

    def outcome(self, module: str, tests: tuple[str, ...], number: int, first: Sequence[str]) -> str:
        """What becomes of the mutant under these tests."""
        if not self.limits:
            plant(self.rtl, {sample.path: sample.chosen for sample in self.samples})
        if tests not in self.limits:
            self.limits[tests] = limit_of(module, tests, self.rtl, self.log)
        return wait(run_tests(self.rtl, tests, number, self.log, first), self.limits[tests])


def examine(suite: Suite, sample: Sample, stages: Sequence[tuple[str, ...]], planted: Planted) -> Iterator[Row]:
    """The outcome of each mutant, as it comes. stages: groups of tests, one after the other. Proofs go first, then the
    tests that noticed most so far."""
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
            outcome = planted.outcome(suite.module, tests, number, sample.first)
            if outcome != "survived":
                by = reason(planted.log)
                break
            if tests is stages[0]:
                by, certain = refuted(suite, mutant, late=True)
                outcome = "refuted" if certain else "unclosed" if by else outcome
                if not by and equivalent(suite, mutant):
                    outcome = "equivalent"
                if outcome != "survived":
                    break
        yield sample.keep(mutant, outcome, by)


def samples_of(name: str, suites: Sequence[Suite], count: int, seed: int, own: bool) -> list[Sample]:
    """By module what was drawn from all mutants of these together; numbers go on from one to the next."""
    every = [(suite, mutant) for suite in suites for mutant in mutants(suite.path, suite.files(), suite.top)]
    chosen: dict[str, dict[int, Mutant]] = {suite.module: {} for suite in suites}
    for number, (suite, mutant) in enumerate(draw(every, count, seed), 1):
        chosen[suite.module][number] = mutant
    prefix = name if name in ENGINES else ""
    return [
        Sample(prefix + s.module, s.path, chosen[s.module], len(every), len(s.stages[:1] if own else s.stages))
        for s in suites
        if chosen[s.module]
    ]


def main() -> None:
    """Runs what the command line asks for."""
    asking = parser("mutate", __doc__, "module", [*SUITES, *ENGINES], 60)
    asking.add_argument("--own", action="store_true", help="the module's own tests alone, not those of the whole chip")
    asked = asking.parse_args()
    for name in asked.names or SUITES:
        work = build_root() / "mutation" / name
        work.mkdir(parents=True, exist_ok=True)
        suites = ENGINES[name] if name in ENGINES else (SUITES[name],)
        samples = samples_of(name, suites, asked.count, asked.seed, asked.own)
        planted, told = Planted(work, samples), []
        for sample in samples:
            suite = SUITES[sample.path.stem]
            told.append(sample.told(examine(suite, sample, suite.stages[: sample.stages], planted)))
        if name in ENGINES:
            noticed, of, same = (sum(row[k] for row in told) for k in range(3))
            print(f"{name} {noticed} of {of} noticed, {same} equivalent", flush=True)


if __name__ == "__main__":
    main()
