"""`make mutate`: which of the small wrong changes to the RTL the tests notice.

A module's mutants lie in one build and are chosen when the simulation starts, so that a mutant costs a run of the
module's tests and no build. Results go to out/mutation/MODULE.jsonl as they come; what is there is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.mutation.equivalence import QUICK, equivalent
from tests.mutation.harmless import HARMLESS
from tests.mutation.operators import mutants
from tests.mutation.refuted import refuted
from tests.mutation.suites import SUITES, Suite
from tests.mutation.tree import plant
from tests.mutation.wait import NOTICED, Row, kept, reason, wait
from triptych.sim.build import children
from triptych.sim.build.cache import build_root
from triptych.sim.build.sources import ROOT
from triptych.sim.cli.progress import console

OUT = ROOT / "out" / "mutation"
SLACK = 60.0  # seconds that a mutant may take beyond four times what the design takes: then it hangs, and is noticed


def run_tests(rtl: Path, tests: tuple[str, ...], number: int, log: Path, first: Sequence[str] = ()) -> int:
    """Starts the tests with one mutant switched on; returns the process, a fork that has everything imported.
    first: the tests that go before the others."""
    child = children.fork()
    if child:
        return child
    with log.open("w") as to:
        os.dup2(to.fileno(), 1)
        os.dup2(to.fileno(), 2)
    os.environ.update(TRIPTYCH_RTL=str(rtl), TRIPTYCH_MUTANT=str(number), TRIPTYCH_FIRST="\n".join(first))
    arguments = ["-x", "-q", "-p", "tests.mutation.plugin", "-p", "no:xdist", "-p", "no:cacheprovider"]
    status = pytest.main([*arguments, "-m", "not slow and not gpu", *tests])
    sys.stdout.flush()
    os._exit(int(status))


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


def examine(suite: Suite, count: int, seed: int, work: Path, own: bool = False) -> Iterator[Row]:
    """The outcome of each sampled mutant of one module, in the order of the file; results are kept as they come.
    own: the module's own tests are all that is tried. Proofs go first, then the tests that noticed most so far."""
    text = suite.path.read_text()
    source = hashlib.sha256(text.encode()).hexdigest()[:16]
    found = mutants(suite.path, suite.files(), suite.top)
    sample = sorted(random.Random(seed).sample(found, min(count, len(found))))
    chosen = dict(enumerate(sample, 1))
    file, log = OUT / f"{suite.module}.jsonl", work / "run.log"
    stages = suite.stages[:1] if own else suite.stages
    before = kept(file, source, len(stages))
    console.print(f"{suite.module}: {len(sample)} of {len(found)} mutants", highlight=False)
    rtl = work / "rtl"
    limits: dict[tuple[str, ...], float] = {}  # of the stages that something has come to
    killers: Counter[str] = Counter(row["by"] for row in before.values() if row["outcome"] == "killed")
    for number, mutant in chosen.items():
        said = mutant.describe(text)
        why = HARMLESS.get((suite.module, said.partition(": ")[2]))
        if said in before and not (why and before[said]["outcome"] == "survived"):
            yield before[said]
            continue
        by, certain = (why, False) if why else refuted(suite, mutant)
        outcome = "refuted"
        if not certain:
            outcome = "equivalent" if why or equivalent(suite, mutant, QUICK) else "unclosed" if by else "survived"
        for tests in stages if outcome == "survived" else ():
            if not limits:
                plant(rtl, suite.path, chosen)
            if tests not in limits:
                limits[tests] = limit_of(suite.module, tests, rtl, log)
            first = [name for name, _ in killers.most_common()]
            outcome = wait(run_tests(rtl, tests, number, log, first), limits[tests])
            if outcome != "survived":
                by = reason(log)
                killers[by] += 1
                break
            if tests is stages[0]:
                by, certain = refuted(suite, mutant, late=True)
                outcome = "refuted" if certain else "unclosed" if by else outcome
                if not by and equivalent(suite, mutant):
                    outcome = "equivalent"
                if outcome != "survived":
                    break
        row: Row = {"module": suite.module, "source": source, "of": len(found), "kind": mutant.kind, "said": said,
                    "outcome": outcome, "by": by, "stages": len(stages)}  # fmt: skip
        with file.open("a") as to:
            to.write(json.dumps(row) + "\n")
        yield row


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(SUITES)}; all unless named")
    parser.add_argument("--count", type=int, default=60, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--own", action="store_true", help="the module's own tests alone, not those of the whole chip")
    asked = parser.parse_args()
    unknown = [m for m in asked.modules if m not in SUITES]
    if unknown:
        parser.error(f"no module {unknown[0]}: one of {', '.join(SUITES)}")
    OUT.mkdir(parents=True, exist_ok=True)
    for name in asked.modules or SUITES:
        suite = SUITES[name]
        work = build_root() / "mutation" / name
        work.mkdir(parents=True, exist_ok=True)
        rows = []
        for row in examine(suite, asked.count, asked.seed, work, asked.own):
            rows.append(row)
            if row["outcome"] not in NOTICED:
                console.print(f"  {row['outcome']}: {suite.path.relative_to(ROOT)} {row['said']}", markup=False)
        noticed = sum(row["outcome"] in NOTICED for row in rows)
        same = sum(row["outcome"] == "equivalent" for row in rows)
        print(f"{name}: {noticed} of {len(rows) - same} noticed, {same} equivalent", flush=True)


if __name__ == "__main__":
    main()
