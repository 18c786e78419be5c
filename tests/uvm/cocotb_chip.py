"""The chip's tests; UVM_OPTIONS says what they run (see test_uvm.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyuvm
from pyuvm import *  # noqa: F403  (pyuvm finds its phases and classes through its own names)

from tests.uvm.environment import ChipTest
from tests.uvm.job import Job, MemoryKnobs, example_job, random_job
from tests.uvm.sequences import RegistersSequence, StreamSequence
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.vectors.examples import EXAMPLES

CAUSES = [trap for trap in Trap if trap is not Trap.NONE]


@pyuvm.test()
class Smoke(ChipTest):
    """Registers, then every hand-written program."""

    async def stimulus(self) -> None:
        sequencer = self.env.registers.sequencer
        await RegistersSequence(self.config).start(sequencer)
        jobs = [example_job(e(self.config), MemoryKnobs.random(k)) for k, e in enumerate(EXAMPLES)]
        await StreamSequence(self.env, jobs).start(sequencer)


@pyuvm.test()
class Random(ChipTest):
    """Random programs until so many instructions are compared, every other one ending in a trap; then those that can
    hit what coverage misses, until nothing is missing (`complete`) or so many programs have run (`programs`)."""

    def jobs(self) -> Iterator[Job]:
        """Seeds from `seed` on: the same stream for the same number."""
        o = self.options
        for count in range(o["programs"]):
            trap, length = CAUSES[count // 2 % len(CAUSES)] if count % 2 else Trap.NONE, o["length"]
            if self.env.scoreboard.compared >= o["instructions"]:
                missing = self.env.coverage.missing() if o["complete"] else []
                if not missing:
                    break
                causes = [Trap[b[1]] for b in missing if b[0] == "trap"]
                trap, length = (causes[count % len(causes)], 1) if causes else (Trap.NONE, length)
            yield random_job(self.config, o["seed"] + count, length, trap)

    async def stimulus(self) -> None:
        await StreamSequence(self.env, self.jobs()).start(self.env.registers.sequencer)

    def report_phase(self) -> None:
        super().report_phase()
        coverage = self.env.coverage
        text = f"{self.env.scoreboard.compared} instructions compared; {coverage.summary()}"
        Path(self.options["report"]).write_text(text + "\n")
        assert self.env.scoreboard.compared >= self.options["instructions"], text
        assert not (self.options["complete"] and coverage.missing()), text
