"""What became of a mutant: the process that runs the tests, its log, and what earlier runs found out."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from triptych.sim.build import children

Row = dict[str, Any]
NOTICED = ("killed", "hung", "refuted", "unclosed")


def wait(child: int, limit: float) -> str:
    """`killed`, `survived` or `hung` (noticed too), of a child of `children.fork`; ends what runs too long, and what it
    leaves behind."""
    end = time.monotonic() + limit
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return "survived" if code == 0 else "killed" if code == 1 else f"broken: {code}"
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "hung"
            time.sleep(0.05)
    finally:
        children.gone(child)


def reason(log: Path) -> str:
    """The first test that failed."""
    lines = log.read_text(errors="replace").splitlines()
    return next((s.removeprefix("FAILED ").partition(" - ")[0] for s in lines if s.startswith("FAILED ")), "")


def kept(file: Path, source: str, stages: int) -> dict[str, Row]:
    """What earlier runs found out about this very text of the module, by mutant; not what survived fewer stages,
    nor where pytest itself was ended."""
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return {
        row["said"]: row
        for row in rows
        if row["source"] == source
        and not row["outcome"].startswith("broken")
        and (row["outcome"] != "survived" or row["stages"] >= stages)
    }
