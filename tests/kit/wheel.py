"""The project's wheel, built from the checkout without leaving anything in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from triptych.sim.build.sources import ROOT

PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "golden", "sim")


def build_wheel(folder: Path) -> Path:
    """The wheel's file in `folder`."""
    sources = folder / "source"  # a copy: setuptools leaves a build folder behind
    sources.mkdir()
    for name in PARTS:
        subprocess.run(["cp", "-r", ROOT / name, sources], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run([*command, str(sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))
