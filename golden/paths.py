"""Where things outside the package lie."""

import os
from pathlib import Path


def shared_dir() -> Path | None:
    """The folder of research data and published weights, or None where there is none.

    `$TRIPTYCH_SHARED` names it; without that, `../shared` beside the checkout. Nothing in the product
    needs it: tests and accuracy tables that do, skip and say so.

    Raises ValueError when `$TRIPTYCH_SHARED` is set and is no folder (a typo must not skip tests).
    """
    named = os.environ.get("TRIPTYCH_SHARED")
    if named:
        path = Path(named).expanduser()
        if not path.is_dir():
            raise ValueError(f"TRIPTYCH_SHARED={named} is not a folder: point it at the shared data or unset it")
        return path
    beside = Path(__file__).resolve().parents[2] / "shared"
    return beside if beside.is_dir() else None
