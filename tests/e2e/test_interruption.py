"""Children end with what started them: on an error, on Ctrl-C and SIGTERM, and when the parent is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.e2e.interruptions import Room, finish, interrupt, listening, maps
from triptych.golden.photo import shipped_photo
from triptych.sim.build import children
from triptych.sim.errors import TriptychError

# A child that starts one of its own and ignores nothing; both say who they are.
TREE = "sh -c 'echo $$ > {folder}/inner; sleep 60' & echo $$ > {folder}/outer; wait"


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: object, seconds: float = 20) -> None:
    """Raises AssertionError when it does not come true."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)


def read(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


PARENT = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from triptych.sim.build import children
    from triptych.sim.cli import main as cli

    @cli.app.command()
    def hang() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(children.run, ["sh", "-c", {tree!r}]).result()

    sys.argv = ["triptych", "hang"]
    cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda s: s.name)
def test_children_end_with_the_command(number: signal.Signals, tmp_path: Path) -> None:
    """The worker's thread waits for the child: Ctrl-C took 64 s, a killed parent left its simulator."""
    code = textwrap.dedent(PARENT).format(tree=TREE.format(folder=tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, preexec_fn=listening)
    family = [read(tmp_path / name) for name in ("outer", "inner")]
    begin = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    wait_until(lambda: not any(map(alive, family)))
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    if number is not signal.SIGKILL:
        assert errors.splitlines() == [
            "triptych: interrupted; what is finished is kept, the same command goes on from there"
        ]


def test_a_group_ends_when_its_block_is_left(tmp_path: Path) -> None:
    with children.child(["sh", "-c", TREE.format(folder=tmp_path)]):
        family = [read(tmp_path / name) for name in ("outer", "inner")]
        assert all(map(alive, family))
    wait_until(lambda: not any(map(alive, family)))


def test_what_a_child_says_comes_back() -> None:
    done = children.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.status, done.output, done.errors, done.text) == (3, "out\n", "err\n", "out\nerr\n")
    assert children.run(["sh", "-c", "kill -SEGV $$"]).status == -signal.SIGSEGV


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TriptychError, match="g\\+\\+ is missing: apt-get install g\\+\\+"):
        children.run(["g++"], env={"PATH": str(tmp_path)})
    with pytest.raises(TriptychError, match="make venv"):
        children.run(["verilator"], env={"PATH": str(tmp_path)})


def test_a_forked_worker_has_its_own_children(tmp_path: Path) -> None:
    children.run(["true"])  # a guard of the parent is there
    pid = os.fork()
    if pid == 0:
        children.run(["sh", "-c", TREE.format(folder=tmp_path)])
        os._exit(0)
    family = [read(tmp_path / name) for name in ("outer", "inner")]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not any(map(alive, family)))


@pytest.mark.slow
def test_a_run_that_was_interrupted_is_run_again(tmp_path: Path) -> None:
    """METER on the `tiny` chip's RTL, its build and cache empty: interrupted in the build, before and in the run."""
    room = Room(tmp_path, tmp_path / "tmp", {"TRIPTYCH_BUILD": str(tmp_path / "build")})
    photo = str(shipped_photo("coffee.png"))
    words = [sys.executable, "-m", "triptych.sim.cli", "depth", photo, "--model", "meter"]
    words += ["--config", "tiny", "--size", "64x64"]
    draw = random.Random(3)
    into = [[*words, "--out", str(tmp_path / name)] for name in ("out", "again")]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        print(interrupt(room, into[0], draw.uniform(3, 40), number))
    for command in into:
        assert "bit-exact (RTL = golden machine = integer network)" in finish(room, command)
    assert maps(tmp_path / "out") == maps(tmp_path / "again") != {}
