"""Runs a compiled network on the golden machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.chip.machine import Machine, Retired
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.compiler.compile import Compiled


class RunError(RuntimeError):
    """The program trapped; the message names cause, instruction and detail."""


def run_on_machine(compiled: Compiled, codes: Ints, on_retire: Callable[[Retired], None] | None = None) -> Ints:
    """Output codes [h, w, c] for input codes [h, w, c]. Raises RunError when the program does not reach HALT."""
    memory = Memory(compiled.memory_size)
    memory.place(0, np.frombuffer(compiled.memory(codes), np.uint8))
    program = StoredProgram(memory, compiled.prog_base, len(compiled.instructions))
    result = Machine(compiled.config).run(program, memory, on_retire)
    if result.trap is not Trap.NONE:
        raise RunError(f"trap {result.trap.name} at instruction {result.pc}: {result.detail}")
    return compiled.read_output(memory.data)
