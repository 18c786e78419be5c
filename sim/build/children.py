"""Child processes that never outlive what started them.

Every child leads a process group of its own. The group ends with the child's run: when it is interrupted, when
`stop_all` is called (the command does, on Ctrl-C and SIGTERM), and when this process dies in whatever way, for which a
guard waits: a small process that holds the other end of a pipe and kills what is left when the pipe closes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from triptych.sim.errors import TriptychError

GRACE = 2.0  # seconds between asking a group to end and ending it

# Reads "+GROUP" and "-GROUP" lines; at the end of its input it ends the groups that are left. SIGTERM first, so that
# compilers remove their temporary files.
GUARD = """
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for sign in (signal.SIGTERM, signal.SIGKILL):
    for group in groups:
        try:
            os.killpg(group, sign)
        except OSError:
            pass
    if sign == signal.SIGTERM and groups:
        time.sleep(1)
"""


# What a child begins as: it waits until its group is known to the guard, and ends if nobody is left to say so.
LAUNCH = 'read -r _ && exec "$@" </dev/null'


class Stopped(TriptychError):
    """A child was stopped from here: the command is ending."""


@dataclass(frozen=True)
class Finished:
    """A child that ended by itself. status: its exit status, or minus the signal that ended it."""

    status: int
    output: str
    errors: str

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.output + self.errors


class _Guarded:
    """The groups that run, and the guard that knows them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner = 0
        self.guard: subprocess.Popen[str] | None = None
        self.groups: set[int] = set()
        self.stopping = False

    def tell(self, sign: str, group: int) -> None:
        """Adds ('+') or forgets ('-') a group."""
        with self.lock:
            if self.owner != os.getpid():  # the first child, or a forked worker's first
                self.owner, self.groups = os.getpid(), set()
                self.guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", GUARD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, start_new_session=True, text=True,
                )  # fmt: skip
            (self.groups.add if sign == "+" else self.groups.discard)(group)
            assert self.guard is not None
            assert self.guard.stdin is not None
            with suppress(BrokenPipeError):  # somebody killed the guard; children run on without it
                self.guard.stdin.write(f"{sign}{group}\n")
                self.guard.stdin.flush()


_guarded = _Guarded()


def stop_all() -> None:
    """Ends every child that runs and lets no other start: what waits for one gets `Stopped`."""
    _guarded.stopping = True
    if _guarded.owner == os.getpid():
        for group in tuple(_guarded.groups):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


@contextmanager
def child(
    arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None,
    stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[str]]:  # fmt: skip
    """A running child; its group is gone when the block is left, whether it had ended by then or not.

    Raises TriptychError when it cannot be started.
    """
    words = [str(a) for a in arguments]
    if shutil.which(words[0], path=(os.environ if env is None else env).get("PATH")) is None:
        raise TriptychError(missing(words[0]))
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", LAUNCH, "sh", *words], env=None if env is None else dict(env), cwd=cwd,
            stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, text=True, errors="replace", process_group=0,
        )  # fmt: skip
    except OSError as error:
        raise TriptychError(f"{words[0]} could not be started: {error.strerror}") from error
    _guarded.tell("+", process.pid)
    try:
        with process:
            try:
                if _guarded.stopping:
                    raise Stopped(f"{Path(words[0]).name} was not started: the command is ending")
                _launch(process)
                yield process
            finally:
                _end(process)
    finally:
        _guarded.tell("-", process.pid)
    if _guarded.stopping:
        raise Stopped(f"{Path(words[0]).name} was stopped")


def _launch(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write("\n")
        process.stdin.close()
    process.stdin = None


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the group if its leader still runs."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fork() -> int:
    """As os.fork; the child leads a session of its own, which ends with this process as any child's group does.

    What waits for it says so with `gone`.
    """
    pid = os.fork()
    if pid:
        _guarded.tell("+", pid)
        return pid
    os.setsid()
    if _guarded.guard is not None and _guarded.guard.stdin is not None:
        _guarded.guard.stdin.close()  # else the parent's guard would wait for this child too
    _guarded.owner, _guarded.guard = 0, None
    return 0


def gone(pid: int) -> None:
    """Ends what is left of the session of a forked child, and forgets it."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _guarded.tell("-", pid)


def run(arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Finished:
    """Runs a child to its end. Raises TriptychError when it cannot be started, Stopped when the command ends."""
    with child(arguments, env=env, cwd=cwd) as process:
        output, errors = process.communicate()
    return Finished(process.returncode, output, errors)


def missing(tool: str) -> str:
    """What to do about a tool that is not there."""
    name = Path(tool).name
    packages = {"g++": "g++", "make": "make", "perl": "perl"}
    if name in packages:
        return f"{name} is missing: apt-get install {packages[name]}"
    return f"{name} is missing: run 'make venv', or pip install 'triptych[hardware]'"
