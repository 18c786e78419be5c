"""C simulation of the HLS kernels: builds hls/ with g++ and AMD's ap_int headers, and calls it.

The kernels run as fibers on streams of real depth, so back-pressure is real and a deadlock is an error that names the
streams; where it is checked, an index beyond an array's end is one too. Builds are cached by content.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import write
from triptych.sim.build import cache, children
from triptych.sim.build.sources import ROOT
from triptych.sim.build.verilate import cpu, environment
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.image import DeviceState, Limits, Program, pack_rows

HLS = ROOT / "hls"
GLUE = Path(__file__).resolve().parent / "cpp"
# Fibers jump between stacks, which a fortified longjmp takes for a mistake.
FLAGS = (
    "-std=c++17",
    "-march=native",
    "-U_FORTIFY_SOURCE",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-Wno-unused-label",
)
ERROR_BYTES = 512
LIBRARY = "libfastcar.so"

DECISION = np.dtype([("index", np.uint32), ("mapping", np.uint8, 32), ("score", np.int32, 32)])
JOB = np.dtype(
    [("index", np.uint32), ("tiles", np.uint16), ("segments", np.uint16), ("passes", np.uint8), ("loads", np.bool_),
     ("stop", np.bool_)], align=True,
)  # fmt: skip
ROW_COMMAND = np.dtype(
    [("matrix", np.uint8), ("row", np.uint8), ("tiles", np.uint16), ("segments", np.uint16), ("loads", np.bool_),
     ("droppable", np.bool_)], align=True,
)  # fmt: skip
ENTRY = np.dtype([("row", np.uint8), ("begin", np.uint8), ("end", np.uint8), ("replayed", np.bool_)])
LANE_COUNTERS = np.dtype([(n, np.uint64) for n in ("cycles", "busy", "replayed", "unfilled", "starved")])
STREAM_COUNTERS = np.dtype([(n, np.uint64) for n in ("streamed", "skipped")])
DRS_COUNTERS = np.dtype([(n, np.uint64) for n in ("computed", "replayed", "issued", "dropped")])
COUNTERS = np.dtype(
    [("lanes", LANE_COUNTERS), ("weights", STREAM_COUNTERS), ("scales", STREAM_COUNTERS), ("drs", DRS_COUNTERS)]
)
"""The records of hls/include/records.hpp."""


class Deadlock(TriptychError):
    """No kernel can run any more; the message names who waits for which stream."""


class Shape(ctypes.Structure):
    """`Shape` of hls/include/records.hpp: the registers that every kernel has."""

    _fields_ = tuple(
        (name, ctypes.c_int32)
        for name in (
            "layers", "rows", "position", "width", "ffn", "heads", "kv_heads", "head_dim", "frame_tokens", "context",
            "resource_scheduling",
        )
    )  # fmt: skip


class Memory(ctypes.Structure):
    """Addresses of the DRAM images."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in (
            "weights", "scales", "registers", "gains", "turns", "keys", "values", "ring", "chains", "decisions",
        )
    )  # fmt: skip


def vendor_headers() -> Path:
    """Folder of AMD's ap_int headers. Raises TriptychError when the package that ships them is missing."""
    spec = util.find_spec("hls4ml")
    if spec is None or not spec.submodule_search_locations:
        raise TriptychError("AMD's ap_int headers are missing: run 'make venv', or pip install 'triptych[hardware]'")
    return Path(next(iter(spec.submodule_search_locations))) / "templates" / "vivado" / "ap_types"


def include_flags(hls: Path = HLS) -> list[str]:
    """`-I` of `hls`; AMD's headers after the shims, as system headers."""
    folders = (hls, hls / "shim", hls / "include", hls / "kernels", GLUE)
    return [*(f"-I{p}" for p in folders), "-isystem", str(vendor_headers())]


def _sources(hls: Path) -> list[Path]:
    found = [p for folder in (hls, GLUE) for ending in ("*.hpp", "*.h", "*.cpp") for p in folder.rglob(ending)]
    if hls / "fastcar.cpp" not in found:
        raise TriptychError(f"{hls} is missing: run from a checkout of the repository, which holds hls/")
    return sorted(found)


