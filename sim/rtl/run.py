"""One program on the chip's RTL: a Verilator executable with a C++ memory, Python only before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Format, Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.build import children
from triptych.sim.build.sources import BOARD, ROOT, checker, parameters, sources, transactions
from triptych.sim.build.verilate import FAST, POWER_ON, Build
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.cycle_classes import CLASSES
from triptych.sim.rtl.orders import ReadOrder, WriteOrder
from triptych.sim.rtl.registers.register_map import REGISTERS

SLOWEST, WIDEST = 1_000_000, 1_000_000  # cycles, bytes a cycle

TRAFFIC_CYCLES = 256
"""Cycles between two values of `RtlRun.traffic`, as `quartdepth_main.cpp` writes them."""

EVENT = np.dtype([("cycle", "<u8"), ("what", "<u4"), ("signature", "<u4")])


@dataclass(frozen=True)
class MemoryTiming:
    """The memory behind the chip.

    latency: cycles from an address to its first beat. bytes_per_cycle: reads and writes together (19.2 is 19.2 GB/s
    at 1 GHz). error, hang: byte ranges that answer SLVERR, or never. writes, reads: orders that AXI4 leaves open.
    stall: share of cycles in which a channel holds back, by `seed`.
    """

    latency: int = 40
    bytes_per_cycle: float = 19.2
    error: tuple[int, int] | None = None
    hang: tuple[int, int] | None = None
    writes: WriteOrder = WriteOrder.ADDRESS_FIRST
    reads: ReadOrder = ReadOrder.IN_ORDER
    stall: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.latency <= SLOWEST:
            raise TriptychError(f"memory latency must be in 1..{SLOWEST} cycles, not {self.latency}")
        if not 0.001 <= self.bytes_per_cycle <= WIDEST:  # not a number is refused too
            raise TriptychError(f"memory bandwidth must be in .001..{WIDEST} bytes a cycle, not {self.bytes_per_cycle}")


@dataclass(frozen=True)
class RtlRun:
    """What a run left behind.

    memory: the whole memory image, uint8. counters: cycles by engine name and class. issues, retirements: arrays of
    (cycle, engine, pc[, signature]) in order of time. traffic: bytes over the memory port up to the end of every
    TRAFFIC_CYCLES. seconds: that the simulation took of a core.
    """

    trap: Trap
    trap_pc: int
    trap_engine: int
    cycles: int
    counters: dict[str, dict[str, int]]
    memory: npt.NDArray[np.uint8]
    issues: npt.NDArray[np.int64]
    retirements: npt.NDArray[np.int64]
    mxu_classes: npt.NDArray[np.int64]
    bytes_read: int
    bytes_written: int
    traffic: npt.NDArray[np.int64]
    seconds: float

    def spans(self) -> dict[str, list[tuple[int, int, int]]]:
        """Instruction, start and retirement of everything that every engine did, in order of starts."""
        retired = {(e, pc): cycle for cycle, e, pc, _ in self.retirements.tolist()}
        found: dict[str, list[tuple[int, int, int]]] = {e.name: [] for e in Engine}
        for cycle, e, pc, _ in self.issues.tolist():
            found[Engine(e).name].append((pc, cycle, retired.get((e, pc), cycle)))
        return found


@dataclass(frozen=True)
class Waves:
    """A window of cycles to be written as an FST file. names: what the instructions are called (`sim/rtl/waves.py`)."""

    file: Path
    begin: int
    end: int
    names: Path


def chip_build(config: ChipConfig, tuned: bool = False, power_on: bool = False) -> Build:
    """The full chip behind the C++ memory model; tuned: compiled for what convolutions make it do; power_on: memories
    and flops without reset can start with anything, and what is unknown is anything."""
    cpp = ROOT / "sim" / "rtl" / "cpp"
    return Build(
        top="quartdepth_board",
        sources=(*sources(), BOARD, *checker()),
        cpp=(cpp / "quartdepth_main.cpp",),
        headers=(cpp / "memory_model.h", cpp / "coverage.h"),
        parameters=parameters(config),
        flags=POWER_ON if power_on else FAST,
        tune=partial(_typical_work, config) if tuned else None,
    )


def traced_build(config: ChipConfig) -> Build:
    """The same chip with a tracer that names the instructions, and waves of every signal."""
    plain = chip_build(config)
    flags = (*FAST, "--trace-fst", "--trace-structs")
    return replace(plain, sources=(*plain.sources, *transactions()), flags=flags)


def switching_build(config: ChipConfig) -> Build:
    """The same chip, which counts how often each bit changes (SAIF)."""
    return replace(chip_build(config), flags=(*FAST, "--trace-saif"))


def write_switching(
    config: ChipConfig, image: npt.NDArray[np.uint8], prog_base: int, prog_count: int, begin: int, end: int, file: Path
) -> None:
    """Runs a program up to cycle `end` and writes how often each bit changed since cycle `begin`, as SAIF. Raises
    TriptychError."""
    program = switching_build(config).executable()
    options = ["--max-cycles", str(end + 2)]
    options += ["--waves", str(file), "--waves-from", str(begin), "--waves-to", str(end)]
    with scratch() as folder:
        _simulate(program, folder, image, (prog_base, prog_count, 1 << 31), options, [])


def _typical_work(config: ChipConfig, program: Path) -> None:
    """A convolution of each width, to count what the model does."""
    for form in (Format.UINT4, Format.INT8):
        network = single.conv2d((16, 16, 256), 64, (3, 3), source=form, output=form, seed=1)
        compiled = compile_network(network, config)
        image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
        with scratch() as held:
            _simulate(program, held, image, (compiled.prog_base, len(compiled.instructions), 0), [], [])


def _counter_registers() -> list[str]:
    names = ["CYCLES"] + [f"{e.name}_{c.upper()}" for e, classes in CLASSES.items() for c in classes]
    return names


def _address(name: str) -> int:
    return REGISTERS[name].address


def _simulate(
    program: Path,
    folder: Path,
    image: npt.NDArray[np.uint8],
    start: tuple[int, int, int],
    options: Sequence[str],
    reads: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Runs the executable; start: base and count of the program, watchdog. It leaves its files in `folder`."""
    writes = {
        **dict(zip(("PROG_BASE", "PROG_COUNT", "WATCHDOG"), start, strict=True)),
        "IRQ_ENABLE": REGISTERS["IRQ_ENABLE"].pack(done=1, trapped=1),
        "CONTROL": REGISTERS["CONTROL"].pack(start=1),
    }
    try:
        np.ascontiguousarray(image, np.uint8).tofile(folder / "image")
    except OSError as error:
        raise TriptychError(f"cannot write the memory image to {folder}: {error.strerror}; set TMPDIR") from error
    arguments = [str(program), "--image", str(folder / "image"), "--memory-out", str(folder / "memory")]
    arguments += ["--events", str(folder / "events"), "--result", str(folder / "result")]
    arguments += ["--classes", str(folder / "classes"), "--traffic", str(folder / "traffic")]
    for name, value in writes.items():
        arguments += ["--write", f"{_address(name)}={value}"]
    for address in reads:
        arguments += ["--read", str(address)]
    arguments += options
    with children.child(arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        stopped = ""  # what an assertion or the protocol checker said
        for line in process.stdout:
            words = line.split()
            if "Assertion failed" in line and not stopped:
                stopped = line.strip()
            if progress is not None and words[:1] == ["progress"]:
                progress(int(words[1]), int(words[2]))
        message = stopped or process.stderr.read().strip()
        process.wait()
    if process.returncode:
        last = message.splitlines()[-1] if message else f"exit status {process.returncode}"
        raise TriptychError(f"the simulation failed: {last}")


def run_program(
    config: ChipConfig,
    image: npt.NDArray[np.uint8],
    prog_base: int,
    prog_count: int,
    *,
    timing: MemoryTiming | None = None,
    watchdog: int = 4_000_000,
    max_cycles: int = 1 << 40,
    progress: Callable[[int, int], None] | None = None,
    tuned: bool = False,
    power_on: int | None = None,
    build: Build | None = None,
    waves: Waves | None = None,
) -> RtlRun:
    """Runs `prog_count` instructions at byte address `prog_base` of `image` until HALT or a trap.

    progress(cycles, retired) is called every 50,000 cycles. tuned: with a profile-guided build, for long runs.
    power_on: seed of what memories and flops without reset hold at first (None: zeros). build: of the chip, instead of
    the one that these options name. waves: what to write of every signal, by a build that can. Raises TriptychError
    when the model does not build, when max_cycles pass, or when files cannot be written.
    """
    timing = timing or MemoryTiming()
    named = traced_build(config) if waves is not None else chip_build(config, tuned, power_on is not None)
    program = (build or named).executable()
    status = ["STATUS", "TRAP", "TRAP_PC"]
    counters = _counter_registers()
    reads = [_address(n) for n in status] + [_address(n) + half for n in counters for half in (0, 4)]
    options = ["--latency", str(timing.latency), "--max-cycles", str(max_cycles)]
    options += ["--milli-bytes-per-cycle", str(round(1000 * timing.bytes_per_cycle))]
    options += ["--write-order", str(int(timing.writes)), "--read-order", str(int(timing.reads))]
    options += ["--stall", str(round(256 * timing.stall)), "--seed", str(timing.seed)]
    if power_on is not None:
        options += ["--power-on", str(power_on)]
    for option, span in (("--error", timing.error), ("--hang", timing.hang)):
        if span is not None:
            options += [option, f"{span[0]}:{span[1]}"]
    if waves is not None:
        options += ["--waves", str(waves.file), "--waves-from", str(waves.begin), "--waves-to", str(waves.end)]
        options += [f"+names={waves.names}"]
    with scratch() as folder:
        _simulate(program, folder, image, (prog_base, prog_count, watchdog), options, reads, progress)
        result = json.loads((folder / "result").read_text())
        memory = np.fromfile(folder / "memory", np.uint8)
        events = np.fromfile(folder / "events", EVENT)
        traffic = np.fromfile(folder / "traffic", np.int64)
        classes = np.fromfile(folder / "classes", np.int64).reshape(-1, len(CLASSES[Engine.MXU]))
    if not result["interrupted"]:
        raise TriptychError(f"the chip neither finished nor trapped within {max_cycles} cycles")
    registers = {int(k): v for k, v in result["registers"].items()}
    values = {n: registers[_address(n)] | registers[_address(n) + 4] << 32 for n in counters}
    trap = REGISTERS["TRAP"].unpack(registers[_address("TRAP")])
    retired = events["what"] >> 31 == 1
    engine, pc = (events["what"] >> 24 & 7).astype(np.int64), (events["what"] & 0xFFFFFF).astype(np.int64)
    cycle = events["cycle"].astype(np.int64) - int(result["first_cycle"])
    table = np.stack([cycle, engine, pc, events["signature"].astype(np.int64)], axis=1)
    return RtlRun(
        trap=Trap(trap["cause"]),
        trap_pc=REGISTERS["TRAP_PC"].unpack(registers[_address("TRAP_PC")])["index"],
        trap_engine=trap["engine"],
        cycles=values["CYCLES"],
        counters={e.name: {c: values[f"{e.name}_{c.upper()}"] for c in classes} for e, classes in CLASSES.items()},
        memory=memory,
        issues=table[~retired],
        retirements=table[retired],
        mxu_classes=classes,
        bytes_read=int(result["bytes_read"]),
        bytes_written=int(result["bytes_written"]),
        traffic=traffic,
        seconds=float(result["seconds"]),
    )
