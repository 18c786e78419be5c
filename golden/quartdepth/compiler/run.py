"""Runs a compiled network on the golden machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import INSTRUCTION_BYTES, Trap
from triptych.golden.quartdepth.chip.machine import Machine, Retired
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.compiler.compile import Compiled


class RunError(RuntimeError):
    """The program trapped; the message names cause, instruction and detail."""


def run_on_machine(
    compiled: Compiled, codes: Ints, on_retire: Callable[[Retired], None] | None = None, noise: int | None = None
) -> Ints:
    """Codes [h, w, c] of the first output for input codes [h, w, c]; otherwise as `outputs_on_machine`."""
    return outputs_on_machine(compiled, codes, on_retire, noise)[compiled.network.output]


def outputs_on_machine(
    compiled: Compiled, codes: Ints, on_retire: Callable[[Retired], None] | None = None, noise: int | None = None
) -> dict[str, Ints]:
    """Codes [h, w, c] of all outputs, by their maps, for input codes [h, w, c]. noise: seed of random bytes in
    scratchpad, row scalars and memory wherever the program itself has to write before it reads: without it they are
    zero at first.

    Raises ValueError for codes that the input does not have, RunError when the program does not reach HALT.
    """
    memory = Memory(compiled.memory_size)
    memory.place(0, np.frombuffer(compiled.memory(codes), np.uint8))
    machine = Machine(compiled.config)
    if noise is not None:
        rng, state = np.random.default_rng(noise), machine.state
        for place, size in compiled.made:
            memory.place(place, rng.integers(0, 256, size, dtype=np.uint8))
        state.spad[:] = rng.integers(0, 256, state.spad.shape, dtype=np.uint8)
        state.row_scalars[:] = rng.integers(-(1 << 31), 1 << 31, state.row_scalars.shape, dtype=np.int32)
    base = compiled.prog_base
    for length in compiled.programs:
        result = machine.run(StoredProgram(memory, base, length), memory, on_retire)
        if result.trap is not Trap.NONE:
            raise RunError(f"trap {result.trap.name} at instruction {result.pc}: {result.detail}")
        base += length * INSTRUCTION_BYTES
    return compiled.read_outputs(memory.data)
