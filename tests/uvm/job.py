"""What the environment runs: a program, the memory it lies in, and how that memory behaves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.kit.axi_memory import Behaviour
from tests.kit.random_program import random_program
from triptych.golden.quartdepth.chip.codec import EncodingError, Instruction, disassemble
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.vectors.examples import Example


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
    behaviour: Behaviour = field(default_factory=Behaviour)
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
    return Job(name, seed, p.memory, p.base, p.instructions, expected, Behaviour.random(random.Random(seed)))


def example_job(example: Example, behaviour: Behaviour) -> Job:
    """A hand-written program."""
    expected = Expected(Trap.NONE, len(example.instructions) - 1, 4)
    return Job(example.name, 0, example.memory, example.base, example.instructions, expected, behaviour)
