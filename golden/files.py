"""Files that are written whole or not at all, and locks between processes.

Whatever leaves this project's code as a file goes through `replacing`: the content is written beside its place and
takes it in one step, so that nobody ever reads a half-written file, and what a killed process left there is swept up by
the next one that writes the same file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

LONGEST_NAME = 255  # bytes that file systems allow
SCRATCH = "triptych-"
_numbers = count()
_inputs: dict[tuple[int, int], Path] = {}  # by what a file is on its disk: where it was read

ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the command again",
    errno.EACCES: "no permission: make the folder writable or name another one",
    errno.EPERM: "no permission: make the folder writable or name another one",
    errno.EROFS: "the file system is read-only: name another folder",
    errno.ENAMETOOLONG: "the name is too long: name a shorter one",
    errno.ENOTDIR: "a part of the path is a file, not a folder: name another folder",
    errno.EEXIST: "a part of the path is a file, not a folder: name another folder",
    errno.EISDIR: "it is a folder: name a file in it",
}


class FileError(ValueError):
    """A file that cannot be written; the message is one line that says what to do."""


def explain(path: Path, error: OSError) -> FileError:
    """The error as a line for a person."""
    return FileError(f"cannot write {path}: {ADVICE.get(error.errno or 0, error.strerror or str(error))}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` for the body to write; what is there at its end takes the place of `path`.

    Folders above are made. When the body raises, `path` is as it was and the temporary file is gone. Raises FileError
    in place of any OSError, and for a file that this process read as an input (`protect`).
    """
    mark = hashlib.sha256(f"{platform.node()} {path.name}".encode(errors="surrogateescape")).hexdigest()[:10]
    part = path.with_name(f".{mark}.{os.getpid()}.{next(_numbers)}.part")
    try:
        check_not_input(path)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, mark)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise explain(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def protect(path: Path) -> None:
    """Remembers a file as an input of this process: `replacing` will not take its place."""
    with suppress(OSError):
        _inputs[_node(path)] = path.absolute()


def _node(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def _is_input(path: Path) -> bool:
    """A number that a file had may be another's once it is gone."""
    try:
        node = _node(path)
        return node in _inputs and _node(_inputs[node]) == node
    except OSError:
        return False


def check_not_input(*paths: Path) -> None:
    """Raises FileError where a result would take the place of a file that was read as an input."""
    for path in paths:
        if _is_input(path):
            raise FileError(f"cannot write {path}: this command reads it: name another --out")


def _sweep(folder: Path, mark: str) -> None:
    """Removes what killed processes of this machine left of one file."""
    for part in folder.glob(f".{mark}.*.part"):
        pid = part.name.split(".")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                part.unlink()


def write(path: Path, content: str | bytes) -> None:
    """Writes a file whole (text as UTF-8). Raises FileError."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the time of the block, under TMPDIR; those that killed processes left are removed. Raises
    FileError."""
    with ExitStack() as stack:
        try:
            _sweep_scratch(Path(tempfile.gettempdir()))
            held = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-", ignore_cleanup_errors=True)
            )
        except OSError as error:
            failed = explain(Path(tempfile.gettempdir()), error)
            raise FileError(f"{failed} (TMPDIR names another folder)") from error
        yield Path(held)


def _sweep_scratch(folder: Path) -> None:
    for left in folder.glob(f"{SCRATCH}*"):
        pid = left.name.removeprefix(SCRATCH).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and not Path(f"/proc/{pid}").exists() and left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Makes the folder if need be. Raises FileError when nothing can be written there: asked before long work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise explain(folder, error) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path` (made if need be): two processes never make one thing at once. Raises FileError
    when the lock's folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise explain(path, error) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fitting_name(stem: str, ending: str) -> str:
    """`stem` + `ending` as a file name: a stem that is too long is cut and told apart by a hash of its whole."""
    raw = os.fsencode(stem)
    room = LONGEST_NAME - len(os.fsencode(ending)) - 24  # for what others put before and behind it
    if len(raw) > room:
        mark = hashlib.sha256(raw).hexdigest()[:8]
        stem = f"{os.fsdecode(raw[: room - 9]).encode(errors='ignore').decode()}-{mark}"
    return stem + ending
