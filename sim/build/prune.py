"""What the cache holds, and what of it nobody has used for a while."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from triptych.sim.build.cache import build_root

CCACHE = "ccache"  # keeps to a limit of its own


@dataclass(frozen=True)
class Removed:
    """What was deleted."""

    entries: int
    bytes: int


def size(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    total = 0
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with suppress(OSError):
            total += file.lstat().st_size if not file.is_dir() else 0
    return total


def sizes() -> dict[str, int]:
    """Bytes by kind of entry."""
    root = build_root()
    return {kind.name: size(kind) for kind in sorted(root.iterdir())} if root.is_dir() else {}


def entries() -> Iterator[Path]:
    """Everything that `cache.file` and `cache.value` keep: folders, and .store files."""
    root = build_root()
    for kind in sorted(root.iterdir()) if root.is_dir() else ():
        if kind.is_dir() and kind.name != CCACHE:
            yield from (p for p in sorted(kind.iterdir()) if p.with_name(p.name + ".lock").exists())


def prune(days: float) -> Removed:
    """Deletes the entries that were not used for so many days. One that somebody holds stays."""
    count = freed = 0
    for entry in entries():
        lock = entry.with_name(entry.name + ".lock")
        with suppress(OSError), lock.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - entry.stat().st_mtime < days * 86400:
                continue
            bytes_held = size(entry)
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
            count, freed = count + 1, freed + bytes_held
    return Removed(count, freed)
