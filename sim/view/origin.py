"""Where a run comes from: command, source, computer, time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from triptych.sim.build.sources import ROOT
from triptych.sim.view.records import Name


@dataclass(frozen=True)
class Origin:
    """commit: of the source; "unknown" outside a checkout. changed: whether files differed from it. host: the computer,
    in words. time: UTC, ISO 8601."""

    command: Name
    commit: Name
    changed: bool
    host: Name
    time: Name

    @property
    def source(self) -> str:
        """The commit in a few characters, with a mark where files differed."""
        return self.commit[:10] + ("+changes" if self.changed else "")


def origin() -> Origin:
    """Of what this process makes now."""
    commit, changed = _source()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:2000]
    time = datetime.now(UTC).replace(microsecond=0).isoformat()
    return Origin(command, commit, changed, host(), time)


@cache
def _source() -> tuple[str, bool]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "unknown", False


@cache
def host() -> str:
    """This computer: processor and cores."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s.split(":")[1].strip() for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"
