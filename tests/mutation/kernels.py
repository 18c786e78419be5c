"""`make mutate-kernels`: which small wrong changes to the HLS kernels C simulation notices; as `make mutate` for RTL.

A kernel's mutants lie in one build and are chosen as it is loaded. Each is a fork of this process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.mutation.cpp import mutants
from tests.mutation.operators import Mutant, armed
from tests.mutation.wait import NOTICED, Row, kept, reason, wait
from triptych.sim.build import children
from triptych.sim.build.cache import build_root
from triptych.sim.build.sources import ROOT
from triptych.sim.cli.progress import console
from triptych.sim.fastcar import csim

OUT = ROOT / "out" / "mutation"
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
    child = children.fork()
    if child:
        return child
    with log.open("w") as to:
        os.dup2(to.fileno(), 1)
        os.dup2(to.fileno(), 2)
    os.environ.update(TRIPTYCH_MUTANT=str(number), TRIPTYCH_FIRST="\n".join(first))
    real, right = csim.library, csim.HLS

    def library(lanes: int, *, exact: bool = False, hls: Path = right, optimise: str = "-O3") -> Path:
        return real(lanes, exact=exact, hls=planted if hls == right else hls, optimise=optimise)

    planted = hls
    csim.library = library
    arguments = ["-x", "-q", "-p", "tests.mutation.first", "-p", "no:xdist", "-p", "no:cacheprovider", "-k"]
    status = pytest.main([*arguments, f"not ({NOT})", "-m", "not slow and not gpu", TESTS])
    sys.stdout.flush()
    os._exit(int(status))


def examine(name: str, count: int, seed: int, work: Path) -> list[Row]:
    """The outcome of each sampled mutant of a kernel; results are kept as they come."""
    path = csim.HLS / "kernels" / f"{name}.hpp"
    text = path.read_text()
    source = hashlib.sha256(text.encode()).hexdigest()[:16]
    found = mutants(path)
    sample = sorted(random.Random(seed).sample(found, min(count, len(found))))
    file, log = OUT / f"hls.{name}.jsonl", work / "run.log"
    before, rows, limit = kept(file, source, 1), [], 0.0
    killers: Counter[str] = Counter(row["by"] for row in before.values() if row["outcome"] == "killed")
    console.print(f"{name}: {len(sample)} of {len(found)} mutants", highlight=False)
    chosen = dict(enumerate(sample, 1))
    for number, mutant in chosen.items():
        said = mutant.describe(text)
        if said not in before:
            if not limit:
                hls = plant(path, work / "hls", chosen)
                for _ in ("builds", "runs"):
                    begin = time.monotonic()
                    outcome = wait(run_tests(hls, 0, log, []), 1800)
                    assert outcome == "survived", f"{name} without a mutant: {outcome}: {reason(log)} [{log}]"
                limit = 3 * (time.monotonic() - begin) + 20
            outcome = wait(run_tests(hls, number, log, [test for test, _ in killers.most_common()]), limit)
            by = reason(log)
            killers[by] += outcome == "killed"
            if outcome.startswith("broken"):
                outcome = "killed"  # the kernel ended the process
            row: Row = {"module": f"hls.{name}", "source": source, "of": len(found), "kind": mutant.kind, "said": said,
                        "outcome": outcome, "by": by, "stages": 1}  # fmt: skip
            with file.open("a") as to:
                to.write(json.dumps(row) + "\n")
            before[said] = row
        rows.append(before[said])
        if rows[-1]["outcome"] not in NOTICED:
            console.print(f"  {rows[-1]['outcome']}: {path.relative_to(ROOT)} {said}", markup=False)
    return rows


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make mutate-kernels", description=__doc__)
    parser.add_argument("kernels", nargs="*", help=f"of {', '.join(KERNELS)}; all unless named")
    parser.add_argument("--count", type=int, default=30, help="mutants of a kernel")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    unknown = [name for name in asked.kernels if name not in KERNELS]
    if unknown:
        parser.error(f"no kernel {unknown[0]}: one of {', '.join(KERNELS)}")
    OUT.mkdir(parents=True, exist_ok=True)
    for name in asked.kernels or KERNELS:
        work = build_root() / "mutation" / f"hls-{name}"
        work.mkdir(parents=True, exist_ok=True)
        rows = examine(name, asked.count, asked.seed, work)
        print(f"{name}: {sum(row['outcome'] in NOTICED for row in rows)} of {len(rows)} noticed", flush=True)


if __name__ == "__main__":
    main()
