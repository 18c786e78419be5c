"""`make mutate-kernels`: which small wrong changes to the HLS kernels C simulation notices; as `make mutate` for RTL.

A kernel's mutants lie in one build and are chosen as it is loaded. Each is a fork of this process.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.mutation.cpp import mutants
from tests.mutation.operators import Mutant, armed
from tests.mutation.sample import Sample, draw, forked, parser
from tests.mutation.wait import Row, reason, wait
from triptych.sim.build.cache import build_root
from triptych.sim.fastcar import csim

KERNELS = tuple(sorted(path.stem for path in (csim.HLS / "kernels").glob("*.hpp")))
TESTS = "tests/hls/test_csim.py"
NOT = "synthesis or lanes or planted"  # builds of their own, for which one build more would be needed a kernel
SELECTED = "mutant_selected"
MACRO = f"""
#include <cstdlib>
extern "C" {{ int {SELECTED} = std::getenv("TRIPTYCH_MUTANT") ? std::atoi(std::getenv("TRIPTYCH_MUTANT")) : 0; }}
"""


def plant(path: Path, to: Path, chosen: Mapping[int, Mutant]) -> Path:
    """A copy of hls/ with the mutants, off until TRIPTYCH_MUTANT names one."""
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(csim.HLS, to)
    text = armed(path.read_text(), chosen, SELECTED)
    head = f'#pragma once\nextern "C" int {SELECTED};'
    (to / "kernels" / path.name).write_text(text.replace("#pragma once", head, 1))
    main = to / "fastcar.cpp"
    main.write_text(main.read_text() + MACRO)
    return to


def run_tests(hls: Path, number: int, log: Path, first: list[str]) -> int:
    """Starts the tests with one mutant switched on; returns the process."""

    def prepare() -> None:
        os.environ.update(TRIPTYCH_MUTANT=str(number), TRIPTYCH_FIRST="\n".join(first))
        real, right, planted = csim.library, csim.HLS, hls

        def library(lanes: int, *, exact: bool = False, hls: Path = right, optimise: str = "-O3") -> Path:
            return real(lanes, exact=exact, hls=planted if hls == right else hls, optimise=optimise)

        csim.library = library

    return forked(log, ["-p", "tests.mutation.first", "-k", f"not ({NOT})", TESTS], prepare)


def examine(sample: Sample, work: Path) -> Iterator[Row]:
    """The outcome of each mutant, as it comes."""
    log, limit, hls = work / "run.log", 0.0, work / "hls"
    for number, mutant in sample.chosen.items():
        if known := sample.known(mutant):
            yield known
        elif why := sample.harmless(mutant):
            yield sample.keep(mutant, "equivalent", why)
        else:
            if not limit:
                plant(sample.path, hls, sample.chosen)
                for _ in ("builds", "runs"):
                    begin = time.monotonic()
                    outcome = wait(run_tests(hls, 0, log, []), 1800)
                    assert outcome == "survived", f"{sample.name} without a mutant: {outcome}: {reason(log)} [{log}]"
                limit = 3 * (time.monotonic() - begin) + 20
            outcome = wait(run_tests(hls, number, log, sample.first), limit)
            if outcome.startswith("broken"):
                outcome = "killed"  # the kernel ended the process
            yield sample.keep(mutant, outcome, reason(log))


def main() -> None:
    """Runs what the command line asks for."""
    asked = parser("mutate-kernels", __doc__, "kernel", KERNELS, 30).parse_args()
    for name in asked.names or KERNELS:
        path, work = csim.HLS / "kernels" / f"{name}.hpp", build_root() / "mutation" / f"hls-{name}"
        work.mkdir(parents=True, exist_ok=True)
        found = mutants(path)
        sample = Sample(f"hls.{name}", path, dict(enumerate(draw(found, asked.count, asked.seed), 1)), len(found))
        sample.told(examine(sample, work))


if __name__ == "__main__":
    main()
