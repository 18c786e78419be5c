"""The whole chip behind the C++ memory model: golden program vectors, random programs, traps, tokens, counters.

The same programs run in lock-step under pyuvm (tests/uvm), which names the first wrong element; here they run by the
hundred, and an instruction is compared by its signature alone.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.kit.random_program import random_program
from triptych.golden.quartdepth.chip.codec import Instruction, assemble, disassemble
from triptych.golden.quartdepth.chip.config import CONFIGS, ChipConfig
from triptych.golden.quartdepth.chip.isa import INSTRUCTION_BYTES, Engine, Opcode, Trap
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Fault, Memory
from triptych.golden.quartdepth.chip.program import CONTROL, StoredProgram
from triptych.golden.quartdepth.vectors.files import MANIFEST, read_retired
from triptych.sim.rtl.orders import ReadOrder, WriteOrder
from triptych.sim.rtl.run import MemoryTiming, RtlRun, run_program

VECTORS = Path(__file__).parents[1] / "vectors"
SMALL = CONFIGS["small"]  # depth and columns are those of the vectors' configuration, and so are all results
ABOUT = json.loads((VECTORS / MANIFEST).read_text())["programs"]
WATCHDOG = 100_000  # the longest transfer of a random program on `paper` takes over 20,000 cycles


def timing(seed: int, memory: Memory) -> MemoryTiming:
    """A memory between quick and slow, in every order that AXI4 allows, with the faults of this image."""
    spans = {fault: (start, end) for start, end, fault in memory.faults}
    latency, rate = ((1, 64.0), (40, 19.2), (200, 3.0))[seed % 3]
    orders = {"writes": WriteOrder(seed % 4), "reads": ReadOrder(seed // 4 % 3), "stall": (0.0, 0.3)[seed % 2]}
    return MemoryTiming(latency, rate, spans.get(Fault.ERROR), spans.get(Fault.HANG), **orders, seed=seed)


def counters_explain_every_cycle(run: RtlRun) -> None:
    """The classes of every engine sum to the cycles of the run."""
    for engine, classes in run.counters.items():
        assert sum(classes.values()) == run.cycles, f"{engine}: {classes} of {run.cycles} cycles"


def signatures(run: RtlRun) -> dict[int, tuple[int, int]]:
    """Engine and signature by place in the program."""
    return {int(pc): (int(engine), int(sig)) for _, engine, pc, sig in run.retirements}


def compare(config: ChipConfig, seed: int, trap: Trap, length: int = 60) -> None:
    """One random program on chip and machine."""
    program = random_program(config, seed, length, trap)
    image = program.memory.data.copy()
    chip = run_program(
        config, image, program.base, len(program.instructions), timing=timing(seed, program.memory), watchdog=WATCHDOG,
        power_on=seed,
    )  # fmt: skip
    result = Machine(config).run(program.stored, program.memory)
    here = f"seed {seed} to {trap.name}"
    assert (result.trap, result.pc, result.engine) == (program.trap, program.pc, program.engine), here
    wanted = (result.trap, result.pc, result.engine) if trap is not Trap.NONE else (Trap.NONE, 0, 0)
    assert (chip.trap, chip.trap_pc, chip.trap_engine) == wanted, here
    seen = signatures(chip)
    assert len(seen) == len(chip.retirements) == len(result.retired), here
    for r in sorted(result.retired, key=lambda r: r.pc):
        assert seen[r.pc] == (r.engine, r.signature), f"{here}: instruction {r.pc} ({disassemble(r.instruction)})"
    if trap is Trap.NONE or program.engine != Engine.STORE:
        wrong = np.flatnonzero(chip.memory != program.memory.data)
        assert not wrong.size, f"{here}: memory from {wrong[:1]} on"
    counters_explain_every_cycle(chip)


@pytest.mark.parametrize("name", sorted(ABOUT))
def test_program_vectors(name: str) -> None:
    about = ABOUT[name]
    memory = np.zeros(about["memory_bytes"], np.uint8)
    image = np.fromfile(VECTORS / "programs" / f"{name}.memory", np.uint8)
    memory[: image.size] = image
    instructions = assemble("\n".join(about["instructions"]))
    stored = memory[about["base"] :][: INSTRUCTION_BYTES * len(instructions)].tobytes()
    assert stored == b"".join(i.encode() for i in instructions)
    run = run_program(SMALL, memory, about["base"], len(instructions), watchdog=WATCHDOG)  # stores of zeros
    assert run.trap is Trap.NONE
    seen = signatures(run)
    for pc, engine, signature in read_retired(VECTORS / "programs" / f"{name}.sig"):
        assert seen.pop(pc) == (engine, signature), f"instruction {pc} ({about['instructions'][pc]})"
    assert not seen
    assert hashlib.sha256(run.memory.tobytes()).hexdigest() == about["memory_after_sha256"]
    counters_explain_every_cycle(run)


@pytest.mark.parametrize("first", [100, 200])
def test_random_programs(first: int) -> None:
    for seed in range(first, first + 12):
        compare(SMALL, seed, Trap.NONE)


@pytest.mark.parametrize("trap", [t for t in Trap if t is not Trap.NONE], ids=lambda t: t.name)
def test_traps(trap: Trap) -> None:
    for seed in range(300, 308):
        compare(SMALL, seed, trap, length=20)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "small", "paper"])
def test_many_random_programs(config: str) -> None:
    for seed in range(1000, 1200):
        compare(CONFIGS[config], seed, list(Trap)[seed % len(Trap)])


def test_tokens_arrive_exactly() -> None:
    """A token is there at exactly its count: STOREs that each wait for one more LOAD, written to one place."""
    depth, count = SMALL.depth, 300
    copy = {"rows": 1, "row_bytes": depth}
    program = []
    for k in range(count):
        load = {**copy, "dram": k * depth, "wait_store": k}
        program.append(Instruction(Opcode.LOAD, {f: v for f, v in load.items() if v}))
        program.append(Instruction(Opcode.STORE, {**copy, "dram": 0x8000 + k * depth, "wait_load": k + 1}))
    program.append(Instruction(Opcode.HALT))
    base = 0x10000
    memory = Memory(1 << 18)
    data = (np.arange(count * depth) // depth % 251).astype(np.uint8)
    memory.place(0, data)
    memory.place(base, b"".join(i.encode() for i in program))
    run = run_program(SMALL, memory.data, base, len(program), watchdog=WATCHDOG, power_on=2)
    assert run.trap is Trap.NONE
    assert np.array_equal(run.memory[0x8000 : 0x8000 + data.size], data)
    result = Machine(SMALL).run(StoredProgram(memory, base, len(program)), memory)
    assert np.array_equal(run.memory, memory.data)
    assert result.engine == CONTROL
