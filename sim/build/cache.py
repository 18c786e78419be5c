"""What took long and is kept: `build/` of the checkout, by the content of all that it was made from.

An entry is made once, under a lock, and carries the hash of what it holds. A damaged entry (a flipped byte, a file cut
short, an older version's) is made anew, never used: what comes from the cache is what would have been computed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from triptych.golden import store
from triptych.golden.files import FileError, locked, write
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError

PLAIN = re.compile(r"[A-Za-z0-9/._+~@=,-]+")
"""Paths that make, Verilator and Yosys can all read; the Makefile asks the same."""

_checked: dict[Path, int] = {}  # files whose hash was compared in this process, and when they had been changed last


def build_root() -> Path:
    """Folder of everything cached: `build/` of the checkout, or TRIPTYCH_BUILD."""
    folder = Path(os.environ.get("TRIPTYCH_BUILD", ROOT / "build")).absolute()
    if not PLAIN.fullmatch(str(folder)):
        raise TriptychError(f"builds cannot lie in '{folder}': make and Verilator quote neither blanks nor ü; move it")
    return folder


def fingerprint(files: Iterable[Path], *facts: object) -> str:
    """Hash of the files' names and contents and of the facts' representations."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for fact in facts:
        digest.update(repr(fact).encode() + b"\0")
    return digest.hexdigest()[:20]


def value(kind: str, key: str, make: Callable[[], Any]) -> Any:
    """The value kept as `kind`/`key`, made if it is not there or damaged. Raises TriptychError and what `make` does."""
    path = build_root() / kind / f"{key}.store"
    with _lock(path):
        try:
            found = store.unpack(path.read_bytes())
            _used(path)
            return found
        except (OSError, store.StoreError):
            made = make()
            _keep(path, store.pack(made))
            return made


def kept(kind: str, key: str) -> Any:
    """The value kept as `kind`/`key`, None where there is none."""
    path = build_root() / kind / f"{key}.store"
    try:
        found = store.unpack(path.read_bytes())
    except (OSError, store.StoreError):
        return None
    _used(path)
    return found


def file(kind: str, key: str, name: str, make: Callable[[Path], None]) -> Path:
    """Path of `name` in the folder `kind`/`key`, which `make` fills when it is not there whole. The file's hash is kept
    beside it and compared once a process and change. Raises TriptychError, and what `make` does."""
    folder = build_root() / kind / key
    path = folder / name
    if _whole(path):
        _used(folder)
        return path
    with _lock(folder):
        if not _whole(path):
            shutil.rmtree(folder, ignore_errors=True)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TriptychError(f"cannot write {folder}: {error.strerror}") from error
            make(folder)
            for header in folder.rglob("*.gch"):  # a build's precompiled headers: 100 MB each that nobody reads again
                header.unlink()
            _keep(_seal(path), _hash(path).encode())
    return path


def _used(path: Path) -> None:
    """Notes when an entry was used last, for `prune`: its time of change."""
    with suppress(OSError):
        os.utime(path)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path.with_name(path.name + ".lock")))
        except FileError as error:
            raise TriptychError(f"{error} (TRIPTYCH_BUILD names another cache)") from error
        yield


def _keep(path: Path, content: bytes) -> None:
    try:
        write(path, content)
    except FileError as error:
        raise TriptychError(f"{error} (TRIPTYCH_BUILD names another cache)") from error


def _seal(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _hash(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _whole(path: Path) -> bool:
    try:
        changed = path.stat().st_mtime_ns
        if _checked.get(path) != changed:
            if _hash(path) != _seal(path).read_text():
                return False
            _checked[path] = changed
    except OSError:
        return False
    return True
