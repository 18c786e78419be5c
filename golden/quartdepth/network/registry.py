"""The operations: found, not listed. Every module of `ops/` without a leading underscore declares one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from triptych.golden.quartdepth.network.layer import QLayer
from triptych.golden.quartdepth.network.operation import Handler, Operation, Rewrite, Stage

PACKAGE = "triptych.golden.quartdepth.network.ops"


@cache
def operations() -> dict[str, Operation]:
    """By name, in alphabetical order."""
    from triptych.golden.quartdepth.network import ops as package

    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"{PACKAGE}.{name}").OPERATION for name in names}


@cache
def _handlers() -> dict[Any, list[Handler]]:
    found: dict[Any, list[Handler]] = {}
    for operation in operations().values():
        for target, handler in operation.aten.items():
            found.setdefault(target, []).append(handler)
    return found


def handlers(target: Any) -> list[Handler]:
    """What an ATen operator may become; those that do not take its operands decline."""
    return _handlers().get(target, [])


def shown(capture: Any, view: Any) -> str | None:
    """The map that a view shows, made of the view's map; None if no operation makes it."""
    made = (op.shows(capture, view) for op in operations().values() if op.shows is not None)
    return next((name for name in made if name is not None), None)


def rewrites(stage: Stage) -> list[Rewrite]:
    """Of captured graphs, those of one stage by their operations' names."""
    return [rewrite for op in operations().values() for when, rewrite in op.rewrites if when is stage]


@cache
def quantised_layers() -> dict[str, type[QLayer]]:
    """By the name of their class."""
    return {kind.__name__: kind for operation in operations().values() for kind in operation.integers}
