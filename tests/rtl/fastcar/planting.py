"""Bugs planted in rtl/fastcar, all in one build, chosen by the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from triptych.sim.build.sources import fastcar_sources
from triptych.sim.build.verilate import Build

CHOICE = 'package fastcar_pkg;\n\n  import "DPI-C" pure function int planted();\n'
VARIABLE = "PLANTED"
"""The environment variable with the number of the run's bug, from 1; 0: none."""


def plant(folder: Path, bugs: Mapping[str, tuple[str, str, str]]) -> list[Path]:
    """Sources of rtl/fastcar with all bugs in them. bugs: by name file, text, what stands there instead, where BUG is
    true in the run of that bug."""
    texts = {p.name: p.read_text() for p in fastcar_sources()}
    for number, (name, (file, text, bug)) in enumerate(bugs.items(), 1):
        assert texts[file].count(text) == 1, name
        texts[file] = texts[file].replace(text, bug.replace("BUG", f"(fastcar_pkg::planted() == {number})"))
    texts["fastcar_pkg.sv"] = texts["fastcar_pkg.sv"].replace("package fastcar_pkg;\n", CHOICE, 1)
    files = []
    for path in fastcar_sources():
        files.append(folder / path.name)
        files[-1].write_text(texts[path.name])
    return files


def chosen(build: Build, folder: Path) -> Path:
    """The program of a build of such sources."""
    choice = folder / "planted.cpp"
    choice.write_text(
        "#include <cstdlib>\n"
        f'extern "C" int planted() {{ static const int n = atoi(getenv("{VARIABLE}")); return n; }}\n'
    )
    return replace(build, cpp=(*build.cpp, choice)).executable()
