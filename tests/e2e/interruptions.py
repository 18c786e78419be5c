"""Interrupts a command at seeded moments and looks at what it leaves: files, folders, processes, results.

    python -m tests.e2e.interruptions [--seed N] [--moments N] [--seconds S] [--folder DIR]

clones the checkout into a folder whose name holds a blank and letters beyond ASCII, where `make demo` must refuse
before it installs anything, and into a plain one, where it interrupts `make demo` (environment, build, simulation,
reports: wherever it is), runs it again to its end and compares the depth maps with those of a run that nobody
interrupted. Takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def listening() -> None:
    """In a child before it begins: nothing is ignored, as Ctrl-C is in what a shell started with `&`, and the end of a
    terminal in what `nohup` did."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class Room:
    """Where a command runs, with a TMPDIR of its own, by which its processes are known wherever they hide."""

    folder: Path
    temporary: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        """The command in a process group of its own, as a terminal starts it."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "TMPDIR": str(self.temporary), **self.variables}
        return subprocess.Popen(
            words, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, preexec_fn=listening,
        )  # fmt: skip

    def processes(self) -> dict[int, str]:
        """Command lines of the processes that live in this room."""
        mark = f"TMPDIR={self.temporary}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = words.decode(errors="replace")
            except OSError:
                continue
        return {pid: line for pid, line in found.items() if line}

    def leftovers(self) -> list[str]:
        """Files that only a command at work may have."""
        others = ("pip-", "torchinductor_")  # what pip and PyTorch keep there is theirs
        temporary = [p.name for p in self.temporary.iterdir() if not p.name.startswith(others)]
        parts = [str(p.relative_to(self.folder)) for p in self.folder.rglob("*.part") if ".venv" not in p.parts]
        return temporary + parts


def interrupt(room: Room, words: list[str], seconds: float, number: signal.Signals) -> str:
    """Starts the command, sends the signal after so many seconds (Ctrl-C to the whole group, SIGTERM to the command,
    SIGKILL to triptych, which may be its child) and says what came of it. Raises AssertionError when it lives on or
    leaves processes."""
    process = room.start(words)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        begin = time.monotonic()
        ours = [pid for pid, line in room.processes().items() if "triptych" in line and " -c " not in line]
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        elif number is signal.SIGKILL and ours:
            os.kill(min(ours), number)
        else:
            number = signal.SIGTERM  # make, killed so, could not end pip
            process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        while (left := room.processes()) and time.monotonic() - begin < 30:
            time.sleep(0.1)
        assert not left, f"{number.name} after {seconds:.0f} s left {left}"
        took = time.monotonic() - begin
        assert "Traceback" not in output, output[-3000:]
        last = output.strip().splitlines()[-1] if output.strip() else "(no output)"
        return f"{number.name} after {seconds:.1f} s: ended in {took:.1f} s; last line: {last}"
    assert process.returncode == 0, output[-3000:]
    return f"ended by itself within {seconds:.1f} s"


def finish(room: Room, words: list[str]) -> str:
    """Runs the command to its end: exit 0, nothing left. Gives back what it printed."""
    process = room.start(words)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-3000:]
    assert not room.processes()
    assert not (left := room.leftovers()), left
    return output


def maps(folder: Path) -> dict[str, str]:
    """Hashes of the depth maps below a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in sorted(folder.rglob("*.depth.png"))}


def clone(folder: Path) -> Path:
    """A clean clone of the checkout."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def main() -> int:
    """Runs what the module says; prints a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--moments", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=200, help="moments lie before this")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "triptych interruptions größe")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    draw = random.Random(args.seed)
    refusing = Room(clone(args.folder / "ein Blank größe"), args.folder / "tmp0")
    process = refusing.start(["make", "demo"])
    output, _ = process.communicate()
    assert process.returncode != 0
    assert not (refusing.folder / ".venv").exists()
    print(f"{refusing.folder.name}: refused: {output.strip().splitlines()[0]}", flush=True)

    base = Path(tempfile.mkdtemp(prefix="interruptions-"))
    room = Room(clone(base / "clone"), base / "tmp")
    command = ["make", "demo"]
    for _ in range(args.moments):
        told = interrupt(room, command, draw.uniform(2, args.seconds), draw.choice(SIGNALS))
        print(f"{room.folder.name}: {told}", flush=True)
    begin = time.monotonic()
    print("\n".join(finish(room, command).strip().splitlines()[-4:]), flush=True)
    print(f"{room.folder.name}: whole in {time.monotonic() - begin:.0f} s, no process, no leftover", flush=True)
    found = maps(room.folder / "out" / "demo")
    shutil.rmtree(room.folder / "out")
    finish(room, command)
    assert found
    assert maps(room.folder / "out" / "demo") == found, "an uninterrupted run gives other depth maps"
    print(f"{len(found)} depth maps equal those of an uninterrupted run: {found}", flush=True)
    for folder in (base, args.folder):
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
