"""The ways of imports: sim needs golden and not the other way, and no package needs one that needs it.

A package is a folder of modules. What its `__init__` offers is a face apart: it reads the package's modules, and they
do not read it. Operations, which a registry finds in a folder when it is asked, are no import of the registry's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from triptych.sim.build.sources import ROOT

FOLDERS = ("golden", "sim")

Edges = dict[tuple[str, str], str]  # (package, package it imports) -> a file that does


def _modules(root: Path) -> dict[str, Path]:
    """Files by module name; a package's own name stands for its __init__."""
    found = {}
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            parts = ("triptych", *file.relative_to(root).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(root: Path = ROOT) -> Edges:
    """Which package imports which, functions' and type checkers' imports too."""
    modules = _modules(root)
    faces = {name for name, file in modules.items() if file.name == "__init__.py"}
    package = {name: f"{name}.__init__" if name in faces else name.rpartition(".")[0] for name in modules}
    edges: Edges = {}
    for name, file in modules.items():
        for wanted in _imported(file):
            target = wanted if wanted in modules else wanted.rpartition(".")[0]
            pair = (package[name], package.get(target, ""))
            if pair[1] and pair[0] != pair[1]:
                edges.setdefault(pair, str(file.relative_to(root)))
    return edges


def _imported(file: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circle(edges: Mapping[tuple[str, str], str]) -> list[str]:
    """The packages of one circle in order, the first again at the end; [] if there is none."""
    after: dict[str, list[str]] = {}
    for source, target in edges:
        after.setdefault(source, []).append(target)
    done: set[str] = set()
    for start in sorted(after):
        path: list[str] = []
        if found := _walk(start, after, done, path):
            return found
    return []


def _walk(name: str, after: Mapping[str, list[str]], done: set[str], path: list[str]) -> list[str]:
    if name in path:
        return [*path[path.index(name) :], name]
    if name in done:
        return []
    path.append(name)
    for target in sorted(after.get(name, [])):
        if found := _walk(target, after, done, path):
            return found
    path.pop()
    done.add(name)
    return []


def findings(root: Path = ROOT) -> str:
    """The first thing that goes the wrong way, empty when nothing does."""
    edges = imports(root)
    for (source, target), file in edges.items():
        if source.startswith("triptych.golden") and target.startswith("triptych.sim"):
            return f"golden imports {target} ({file})"
    found = circle(edges)
    return "\n".join(f"{a} imports {b} ({edges[a, b]})" for a, b in pairwise(found))
