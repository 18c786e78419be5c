"""What turns CUDA sources into machine code here: nvcc, or NVRTC, which PyTorch's own wheels bring."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from triptych.golden.draft_attention.hopper.errors import HopperError

OLDEST = (12, 4)
TOOLKIT = "/usr/local/cuda"
_TARGET = "sm_90a"
_RTC_PRELUDE = """typedef signed char int8_t; typedef unsigned char uint8_t; typedef short int16_t;
typedef unsigned short uint16_t; typedef int int32_t; typedef unsigned int uint32_t; typedef long long int64_t;
typedef unsigned long long uint64_t; typedef unsigned long uintptr_t; typedef unsigned long size_t;
#define __builtin_huge_valf() __builtin_bit_cast(float, 0x7F800000u)
"""
"""Names that nvcc has from the host's headers and compiler; NVRTC knows neither."""


class Compiler(Protocol):
    """A CUDA compiler. `version` names it: what it builds is kept under that name."""

    @property
    def version(self) -> str: ...

    def compile(self, source: Path, defines: tuple[str, ...], output: Path) -> None:
        """Write the cubin of `source`. Raises HopperError with the compiler's words when it does not compile."""


@dataclass(frozen=True)
class Nvcc:
    """The compiler of a CUDA toolkit."""

    path: str
    version: str

    def compile(self, source: Path, defines: tuple[str, ...], output: Path) -> None:
        flags = ("-cubin", "-std=c++17", "-O3", "-lineinfo", f"-gencode=arch=compute_{_TARGET[3:]},code={_TARGET}")
        command = [self.path, *flags, *(f"-D{define}" for define in defines), str(source), "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise HopperError(f"{source.name} did not compile: {done.stderr.strip() or done.stdout.strip()}")


@dataclass(frozen=True)
class Nvrtc:
    """The run-time compiler, a shared library."""

    path: str
    version: str

    def compile(self, source: Path, defines: tuple[str, ...], output: Path) -> None:
        library, program = ctypes.CDLL(self.path), ctypes.c_void_p()
        text = f'{_RTC_PRELUDE}#line 1 "{source.name}"\n{source.read_text()}'.encode()
        _check(library, library.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None))
        options = [f"--gpu-architecture={_TARGET}", "--std=c++17", "-lineinfo", f"-I{source.parent}"]
        options += [f"-D{define}" for define in defines]
        arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        try:
            with _own_locale():
                code = library.nvrtcCompileProgram(program, len(options), arguments)
            if code != 0:
                raise HopperError(f"{source.name} did not compile: {_bytes(library, program, 'ProgramLog').decode()}")
            output.write_bytes(_bytes(library, program, "CUBIN"))
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))


@contextmanager
def _own_locale() -> Iterator[None]:
    """Keeps the thread's locale: NVRTC leaves "C" behind, in which Python reads every text file as ASCII."""
    libc = ctypes.CDLL(None)
    libc.uselocale.argtypes, libc.uselocale.restype = (ctypes.c_void_p,), ctypes.c_void_p
    before = libc.uselocale(None)
    try:
        yield
    finally:
        libc.uselocale(before)


def _check(library: ctypes.CDLL, code: int) -> None:
    if code != 0:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise HopperError(f"NVRTC: {library.nvrtcGetErrorString(code).decode()}")


def _bytes(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    """What `nvrtcGet<what>` returns."""
    size = ctypes.c_size_t()
    _check(library, getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(library, getattr(library, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw if what == "CUBIN" else buffer.raw.rstrip(b"\0")


def _nvcc() -> Nvcc | None:
    """nvcc from the PATH or a toolkit, when it is new enough."""
    candidates = [shutil.which("nvcc")]
    candidates += [f"{root}/bin/nvcc" for root in (os.environ.get("CUDA_HOME"), TOOLKIT) if root]
    for candidate in candidates:
        if not (candidate and os.access(candidate, os.X_OK)):
            continue
        said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
        release = re.search(r"release (\d+)\.(\d+)", said)
        if release and (int(release[1]), int(release[2])) >= OLDEST:
            return Nvcc(candidate, said)
    return None


def _nvrtc_libraries() -> Iterator[str]:
    """Shared libraries that may be NVRTC: those of Python wheels, then what the loader knows."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        found = sorted(Path(folder).glob("*/lib/libnvrtc.so.*"), reverse=True)
        yield from (str(path) for path in found if ".alt." not in path.name)
    yield from (f"libnvrtc.so.{major}" for major in (13, 12))


def _nvrtc() -> Nvrtc | None:
    for path in _nvrtc_libraries():
        major, minor = ctypes.c_int(), ctypes.c_int()
        try:
            library = ctypes.CDLL(path)
            code = library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        except (OSError, AttributeError):
            continue
        if code == 0 and (major.value, minor.value) >= OLDEST:
            return Nvrtc(path, f"NVRTC {major.value}.{minor.value}")
    return None


@cache
def compiler() -> Compiler:
    """The compiler of this machine. Raises HopperError when there is none."""
    found = _nvcc() or _nvrtc()
    if found is None:
        oldest = ".".join(map(str, OLDEST))
        raise HopperError(
            f"the Hopper kernels are compiled at first use, and neither nvcc nor NVRTC {oldest} or newer is here: "
            "pip install nvidia-cuda-nvrtc, or put nvcc on the PATH"
        )
    return found
