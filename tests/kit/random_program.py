"""Random legal programs: seeded, timing-independent, in reach of every opcode, enumeration value and mode.

An instruction waits for all earlier ones on other engines whose reads or writes meet its own (in the scratchpad, the
stores of microwords and tables, or memory), and for nothing else but a few idle waits. So engines overlap as far as
they may, and yet the results do not depend on when anything happens. One trap of a chosen cause can be planted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.kit.random_builder import Builder
from tests.kit.random_copies import PROGRAM
from tests.kit.random_traps import plant
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Opcode, Trap
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import CONTROL, StoredProgram


@dataclass
class RandomProgram:
    """A program with the memory it runs in.

    memory: image with the program at `base`; its `faults` are those that a planted trap needs. trap: what the program
    ends with; pc, engine: where (after HALT: of HALT).
    """

    seed: int
    memory: Memory
    instructions: list[Instruction | bytes]
    trap: Trap
    pc: int
    engine: int
    base: int = PROGRAM

    @property
    def stored(self) -> StoredProgram:
        """The program as the chip fetches it."""
        return StoredProgram(self.memory, self.base, len(self.instructions))


def random_program(config: ChipConfig, seed: int, length: int = 60, trap: Trap = Trap.NONE) -> RandomProgram:
    """At least `length` random instructions that end in HALT, or in one planted trap of the given cause."""
    build = Builder(np.random.default_rng(seed), config)
    build.prologue()
    makers = [build.load, build.store, build.matmul_and_vectors, build.vector_alone]
    while len(build.program) < length:
        build.pick(makers)()
    pc, engine = len(build.program), CONTROL
    if trap is Trap.NONE:
        waits = {"wait_load": build.number(0, 0xFFFF)}  # of HALT mean nothing
        build.program.append(Instruction(Opcode.HALT, waits))
    else:
        pc, engine = plant(build, trap)
    image = b"".join(i if isinstance(i, bytes) else i.encode() for i in build.program)
    build.memory.place(PROGRAM, image)
    return RandomProgram(seed, build.memory, build.program, trap, pc, engine)
