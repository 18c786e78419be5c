"""`make fuzz`: random programs on the chip's RTL and the golden machine until the time is over.

Everything that instructions leave is compared by signature, the memory byte by byte. A program that differs is made
short and kept in tests/rtl/regressions, where `make test` runs it from then on. out/fuzz/log.jsonl has a line a run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass

from tests.kit.random_program import random_program
from tests.rtl.test_chip import compare
from triptych.golden.files import write
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.sim.build.sources import ROOT
from triptych.sim.rtl.run import chip_build

KEPT = ROOT / "tests" / "rtl" / "regressions"
LOG = ROOT / "out" / "fuzz" / "log.jsonl"
LENGTHS = (20, 60, 60, 200, 1000)


@dataclass(frozen=True)
class Case:
    """A random program, and what was wrong with it when it was found."""

    config: str
    seed: int
    trap: str
    length: int
    what: str = ""

    @property
    def instructions(self) -> int:
        """How many it has."""
        return len(random_program(CONFIGS[self.config], self.seed, self.length, Trap[self.trap]).instructions)

    def run(self) -> str:
        """What is wrong, empty when chip and machine agree."""
        try:
            compare(CONFIGS[self.config], self.seed, Trap[self.trap], self.length)
        except AssertionError as error:
            return str(error).strip().splitlines()[0][:300] or "they differ"
        return ""

    def smaller(self) -> Case:
        """The shortest program of this seed, by halves, that is still wrong."""
        low, high, found = 1, self.length, self
        while low < high:
            middle = (low + high) // 2
            tried = Case(self.config, self.seed, self.trap, middle)
            what = tried.run()
            if what:
                found, high = Case(self.config, self.seed, self.trap, middle, what), middle
            else:
                low = middle + 1
        return found


def draw(number: int, configs: list[str]) -> Case:
    """Program `number`: every third ends in a trap."""
    trap = list(Trap)[number // 3 % len(Trap)] if number % 3 == 0 else Trap.NONE
    return Case(configs[number % len(configs)], 1_000_000 + number, trap.name, LENGTHS[number % len(LENGTHS)])


def judge(case: Case) -> tuple[Case, int]:
    """The case with what is wrong with it, made small, and its instructions."""
    what = case.run()
    return (Case(**{**asdict(case), "what": what}).smaller() if what else case), case.instructions


def main() -> int:
    """Runs what the command line asks for; 1 when something differed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--configs", nargs="*", default=["tiny", "small"], choices=list(CONFIGS))
    asked = parser.parse_args()
    for name in asked.configs:
        chip_build(CONFIGS[name]).executable()
    begin, done, wrong, number = time.monotonic(), Counter[str](), [], asked.first
    with multiprocessing.Pool(asked.jobs) as pool:
        while time.monotonic() - begin < 60 * asked.minutes:
            batch = [draw(number + n, asked.configs) for n in range(8 * asked.jobs)]
            for case, instructions in pool.imap_unordered(judge, batch):
                done["programs"] += 1
                done["instructions"] += instructions
                if case.what:
                    wrong.append(case)
                    KEPT.mkdir(parents=True, exist_ok=True)
                    path = KEPT / f"{case.config}-{case.seed}.json"
                    write(path, json.dumps(asdict(case), indent=1) + "\n")
                    print(f"{path.relative_to(ROOT)}: {case.what}", flush=True)
            number += len(batch)
    minutes = (time.monotonic() - begin) / 60
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    row = {"commit": commit.stdout.strip(), "first": asked.first, **done, "differ": len(wrong),
           "minutes": round(minutes, 2), "configs": asked.configs}  # fmt: skip
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a") as log:
        log.write(json.dumps(row) + "\n")
    print(f"{done['programs']} programs, {done['instructions']:,} instructions, {len(wrong)} differ "
          f"({done['instructions'] / minutes:,.0f} instructions a minute)")  # fmt: skip
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
