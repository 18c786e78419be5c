"""What a mutant's run leaves behind: nothing, whether the mutant hangs or the run itself is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.mutation import hand
from tests.mutation.wait import wait
from triptych.sim.build import children
from triptych.sim.build.sources import ROOT

RUN = """
import subprocess, sys
from tests.mutation.wait import wait
from triptych.sim.build import children
for number in (0, 1):  # the second child is one that knows of the guard
    child = children.fork()
    if not child:
        if number:
            open(sys.argv[1], "w").write(str(subprocess.Popen(["sleep", "300"]).pid))
            subprocess.run(["sleep", "300"])
        sys.exit()
    wait(child, 300)
"""


def comes(path: Path) -> int:
    """The process whose number a file will hold."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def ends(pid: int) -> bool:
    """Whether the process is gone within five seconds, or a zombie that nobody has asked about."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        stat = Path(f"/proc/{pid}/stat")
        with suppress(FileNotFoundError, ProcessLookupError):
            if stat.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_killed_run_leaves_no_simulator(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "pid")], cwd=ROOT)
    simulator = comes(tmp_path / "pid")
    run.kill()
    run.wait()
    assert ends(simulator)


def test_a_mutant_that_hangs_leaves_none(tmp_path: Path) -> None:
    child = children.fork()
    if not child:
        (tmp_path / "pid").write_text(str(subprocess.Popen(["sleep", "300"]).pid))
        subprocess.run(["sleep", "300"], check=False)
        os._exit(0)
    simulator = comes(tmp_path / "pid")
    assert wait(child, 0.0) == "hung"
    assert ends(simulator)


def test_nor_does_a_bug_planted_by_hand(tmp_path: Path) -> None:
    command = ["sh", "-c", f"sleep 300 & echo $! > {tmp_path / 'pid'}; wait"]
    assert hand.limited(command, dict(os.environ), tmp_path / "log", 0.5) is None
    assert ends(comes(tmp_path / "pid"))
    assert hand.limited(["sh", "-c", "exit 3"], dict(os.environ), tmp_path / "log", 9.0) == 3
