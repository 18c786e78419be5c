"""What a stored result depends on: hashes of content, and of the code that computed it."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib import util
from pathlib import Path
from types import ModuleType

PACKAGE = __name__.partition(".")[0]
_NAME = re.compile(rf"{PACKAGE}(\.\w+)+")


def digest(*parts: bytes) -> str:
    """A short hash; where one part ends and the next begins counts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:24]


def sources(*modules: ModuleType) -> list[Path]:
    """The files of the modules and of all of Triptych's that they import, directly or not.

    A package that is imported counts with every module in its folder, since it may load them by itself.
    """
    seen: set[Path] = set()
    waiting = [Path(str(module.__file__)) for module in modules]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        if file.name == "__init__.py":
            waiting += sorted(file.parent.glob("*.py"))
        for name in _imports(file, file.stat().st_mtime_ns):
            waiting += _file(name)
    return sorted(seen)


@cache
def _imports(file: Path, changed: int) -> tuple[str, ...]:
    """Names of Triptych's modules that a file imports, those inside functions and those in strings too. changed: tells
    versions apart."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)  # of a package whose modules are found, not listed
    return tuple(name for name in names if _NAME.fullmatch(name))


@cache
def _file(name: str) -> list[Path]:
    """The module's file; none when the name is something inside a module, or the package's bare namespace."""
    try:
        spec = util.find_spec(name)
    except (ModuleNotFoundError, AttributeError, ValueError):
        return []
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return []
    return [Path(spec.origin)]


def code_digest(files: Iterable[Path]) -> str:
    """A hash of what the code does: comments, docstrings and layout do not count."""
    return digest(*(_meaning(file, file.stat().st_mtime_ns) for file in files))


@cache
def _meaning(file: Path, changed: int) -> bytes:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).replace(", type_params=[]", "").encode()  # a field that Python 3.12 added
