"""`make hls-coverage`: lines and branches of the HLS kernels that C simulation passes, counted by gcov, and lines that
it does not; out/hls/coverage.json, from which `make verification` takes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from triptych.golden.files import write
from triptych.sim.build.sources import ROOT
from triptych.sim.fastcar.csim import HLS

OUT = ROOT / "out" / "hls"
TESTS = ("tests/hls/test_csim.py",)


def run() -> int:
    """Runs the tests on counting kernels; returns pytest's status."""
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.hls.gcov_plugin", "-p", "no:xdist"]
    command += ["-m", "not slow and not gpu", *(sys.argv[1:] or TESTS)]
    with (OUT / "tests.log").open("w") as log:
        env = {**os.environ, "TRIPTYCH_GCOV": str(OUT)}
        return subprocess.run(command, cwd=ROOT, env=env, stdout=log, check=False).returncode


def counts() -> dict[str, tuple[dict[int, int], dict[tuple[int, int], int]]]:
    """By kernel: executions by line, and by (line, number of the branch) without those of exceptions."""
    found: dict[str, Any] = defaultdict(lambda: (defaultdict(int), defaultdict(int)))
    for data in sorted(OUT.rglob("*.gcda")):
        said = subprocess.run(
            ["gcov", "--json-format", "--stdout", "--branch-probabilities", str(data)],
            cwd=data.parent, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for file in json.loads(said)["files"]:
            path = Path(file["file"]).resolve()
            if not path.is_relative_to(HLS / "kernels"):
                continue
            lines, branches = found[path.name]
            for line in file["lines"]:
                lines[line["line_number"]] += line["count"]
                for n, branch in enumerate(b for b in line["branches"] if not b["throw"]):
                    branches[line["line_number"], n] += branch["count"]
    return dict(found)


def report() -> None:
    """Prints and writes what was counted."""
    rows = {}
    for name, (lines, branches) in sorted(counts().items()):
        missed = sorted(n for n, count in lines.items() if not count)
        rows[name] = {
            "lines": [sum(map(bool, lines.values())), len(lines)],
            "branches": [sum(map(bool, branches.values())), len(branches)], "missed": missed,
        }  # fmt: skip
        print(f"{name}: lines {rows[name]['lines']}, branches {rows[name]['branches']}, missed {missed[:12]}")
    write(OUT / "coverage.json", json.dumps(rows, indent=1) + "\n")


def main() -> None:
    """Runs, and reports."""
    if run():
        raise SystemExit(f"tests failed [{OUT / 'tests.log'}]")
    report()


if __name__ == "__main__":
    main()
