"""Compiles the CUDA sources at first use and keeps the result.

A build is named by the hash of every source, the flags and the compiler's version, so an edited kernel is rebuilt and
nothing else ever is. The cache is `$TRIPTYCH_CACHE`, else `$XDG_CACHE_HOME/triptych`, else `~/.cache/triptych`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from triptych.golden.draft_attention.hopper.errors import HopperError

SOURCES = Path(__file__).parent / "kernels"
FLAGS = ("-cubin", "-std=c++17", "-O3", "-lineinfo", "-gencode=arch=compute_90a,code=sm_90a")


def cache_directory() -> Path:
    """Where built kernels are kept."""
    if own := os.environ.get("TRIPTYCH_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "triptych"


@cache
def compiler() -> str:
    """The path of nvcc. Raises HopperError when there is none."""
    candidates = [shutil.which("nvcc")]
    candidates += [f"{root}/bin/nvcc" for root in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if root]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise HopperError("the Hopper kernels are compiled at first use: put nvcc (CUDA 12.4 or newer) on the PATH")


def missing_compiler() -> str | None:
    """Why nothing can be compiled here; None where it can."""
    try:
        compiler()
    except HopperError as error:
        return str(error)
    return None


@cache
def _fingerprint() -> bytes:
    digest = hashlib.sha256(subprocess.run([compiler(), "--version"], capture_output=True, check=True).stdout)
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.digest()


def build(source: str, defines: tuple[str, ...] = ()) -> bytes:
    """The machine code (a cubin) of `kernels/<source>` under `defines` such as `"TAIL=1"`.

    Raises HopperError with the compiler's words when it does not compile.
    """
    flags = (*FLAGS, *(f"-D{define}" for define in defines))
    name = hashlib.sha256(_fingerprint() + "\0".join((source, *flags)).encode()).hexdigest()[:24]
    target = cache_directory() / "hopper" / f"{Path(source).stem}-{name}.cubin"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            output = Path(scratch) / "kernel.cubin"
            command = [compiler(), *flags, str(SOURCES / source), "-o", str(output)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise HopperError(f"{source} did not compile: {done.stderr.strip() or done.stdout.strip()}")
            os.replace(output, target)
    return target.read_bytes()
