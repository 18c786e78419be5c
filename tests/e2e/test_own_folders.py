"""Folders of the user's own that are called sim, golden or tests: a cocotb user has them on PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kit.wheel import build_wheel
from triptych.sim.build.sources import ROOT

IMPORTS = """
import importlib, pkgutil
import triptych.golden, triptych.sim
count = 0
for package in (triptych.golden, triptych.sim):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
print(count, triptych.sim.__file__)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's folder, whose packages say so when they are imported instead of ours."""
    for name in ("golden", "sim", "tests"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "__init__.py").write_text(f"raise SystemExit('the user\\'s own {name}')\n")
        (tmp_path / "own" / name / "errors.py").write_text("")
    return tmp_path / "own"


def run(own: Path, *command: str | Path, first: Path | None = None) -> str:
    path = os.pathsep.join(str(p) for p in (own, first) if p is not None)
    done = subprocess.run(command, cwd=own, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_checkout_imports_its_own(own: Path) -> None:
    count, file = run(own, sys.executable, "-c", IMPORTS).split(maxsplit=1)
    assert int(count) > 150
    assert Path(file.strip()) == ROOT / "sim" / "__init__.py"


def test_the_command_runs_beside_them(own: Path) -> None:
    run(own, Path(sys.executable).with_name("triptych"), "vectors", "--check")


@pytest.mark.slow
def test_the_wheel_imports_its_own(own: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        archive.extractall(unpacked)
    count, file = run(own, sys.executable, "-c", IMPORTS, first=unpacked).split(maxsplit=1)
    assert int(count) > 150
    assert Path(file.strip()) == unpacked / "triptych" / "sim" / "__init__.py"
