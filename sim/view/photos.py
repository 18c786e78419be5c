"""Pictures that a run left, for its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triptych.sim.label import Label
from triptych.sim.view.figure import Photos
from triptych.sim.view.runs import Picture


def photos_of(pictures: Sequence[Picture], folder: Path, label: Label) -> Photos | None:
    """Those that lie in `folder`; None if none does."""
    places = [(p.title, folder / Path(p.file).name) for p in pictures]
    files = [(title, path.read_bytes()) for title, path in places if path.is_file()]
    return Photos("strip", "what went in and what came out", label, files) if files else None
