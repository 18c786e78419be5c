"""What a program leaves behind whatever the chip's memories held at first, and whether a run on the chip left the same.

Bytes that no instruction wrote (lanes beyond the last channel in a pixel's last word) leave the chip as they were
found. The machine runs twice, from stores of zeros and from stores of ones: what comes out the same both times, the
chip must leave from any state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Trap
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.sim.rtl.run import RtlRun


@dataclass(frozen=True)
class Reference:
    """memory: the image after the run, uint8, and where it is `defined`. signatures: by (engine, pc); None where it
    depends on what the chip held at first."""

    trap: Trap
    memory: npt.NDArray[np.uint8]
    defined: npt.NDArray[np.bool_]
    signatures: dict[tuple[int, int], int | None]

    def differences(self, run: RtlRun) -> list[str]:
        """What a run on the chip left otherwise, in words; empty when all that is defined is equal."""
        found = [] if run.trap is self.trap else [f"the chip ended with {run.trap.name}, the machine with {self.trap}"]
        left = {(e, pc): s for _, e, pc, s in run.retirements.tolist()}
        if left.keys() != self.signatures.keys() or len(left) != len(run.retirements):
            found.append(f"{len(run.retirements)} instructions retired, not {len(self.signatures)}")
        for (engine, pc), wanted in self.signatures.items():
            if wanted is not None and left.get((engine, pc)) != wanted:
                found.append(f"instruction {pc} on {Engine(engine).name} left another signature")
        wrong = np.flatnonzero((run.memory != self.memory) & self.defined)
        return found + [f"memory differs from byte {place:#x} on" for place in wrong[:1]]


def reference(config: ChipConfig, image: npt.NDArray[np.uint8], base: int, count: int) -> Reference:
    """The program of `count` instructions at byte `base` of `image`, on the golden machine."""
    runs = []
    for fill in (0, -1):
        memory = Memory(image.size)
        memory.place(0, image)
        machine = Machine(config)
        machine.state.spad[:] = fill & 0xFF
        machine.state.row_scalars[:] = fill
        result = machine.run(StoredProgram(memory, base, count), memory)
        runs.append((result, memory.data, {(int(r.engine), r.pc): r.signature for r in result.retired}))
    (first, memory, signatures), (_, other, others) = runs
    assert signatures.keys() == others.keys()
    kept = {key: value if value == others[key] else None for key, value in signatures.items()}
    return Reference(first.trap, memory, memory == other, kept)