def library(
    lanes: int, *, exact: bool = False, checked: bool = False, hls: Path = HLS, optimise: str = "-O3"
) -> Path:  # fmt: skip
    """The shared library of the kernels with `lanes` lanes, built first when no build of this content exists.

    exact: products and sums in ap_int of the widths that synthesis has, far slower. checked: an index beyond an array's
    end ends the simulation with an error; large layers take three times as long. hls: folder of the kernels. optimise:
    of g++.
    Raises TriptychError when the compiler is missing or finds an error.
    """
    if not 1 <= lanes <= 32:
        raise TriptychError(f"the lane array has 1..32 lanes, not {lanes}")
    macros = [optimise, f"-DFASTCAR_LANES={lanes}", "-DTRIPTYCH_FIBERS"]
    if checked:
        macros += ["-fsanitize=bounds-strict"]  # cpp/bounds.cpp is called
    if exact:
        macros += ["-DFASTCAR_EXACT_WIDTHS", "-Wno-maybe-uninitialized"]  # of ap_private, by value
    key = cache.fingerprint(_sources(hls), FLAGS, macros, metadata.version("hls4ml"), cpu())
    units = (hls / "fastcar.cpp", GLUE / "csim.cpp", GLUE / "cosim.cpp", GLUE / "bounds.cpp")

    def build(folder: Path) -> None:
        env = environment()
        launcher = ["ccache"] if shutil.which("ccache", path=env["PATH"]) else []
        objects = [folder / f"{unit.stem}.o" for unit in units]
        compile_unit = [*launcher, "g++", *FLAGS, *macros, *include_flags(hls), "-c"]
        with ThreadPoolExecutor(2) as pool:
            commands = [[*compile_unit, str(u), "-o", str(o)] for u, o in zip(units, objects, strict=True)]
            list(pool.map(lambda command: _run(command, env, folder), commands))
        _run(["g++", "-shared", *map(str, objects), "-o", str(folder / LIBRARY)], env, folder)

    return cache.file("csim", f"lanes{lanes}-{key}", LIBRARY, build)


def _run(arguments: list[str], env: dict[str, str], folder: Path) -> None:
    run = children.run(arguments, env=env)
    if run.status:
        log = folder / "build.log"
        write(log, run.text)
        first = next((s for s in run.errors.splitlines() if "error" in s), "no output")
        raise TriptychError(f"building the kernels failed: {first.strip()} [all of it: {log}]")


def address(array: NDArray[Any]) -> int:
    """Of a contiguous array's first byte."""
    if not array.flags["C_CONTIGUOUS"]:
        raise ValueError("the kernels take contiguous arrays")
    return int(array.ctypes.data)


@dataclass(frozen=True)
class StepResult:
    """y: int16[rows, width]; decisions: DECISION[layers]; counters: one COUNTERS record."""

    y: NDArray[np.int16]
    decisions: NDArray[np.void]
    counters: NDArray[np.void]


