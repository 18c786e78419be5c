"""What the environment runs: a program, the memory it lies in, and how that memory behaves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.kit.random_program import random_program
from triptych.golden.quartdepth.chip.codec import EncodingError, Instruction, disassemble
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.vectors.examples import Example


@dataclass(frozen=True)
class MemoryKnobs:
    """latency: cycles before a burst's first beat. stall: share of cycles in which a channel holds back.
    seed: of the random stalls."""

    latency: int = 0
    stall: float = 0.0
    seed: int = 1

    @classmethod
    def random(cls, seed: int) -> MemoryKnobs:
        """From a memory that always answers at once to a slow one."""
        rng = random.Random(seed)
        return cls(rng.choice((0, 1, 3, 12, 40)), rng.choice((0.0, 0.1, 0.3, 0.6)), seed)


@dataclass(frozen=True)
class Expected:
    """How a program ends: cause (NONE: HALT), pc and engine (4: fetch and decode) in the registers."""

    trap: Trap
    pc: int
    engine: int


@dataclass(frozen=True)
class Job:
    """One program. memory: its image with the program at `base` and its faults; it is not written.
    expected: how it must end, beside what the golden machine says; watchdog: cycles."""

    name: str
    seed: int
    memory: Memory
    base: int
    instructions: Sequence[Instruction | bytes]
    expected: Expected
    knobs: MemoryKnobs = field(default_factory=MemoryKnobs)
    watchdog: int = 30_000

    def image(self) -> Memory:
        """A copy of the memory to run in."""
        copy = Memory(self.memory.size, list(self.memory.faults))
        copy.data[:] = self.memory.data
        return copy

    def stored(self, memory: Memory) -> StoredProgram:
        """The program as it is fetched from that copy."""
        return StoredProgram(memory, self.base, len(self.instructions))

    def text(self, pc: int) -> str:
        """Instruction `pc` for people."""
        if pc >= len(self.instructions):
            return "behind the program"
        item = self.instructions[pc]
        try:
            return disassemble(Instruction.decode(item) if isinstance(item, bytes) else item)
        except EncodingError as error:
            return str(error)


def random_job(config: ChipConfig, seed: int, length: int = 50, trap: Trap = Trap.NONE) -> Job:
    """A random program; after one seed its data, its instructions and its memory's behaviour are the same for ever."""
    p = random_program(config, seed, length, trap)
    name = "random" if trap is Trap.NONE else f"random to {trap.name}"
    expected = Expected(p.trap, p.pc, p.engine)
    return Job(name, seed, p.memory, p.base, p.instructions, expected, MemoryKnobs.random(seed))


def example_job(example: Example, knobs: MemoryKnobs) -> Job:
    """A hand-written program."""
    expected = Expected(Trap.NONE, len(example.instructions) - 1, 4)
    return Job(example.name, 0, example.memory, example.base, example.instructions, expected, knobs)
