"""`make coverage`: the RTL's tests on models that count, and docs/coverage.md from what they counted."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE

from tests.coverage.counts import KINDS, SUM, Counts, Point, by_module, fold, read, simulations
from tests.coverage.machines import rows as rows_of_machines
from tests.coverage.machines import seen
from tests.coverage.waivers import waived
from triptych.golden.files import write
from triptych.sim.bench.ledger import table
from triptych.sim.build.sources import ROOT, RTL

OUT = ROOT / "out" / "coverage"
PAGE = ROOT / "docs" / "coverage.md"
BENCHES = ("arith", "chip", "code_tables", "control", "counters", "decode", "dma", "fifo", "mxu", "queues", "spad",
           "vpu", "vpu_layers", "write_order")  # fmt: skip
LONG = ("tests/rtl/test_limits.py::test_a_token_count_never_wraps",)  # what make test leaves out
FASTCAR = ("core", "faults", "step", "step_limits", "step_registers", "step_turns", "twins", "units", "walks")
TESTS = (*(f"tests/rtl/test_{name}.py" for name in BENCHES), "tests/uvm/test_uvm.py",
         *(f"tests/rtl/fastcar/test_{name}.py" for name in FASTCAR))  # fmt: skip
MACHINE_TESTS = (
    "tests/rtl/test_control.py",
    "tests/rtl/test_dma.py",
    "tests/rtl/test_vpu.py",
    "tests/rtl/test_vpu_layers.py",
    "tests/rtl/fastcar/test_step.py",
)
SHOWN = 12  # places that nothing passed, by module, in the list of what is missing


def collect(tests: tuple[str, ...], out: Path = OUT, marked: str = "not slow and not gpu", **environment: str) -> int:
    """Runs the tests, whose progress goes to stderr and into the log; returns pytest's status. Counts of earlier runs
    stay, so that runs add up."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.coverage.plugin", "-p", "no:xdist"]
    env = {**os.environ, "TRIPTYCH_COVERAGE": str(out), **environment}
    command += ["-m", marked, *tests]
    with (out / "tests.log").open("ab") as log, subprocess.Popen(command, cwd=ROOT, env=env, stdout=PIPE) as running:
        assert running.stdout is not None
        for part in iter(lambda: running.stdout.read1(), b""):  # type: ignore[union-attr]
            for to in (log, sys.stderr.buffer):
                to.write(part)
                to.flush()
    return running.returncode


def forget(out: Path) -> None:
    """Removes the counts and the log of earlier runs, which may be of another text of the RTL."""
    for path in (*out.glob("*.dat"), out / "tests.log"):
        path.unlink(missing_ok=True)


NAMES = {"line": "lines", "branch": "branches", "expr": "expressions", "toggle": "toggles"}


def rows_of(counts: Counts, reasons: Mapping[Point, str], whole: str) -> list[list[str]]:
    """Of a table: a module each, and all of them, which the last row calls `whole`."""
    rows = [
        [
            f"`{module}`" if module else f"**{whole}**",
            *(str(share[kind]) for kind in KINDS),
            str(sum(s.of for s in share.values())),
        ]
        for module, share in by_module(counts, reasons).items()
    ]
    return rows[1:] + rows[:1]


def page(folder: Path) -> str:
    """docs/coverage.md, from the sum in a folder."""
    held = folder / SUM
    counts = read(held)
    counts = {p: n for p, n in counts.items() if (RTL / p.place).exists() and not p.place.startswith("regs/")}
    text_of = {place: (RTL / place).read_text().splitlines() for place in {p.place for p in counts}}
    reasons = waived(counts, text_of)
    fastcar = {p: n for p, n in counts.items() if p.place.startswith("fastcar/")}
    chip = {p: n for p, n in counts.items() if p not in fastcar}
    header = ["module", *(NAMES[k] for k in KINDS), "points"]
    missed = Counter((p.module, p.kind) for p, n in counts.items() if not n and p not in reasons)
    lists = []
    for module in sorted({m for m, _ in missed}):
        places = [
            p for p, n in counts.items() if not n and p not in reasons and p.module == module and p.kind != "toggle"
        ]
        shown = [f"{p.line} ({p.kind}{': ' + p.comment if p.kind == 'expr' else ''})" for p in sorted(places)[:SHOWN]]
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        if shown:
            lists.append(f"- `{module}`: {', '.join(shown)}{more}")
    why = Counter(reasons.values())
    whole = b"uvm/tb.sv" in held.read_bytes()
    return "\n".join([
        "# Structural coverage", "",
        "*Written by `make coverage`; do not edit.*", "",
        f"What Verilator counts in the RTL while the tests run, merged over {simulations(folder):,} simulations: the "
        f"blocks' benches{', and the whole chip under pyuvm' if whole else ' alone, without the whole chip'}. "
        "Per cent of points that some test passed, without waived ones; the "
        "registers that PeakRDL generates are left out.", "",
        table(header, rows_of(chip, reasons, "all")), "",
        "FastCar:", "", table(header, rows_of(fastcar, reasons, "FastCar")), "",
        "State machines: states that were reached, transitions that happened of those that can (by hand, from the RTL; "
        "any other would have ended this run).", "",
        table(["machine", "states", "transitions", "missing"], rows_of_machines(seen([held]))), "",
        f"Waived: {len(reasons)} of {len(counts)} points, by reason:", "",
        *[f"- {n}: {reason}" for reason, n in why.most_common()], "",
        "Lines, branches and expressions that no test passes, by line of the file:", "",
        *(lists or ["- none"]), "",
    ])  # fmt: skip


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make coverage", description=__doc__)
    parser.add_argument("tests", nargs="*", help="pytest's names, whose counts are added to those that are there; "
                        "without, the RTL's benches and the chip's slice, from nothing")  # fmt: skip
    parser.add_argument("--page-only", action="store_true", help="write the page from the counts that are there")
    parser.add_argument("--machines", action="store_true", help="transitions of state machines alone, quickly")
    asked = parser.parse_args()
    if not asked.page_only and not asked.tests:
        forget(OUT / "machines" if asked.machines else OUT)
    if asked.machines:
        if collect(tuple(asked.tests) or MACHINE_TESTS, OUT / "machines", TRIPTYCH_MACHINES="1"):
            raise SystemExit(f"tests failed [{OUT / 'machines' / 'tests.log'}]")
        found = rows_of_machines(seen((OUT / "machines").glob("*.dat")))
        write(OUT / "machines.json", json.dumps(found) + "\n")
        print("\n".join(" | ".join(row) for row in found))
        return
    status = 0 if asked.page_only else collect(tuple(asked.tests) or TESTS)
    if not status and not asked.page_only and not asked.tests:
        status = collect(LONG, marked="slow")
    if status:
        raise SystemExit(f"tests failed: the page is not written [{OUT / 'tests.log'}]")
    fold(OUT)
    if not simulations(OUT):
        raise SystemExit(f"no counts in {OUT}: run without --page-only")
    write(PAGE, page(OUT))
    print(f"{PAGE.relative_to(ROOT)} from {simulations(OUT)} simulations")


if __name__ == "__main__":
    main()