class CSim:
    """The kernels, compiled for a number of lanes."""

    def __init__(self, path: Path, lanes: int) -> None:
        self.lib = ctypes.CDLL(str(path))
        sizes = np.zeros(11, np.int32)
        self.lib.csim_sizes(ctypes.c_void_p(address(sizes)))
        self.limits = Limits(*map(int, sizes[: len(fields(Limits))]))
        if list(sizes[len(fields(Limits)) :]) != [4 * lanes, DECISION.itemsize, COUNTERS.itemsize]:
            raise TriptychError("records of hls/include/records.hpp and sim/fastcar/csim.py differ in size")

    @classmethod
    def build(cls, lanes: int = 16, *, exact: bool = False, checked: bool = False) -> CSim:
        """Builds the kernels when need be, as `library` does; `exact` quickly, since it is slow anyhow."""
        return cls(library(lanes, exact=exact, checked=checked, optimise="-O1" if exact else "-O3"), lanes)

    def call(self, name: str, *arguments: Any) -> None:
        """Calls `csim_<name>`; arrays go by address, integers as size_t. Raises Deadlock or TriptychError."""
        error = ctypes.create_string_buffer(ERROR_BYTES)
        converted = [self.argument(a) for a in arguments]
        if getattr(self.lib, f"csim_{name}")(*converted, error):
            text = error.value.decode()
            raise Deadlock(text) if text.startswith("deadlock") else TriptychError(text)

    @staticmethod
    def argument(value: Any) -> Any:
        """As ctypes takes it: the address of an array, an integer as 64 bits, anything else as it is."""
        if isinstance(value, np.ndarray):
            return ctypes.c_void_p(address(value))
        return ctypes.c_int64(value) if isinstance(value, int) else value

    @contextmanager
    def shaken(self, seed: int, chance: int = 32) -> Iterator[None]:
        """Processes yield at random before stream operations, `chance` in 256: another order, the same results."""
        self.lib.csim_shake(ctypes.c_uint64(seed), ctypes.c_uint(chance))
        try:
            yield
        finally:
            self.lib.csim_shake(ctypes.c_uint64(0), ctypes.c_uint(0))

    @contextmanager
    def fifo(self, stream: str, depth: int) -> Iterator[None]:
        """Another depth for the stream of that name."""
        self.lib.csim_depth(stream.encode(), ctypes.c_size_t(depth))
        try:
            yield
        finally:
            self.lib.csim_depth(stream.encode(), ctypes.c_size_t(0))

    def step(
        self, program: Program, state: DeviceState, x: NDArray[np.int16], position: int, *, scheduling: bool = True
    ) -> StepResult:
        """One token of every row through all layers; `state` is changed in place.

        x: int16[rows, width]. scheduling: DRS; else each row is bound to a lane. Raises Deadlock, and TriptychError
        for shapes that do not fit.
        """
        shape = self.shape(program, state, x, position, scheduling)
        rows_in = pack_rows(x)
        rows_out = np.zeros_like(rows_in)
        decisions = np.zeros(program.layers, DECISION)
        counters = np.zeros(1, COUNTERS)
        memory = memory_of(program, state, decisions)
        self.call("step", ctypes.byref(shape), ctypes.byref(memory), rows_in, rows_out, counters)
        return StepResult(np.ascontiguousarray(rows_out[:, : x.shape[1]]), decisions, counters[0])

    def shape(
        self, program: Program, state: DeviceState, x: NDArray[np.int16], position: int, scheduling: bool = True
    ) -> Shape:
        """The registers of a step. Raises TriptychError when program, state and rows do not belong together."""
        c = program.config
        self.limits.check(c, len(x))
        if program.limits != self.limits:
            raise TriptychError(f"the program was packed for {program.limits.lanes} lanes, not {self.limits.lanes}")
        if state.config != c or state.keys.shape[0] != program.layers or state.rows != len(x):
            raise TriptychError(
                f"the state holds {state.keys.shape[0]} layers of {state.rows} rows, "
                f"the step has {program.layers} of {len(x)}"
            )
        if x.dtype != np.int16 or x.shape[1] != c.width:
            raise TriptychError(f"rows must be int16 of width {c.width}, not {x.dtype} of {x.shape[1]}")
        if not 0 <= position < c.context:
            raise TriptychError(f"position {position} is outside the context of {c.context} tokens")
        return Shape(
            program.layers, len(x), position, c.width, c.ffn, c.heads, c.kv_heads, c.head_dim, c.frame_tokens,
            c.context, int(scheduling),
        )  # fmt: skip


def memory_of(program: Program, state: DeviceState, decisions: NDArray[np.void]) -> Memory:
    """Addresses of the images; the caller keeps the arrays alive."""
    return Memory(*map(address, (
        program.weights, program.scales, program.registers, program.gains, program.turns, state.keys, state.values,
        state.ring, state.chains, decisions,
    )))  # fmt: skip


@lru_cache(maxsize=4)
def simulator(lanes: int = 16) -> CSim:
    """The simulator of that many lanes, built once."""
    return CSim.build(lanes)
