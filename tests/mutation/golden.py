"""`make mutate-golden`: which small wrong changes to golden's integer code the tests notice; as `make mutate` for RTL.

Each mutant is a fork that has PyTorch and NumPy imported already, and imports the code with the mutant in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
from pathlib import Path

import numpy  # noqa: F401  (what forks need not import again)
import pytest
import torch  # noqa: F401

from tests.mutation.harmless import HARMLESS
from tests.mutation.operators import Mutant
from tests.mutation.python import mutants
from tests.mutation.wait import NOTICED, kept, reason, wait
from triptych.golden.files import write
from triptych.sim.build import children
from triptych.sim.build.sources import ROOT
from triptych.sim.cli.progress import console

OUT = ROOT / "out" / "mutation"
GOLDEN = ROOT / "golden" / "quartdepth"
TESTS = ROOT / "tests" / "golden"
MACHINE = ("second", "machine", "machine_layers", "machine_traps", "vectors")
SUITES: dict[str, tuple[Path, tuple[str, ...]]] = {
    "numerics": (GOLDEN / "arithmetic" / "numerics.py", ("second", "numerics", "machine", "sequences")),
    "codetable": (GOLDEN / "arithmetic" / "codetable.py", ("second", "codetable", "codec", "machine")),
    "qparams": (GOLDEN / "network" / "qparams.py", ("quantize", "quantize_edges", "pinned")),
    "machine_mxu": (
        GOLDEN / "chip" / "machine_mxu.py",
        ("second", "machine", "machine_layers", "machine_traps", "vectors"),
    ),
    "machine_vpu": (
        GOLDEN / "chip" / "machine_vpu.py",
        ("second", "machine", "machine_layers", "machine_traps", "vectors"),
    ),
    "schedule": (GOLDEN / "compiler" / "schedule.py", ("tokens", "compiler", "compiler_judged")),
}
"""File and the tests of tests/golden that judge it."""


def run_tests(path: Path, mutant: Mutant | None, tests: tuple[str, ...], log: Path) -> int:
    """Starts the tests with the mutant; returns the process."""
    child = children.fork()
    if child:
        return child
    with log.open("w") as to:
        os.dup2(to.fileno(), 1)
        os.dup2(to.fileno(), 2)
    for name in [n for n in sys.modules if n.startswith("triptych.golden")]:
        del sys.modules[name]  # imported anew, with the mutant
    plugin = []
    if mutant is not None:
        os.environ["TRIPTYCH_PATCH"] = json.dumps([str(path), mutant.start, mutant.end, mutant.text])
        plugin = ["-p", "tests.mutation.patch"]
    arguments = ["-x", "-q", *plugin, "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow and not gpu"]
    status = pytest.main([*arguments, *(str(TESTS / f"test_{name}.py") for name in tests)])
    sys.stdout.flush()
    os._exit(min(int(status), 2) if int(status) != 2 else 1)  # code that cannot even be imported is noticed


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make mutate-golden", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(SUITES)}; all unless named")
    parser.add_argument("--count", type=int, default=30, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    unknown = [m for m in asked.modules if m not in SUITES]
    if unknown:
        parser.error(f"no module {unknown[0]}: one of {', '.join(SUITES)}")
    OUT.mkdir(parents=True, exist_ok=True)
    log = OUT / "golden.log"
    for name in asked.modules or SUITES:
        path, tests = SUITES[name]
        text = path.read_text()
        source = hashlib.sha256(text.encode()).hexdigest()[:16]
        found = mutants(path)
        sample = sorted(random.Random(asked.seed).sample(found, min(asked.count, len(found))))
        file = OUT / f"golden.{name}.jsonl"
        before, rows = kept(file, source, 1), []
        limit = 0.0
        for mutant in sample:
            said = mutant.describe(text)
            why = HARMLESS.get((f"golden.{name}", said.partition(": ")[2]), "")
            if said not in before or (why and before[said]["outcome"] == "survived"):
                if not limit:
                    begin = time.monotonic()
                    assert wait(run_tests(path, None, tests, log), 1200) == "survived", f"{name}: {reason(log)} [{log}]"
                    limit = 4 * (time.monotonic() - begin) + 60
                outcome = "equivalent" if why else wait(run_tests(path, mutant, tests, log), limit)
                row = {"module": f"golden.{name}", "source": source, "of": len(found), "kind": mutant.kind,
                       "said": said, "outcome": outcome, "by": why or reason(log), "stages": 1}  # fmt: skip
                write(file, (file.read_text() if file.exists() else "") + json.dumps(row) + "\n")
                before[said] = row
            rows.append(before[said])
            if rows[-1]["outcome"] not in NOTICED:
                console.print(f"  {rows[-1]['outcome']}: {path.relative_to(ROOT)} {said}", markup=False)
        same = sum(r["outcome"] == "equivalent" for r in rows)
        noticed = sum(r["outcome"] in NOTICED for r in rows)
        print(f"{name}: {noticed} of {len(rows) - same} noticed, {same} equivalent", flush=True)


if __name__ == "__main__":
    main()
