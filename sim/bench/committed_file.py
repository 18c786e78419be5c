"""Figures that are committed and change with a reason alone: a JSON file with `changes` beside what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from triptych.sim.errors import TriptychError


def read(path: Path, empty: dict[str, Any], command: str) -> dict[str, Any]:
    """What the file holds, `empty` where there is none. command: writes it anew. Raises TriptychError when damaged."""
    try:
        held: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return empty
    except ValueError as error:
        raise TriptychError(
            f"{path} is damaged ({error}): take one side of a merge whole, then run `{command}`"
        ) from error
    return held


def explain(held: dict[str, Any], reason: str, what: str, **changed: Any) -> None:
    """Adds a change and its reason. Raises TriptychError without a reason; what: of which it is one."""
    if not reason.strip():
        raise TriptychError(f"--commit takes the reason why {what} changed, in a sentence")
    held["changes"].append({"reason": reason.strip(), **changed})
