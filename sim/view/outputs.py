"""Where results go: beside nothing of the user's, under names that say what they are.

    room.w4a4-small.triptych.png    photo, float depth, the chip's depth
    room.w4a4-small.depth.png       the network's output, depth in millimetres, 16 bit
    room.w4a4-small.depth.full.png  the same at the photo's own size
    room.w4a4-small.run.json        where the cycles went

A run made again replaces its own files. A file that is there and is not this run's is never written over, be it a
photo, a result of other options, or of another photo with the same name: the next free name is taken (`room-2...`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from PIL import Image

from triptych.golden.files import check_writable, fitting_name

PANELS, DEPTH, FULL, RUN = ".triptych.png", ".depth.png", ".depth.full.png", ".run.json"
ENDINGS = (PANELS, DEPTH, FULL, RUN)
IDENTITY = "triptych-run"
"""Key of the PNG text that says which run a picture is of."""


@contextmanager
def claimed(
    folder: Path, stem: str, identity: str, endings: Sequence[str] = ENDINGS
) -> Iterator[Callable[[str], Path]]:
    """Gives the path for each ending of a run's results in `folder`, while no other process chooses names there.

    identity: what tells this run from all others; it must be written into the PANELS picture, and that one first.
    Raises FileError when the folder cannot be written.
    """
    check_writable(folder)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for number in count(1):
            numbered = stem if number == 1 else f"{stem}-{number}"
            paths = {ending: folder / fitting_name(numbered, ending) for ending in endings}
            if not any(os.path.lexists(p) for p in paths.values()) or identity_of(paths[PANELS]) == identity:
                yield paths.__getitem__
                return
    finally:
        os.close(handle)


def identity_of(path: Path) -> str | None:
    """Which run a picture is of; None for any other file."""
    try:
        with Image.open(path) as image:
            held = image.info.get(IDENTITY)
    except (OSError, ValueError, SyntaxError):
        return None
    return held if isinstance(held, str) else None
