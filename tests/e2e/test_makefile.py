"""What the Makefile says before it installs two gigabytes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from triptych.sim.build.sources import ROOT

TOOLS = ("g++", "perl", "python3", "make", "sh", "env", "mkdir", "touch", "test", "echo")


def make(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """`make venv` of a copy of the Makefile, with the tools in `path` alone."""
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "setup.py", "constraints.txt"):
        shutil.copyfile(ROOT / name, folder / name)
    program = shutil.which("make")
    assert program
    return subprocess.run(
        [program, "venv"], cwd=folder, env={"PATH": str(path)}, capture_output=True, text=True, check=False
    )


def tools(folder: Path, without: str = "") -> Path:
    """A folder of links to the tools but one; python3 makes no environment, so that a test installs nothing."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if name == "python3":
            (folder / name).write_text("#!/bin/sh\necho reached the environment; exit 7\n")
            (folder / name).chmod(0o755)
        elif found:
            (folder / name).symlink_to(found)
    if without:
        (folder / without).unlink()
    return folder


@pytest.mark.parametrize(
    "name", ["a blank", "a\ttab", "dollar$x", "quo'te", "col:on", "ha#sh", "per%cent", "größe", "写真"]
)
def test_a_path_that_make_cannot_quote_is_refused(name: str, tmp_path: Path) -> None:
    done = make(tmp_path / name, tools(tmp_path / "bin"))
    assert done.returncode != 0
    assert "move " in done.stderr
    assert len(done.stderr.splitlines()) == 2  # and make's own
    assert "reached" not in done.stdout + done.stderr


def test_any_other_path_is_fine(tmp_path: Path) -> None:
    assert "reached the environment" in make(tmp_path / "A.b_c+d~e@f=g,h-1", tools(tmp_path / "bin")).stdout


@pytest.mark.parametrize("tool", ["g++", "perl"])
def test_a_missing_tool_is_named(tool: str, tmp_path: Path) -> None:
    """A missing perl was let pass."""
    done = make(tmp_path / "clone", tools(tmp_path / "bin", tool))
    assert done.returncode != 0
    assert f"{tool} is missing: apt-get install" in done.stderr
    assert "reached" not in done.stdout


def test_clean_keeps_results(tmp_path: Path) -> None:
    for name in ("out/room.png", "build/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, env=dict(os.environ))
    assert (tmp_path / "out/room.png").exists()
    assert not (tmp_path / "build").exists()
