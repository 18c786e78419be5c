"""Builds the CUDA sources at first use and keeps the result.

A build is named by the hash of every source, the defines and the compiler's version, so an edited kernel is rebuilt
and nothing else ever is. The cache is `$TRIPTYCH_CACHE`, else `$XDG_CACHE_HOME/triptych`, else `~/.cache/triptych`.
Processes that want the same build wait for the one that makes it; a file appears whole or not at all. Where the cache
cannot be written each process compiles for itself and says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from triptych.golden.draft_attention.hopper.compilers import compiler
from triptych.golden.draft_attention.hopper.errors import HopperError

SOURCES = Path(__file__).parent / "kernels"


def cache_directory() -> Path:
    """Where built kernels are kept."""
    if own := os.environ.get("TRIPTYCH_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "triptych"
    try:
        return Path.home() / ".cache" / "triptych"
    except RuntimeError:  # a user without a home, as containers have them
        return Path(os.devnull) / "triptych"


def missing_compiler() -> str | None:
    """Why nothing can be compiled here; None where it can."""
    try:
        compiler()
    except HopperError as error:
        return str(error)
    return None


@cache
def _fingerprint() -> bytes:
    digest = hashlib.sha256(compiler().version.encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.digest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold `path` against other processes; the lock goes with the process that holds it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _say_cache_is_closed(folder: Path, why: str) -> None:
    warnings.warn(
        f"kernels cannot be kept in {folder} ({why}) and are compiled in every process: set TRIPTYCH_CACHE to a folder "
        "that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


def build(source: str, defines: tuple[str, ...] = ()) -> bytes:
    """The machine code (a cubin) of `kernels/<source>` under `defines` such as `"TAIL=1"`.

    Raises HopperError with the compiler's words when it does not compile.
    """
    name = hashlib.sha256(_fingerprint() + "\0".join((source, *defines)).encode()).hexdigest()[:24]
    folder = cache_directory() / "hopper"
    target = folder / f"{Path(source).stem}-{name}.cubin"
    if target.exists():
        return target.read_bytes()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{target.name}.lock").touch()
    except OSError as error:
        _say_cache_is_closed(folder, error.strerror or "not a folder")
        return _compiled(source, defines)
    with _locked(folder / f".{target.name}.lock"):
        if not target.exists():  # another process may have made it while this one waited
            image = _compiled(source, defines)
            scratch = folder / f".{target.name}.{os.getpid()}"
            try:
                scratch.write_bytes(image)
                os.replace(scratch, target)
            finally:
                scratch.unlink(missing_ok=True)
    return target.read_bytes()


def _compiled(source: str, defines: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "kernel.cubin"
        compiler().compile(SOURCES / source, defines, output)
        return output.read_bytes()
