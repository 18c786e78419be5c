"""`make planted`: bugs written by hand are planted one by one; which tests notice them?

Each is a tree of its own, so that widths and whole statements may change; results go to out/mutation/planted.jsonl as
they come, and what is there for the same bug and the same RTL is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from subprocess import STDOUT, TimeoutExpired

from tests.mutation.fresh import FRESH
from tests.mutation.holes import HOLES
from tests.mutation.independent import INDEPENDENT
from tests.mutation.moments import MOMENTS
from tests.mutation.planted import Bug
from tests.mutation.refuted import proofs_of
from tests.mutation.suites import CHIP, STEP, suite_of
from triptych.golden.files import write
from triptych.sim.build import children
from triptych.sim.build.cache import build_root
from triptych.sim.build.sources import ROOT, RTL
from triptych.sim.cli.progress import console

LISTS = {"holes": HOLES, "fresh": FRESH, "moments": MOMENTS, "independent": INDEPENDENT}
RESULTS = ROOT / "out" / "mutation" / "planted.jsonl"
LIMIT = 1500.0  # seconds that the tests may take with a bug in; what hangs is noticed


def stages(bug: Bug) -> tuple[tuple[str, ...], ...]:
    """The tests that are asked, one group after the other: the module's proofs, its tests, those of the whole chip."""
    return (bug.tests,) if bug.tests else (*proofs_of(bug.module), *suite_of(ROOT / bug.place).stages)


def fingerprint(bug: Bug) -> str:
    """Of the bug and of all that it is planted in."""
    digest = hashlib.sha256(repr(bug).encode())
    folder = RTL if bug.place.startswith("rtl/") else ROOT / "golden" / "quartdepth"
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def environment(bug: Bug, folder: Path) -> dict[str, str]:
    """What the tests need to see the bug."""
    if not bug.place.startswith("rtl/"):
        path = ROOT / bug.place
        start = path.read_text().index(bug.right)
        return {"TRIPTYCH_PATCH": json.dumps([str(path), start, start + len(bug.right), bug.wrong])}
    tree = folder / "rtl"
    if tree.exists():
        shutil.rmtree(tree)
    shutil.copytree(RTL, tree)
    path = tree / Path(bug.place).relative_to("rtl")
    write(path, bug.applied(path.read_text()))
    return {"TRIPTYCH_RTL": str(tree)}


def limited(command: list[str], env: dict[str, str], log: Path, seconds: float) -> int | None:
    """Exit status of a command, None when it ran longer than that; simulators that it started end with it."""
    with log.open("w") as to, children.child(command, env=env, cwd=ROOT, stdout=to.fileno(), stderr=STDOUT) as run:
        try:
            return run.wait(seconds)
        except TimeoutExpired:
            return None


def judge(bug: Bug, folder: Path, groups: tuple[tuple[str, ...], ...]) -> tuple[str, str]:
    """`killed`, `hung` or `survived` these groups of tests, and the test that noticed.

    Raises AssertionError when pytest itself fails.
    """
    bug.applied((ROOT / bug.place).read_text())
    extra = environment(bug, folder)
    plugin = "tests.mutation.plugin" if "TRIPTYCH_RTL" in extra else "tests.mutation.patch"
    for tests in groups:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", plugin, "-p", "no:xdist", "-p", "no:cacheprovider"]
        log = folder / "run.log"
        status = limited([*command, "-m", "not slow and not gpu", *tests], {**os.environ, **extra}, log, LIMIT)
        if status is None:
            return "hung", ""
        assert status in (0, 1), f"{bug.name}: pytest ended with {status} [{log}]"
        if status == 1:
            lines = log.read_text(errors="replace").splitlines()
            failed = (s.removeprefix("FAILED ").partition(" - ")[0] for s in lines if s.startswith("FAILED "))
            return "killed", next(failed, "")
    return "survived", ""


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make planted", description=__doc__)
    parser.add_argument("lists", nargs="*", help=f"of {', '.join(LISTS)}; all unless named")
    parser.add_argument("--own", action="store_true", help="the modules' own tests alone, where there are any")
    parser.add_argument("--only", default="", help="bugs whose name or place holds this")
    parser.add_argument("--again", action="store_true", help="also what was run before: the tests have changed")
    asked = parser.parse_args()
    unknown = [name for name in asked.lists if name not in LISTS]
    if unknown:
        parser.error(f"no list {unknown[0]}: one of {', '.join(LISTS)}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    before = {row["key"]: row for row in map(json.loads, lines)}
    for name in asked.lists or LISTS:
        chosen = [bug for bug in LISTS[name] if asked.only in bug.name + bug.place]
        noticed = 0
        for bug in chosen:
            key = fingerprint(bug)
            folder = build_root() / "mutation" / f"{name}-{key}"
            folder.mkdir(parents=True, exist_ok=True)
            own = tuple(group for group in stages(bug) if group not in (CHIP, STEP))
            groups = (own or stages(bug)) if asked.own else stages(bug)
            known = None if asked.again else before.get(key)
            asked_before = 0 if known is None else len(groups) if known["outcome"] != "survived" else known["stages"]
            if asked_before < len(groups):
                begin = time.monotonic()
                outcome, by = judge(bug, folder, groups[asked_before:])
                row = {"key": key, "list": name, "name": bug.name, "place": bug.place, "kind": bug.kind,
                       "outcome": outcome, "by": by, "stages": len(groups),
                       "seconds": round(time.monotonic() - begin)}  # fmt: skip
                with RESULTS.open("a") as to:
                    to.write(json.dumps(row) + "\n")
                before[key] = row
            noticed += before[key]["outcome"] != "survived"
            console.print(f"  {before[key]['outcome']}: {bug.name} [{before[key]['by']}]", markup=False)
        print(f"{name}: {noticed} of {len(chosen)} noticed", flush=True)


if __name__ == "__main__":
    main()
