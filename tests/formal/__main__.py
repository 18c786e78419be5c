"""`make formal`: all proofs, what they must reach and what must refute them; out/formal/run.json says how many there
were and how long they took, and is where `make verification` takes it from."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

import pytest

from triptych.golden.files import write
from triptych.sim.build.sources import ROOT

OUT = ROOT / "out" / "formal" / "run.json"


class Count:
    """pytest plugin: how many tests passed."""

    passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.when == "call" and report.passed


def main() -> int:
    """Runs them without verdicts of earlier runs; pytest's status. What fails leaves no file."""
    count, begin, used = Count(), time.monotonic(), os.times()
    with tempfile.TemporaryDirectory(prefix="triptych-") as folder:
        os.environ["TRIPTYCH_BUILD"] = folder
        status = pytest.main(["-p", "no:xdist", str(ROOT / "tests" / "formal"), *sys.argv[1:]], plugins=[count])
    if status == 0:
        now = os.times()
        row = {
            "checks": count.passed, "minutes": round((time.monotonic() - begin) / 60, 1),
            "cpu_minutes": round((now.children_user + now.children_system - used.children_user) / 60, 1),
        }  # fmt: skip
        OUT.parent.mkdir(parents=True, exist_ok=True)
        write(OUT, json.dumps(row) + "\n")
        print(f"{row['checks']} checks in {row['minutes']} minutes ({row['cpu_minutes']} of the processor)")
    return int(status)


if __name__ == "__main__":
    raise SystemExit(main())
