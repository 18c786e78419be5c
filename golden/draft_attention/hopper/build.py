"""Builds the CUDA sources at first use and keeps the result.

A build is named by the hash of every source, the defines and the compiler's version, so an edited kernel is rebuilt
and nothing else ever is. The cache is `$TRIPTYCH_CACHE`, else `$XDG_CACHE_HOME/triptych`, else `~/.cache/triptych`.
Processes that want the same build wait for the one that makes it; a file appears whole, behind its hash, or not at all.
Where the cache cannot be written each process compiles for itself and says so.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from triptych.golden.draft_attention.hopper.compilers import compiler
from triptych.golden.draft_attention.hopper.errors import HopperError
from triptych.golden.files import FileError, locked, scratch, write

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
    if (kept := _kept(target)) is not None:
        return kept
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / f".{target.name}.lock"))
        except FileError as error:
            _say_cache_is_closed(folder, getattr(error.__cause__, "strerror", None) or "not a folder")
            return _compiled(source, defines)
        if (kept := _kept(target)) is None:  # no other process made it while this one waited
            kept = _compiled(source, defines)
            write(target, hashlib.sha256(kept).digest() + kept)
    return kept


def _kept(target: Path) -> bytes | None:
    """The image in the cache; None where there is none, or a damaged one."""
    try:
        content = target.read_bytes()
    except OSError:
        return None
    image = content[32:]
    return image if hashlib.sha256(image).digest() == content[:32] else None


def _compiled(source: str, defines: tuple[str, ...]) -> bytes:
    with scratch() as folder:
        output = folder / "kernel.cubin"
        compiler().compile(SOURCES / source, defines, output)
        return output.read_bytes()
