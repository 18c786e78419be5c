"""The chip's tests; UVM_OPTIONS says what they run (see test_uvm.py)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyuvm
from numpy.typing import NDArray
from pyuvm import *  # noqa: F403  (pyuvm finds its phases and classes through its own names)

from tests.kit.axi_memory import Behaviour
from tests.uvm.environment import ChipTest
from tests.uvm.job import Expected, Job, example_job, random_job
from tests.uvm.register_agent import HesitantDriver, RegisterDriver
from tests.uvm.retirement_agent import Retirement
from tests.uvm.scoreboard import Mismatch
from tests.uvm.sequences import LaunchSequence, RegistersSequence, StreamSequence
from tests.uvm.virtual_sequences import (
    BackToBack,
    DisturbedPrograms,
    EachInterruptAlone,
    ResetInMidProgram,
    VirtualSequence,
)
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.isa import MICROWORD_BYTES, Opcode, SourceA, Space, Trap
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.vectors.examples import EXAMPLES

CAUSES = [trap for trap in Trap if trap is not Trap.NONE]


@pyuvm.test()
class Smoke(ChipTest):
    """Registers, then every hand-written program."""

    async def stimulus(self) -> None:
        sequencer = self.env.registers.sequencer
        await RegistersSequence(self.config).start(sequencer)
        jobs = [example_job(e(self.config), Behaviour.random(random.Random(k))) for k, e in enumerate(EXAMPLES)]
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
        bus = self.env.bus_coverage
        text = f"{self.env.scoreboard.compared} instructions compared; {coverage.summary()}; {bus.summary()}"
        Path(self.options["report"]).write_text(text + "\n")
        assert self.env.scoreboard.compared >= self.options["instructions"], text
        assert not (self.options["complete"] and (coverage.missing() or bus.missing())), text


@pyuvm.test()
class Virtual(ChipTest):
    """Resets, starts and writes at bad moments, programs back to back, each interrupt alone; a driver that the factory
    puts in the place of the usual one. `seed`, `programs` of each kind."""

    def build_phase(self) -> None:
        pyuvm.uvm_factory().set_type_override_by_type(RegisterDriver, HesitantDriver)
        super().build_phase()

    def draw(self, first: int, trap: Trap = Trap.NONE) -> list[Job]:
        """Programs from a seed on."""
        count = self.options["programs"]
        return [random_job(self.config, self.options["seed"] + first + k, 60, trap) for k in range(count)]

    async def stimulus(self) -> None:
        assert isinstance(self.env.registers.driver, HesitantDriver), "the factory's override is not there"
        traps = [job for cause in (Trap.RANGE, Trap.BUS_STORE) for job in self.draw(400, cause)[:1]]
        sequences: list[VirtualSequence] = [
            ResetInMidProgram("resets", self.draw(0), self.options["seed"]),
            DisturbedPrograms("disturbed", self.draw(100), self.options["seed"]),
            BackToBack("back to back", self.draw(200)[:2]),
            EachInterruptAlone("interrupts", [*self.draw(300)[:1], *traps]),
        ]
        await RegistersSequence(self.config).start(self.env.registers.sequencer)
        for sequence in sequences:
            await sequence.start(self.env.virtual)

    def report_phase(self) -> None:
        super().report_phase()
        missing = self.env.model.missing()
        assert not missing, f"never seen: {', '.join(missing)}"
        assert self.env.registers.driver.accesses > 100


@pyuvm.test()
class Reports(ChipTest):
    """The machine is given a wrong bit, in turn in every kind of place that an instruction writes: the scoreboard must
    name the instruction, the place and both values."""

    async def stimulus(self) -> None:
        c, state = self.config, self.env.scoreboard.machine.state
        base = {"rows": 1, "row_bytes": 4 * c.depth, "dram": 0x1000}
        load, at = Instruction(Opcode.LOAD, base), 3 * c.depth + 5
        prog, table = (Instruction(Opcode.LOAD, base | {"space": space}) for space in (Space.PROG, Space.TABLE))
        sizes = ["in_h", "in_w", "kernel_h", "kernel_w", "stride_y", "stride_x", "chunks", "out_h", "out_w", "block"]
        ones = dict.fromkeys([*sizes, "n"], 1)
        multiply = Instruction(Opcode.MATMUL, ones | {"last_elems": c.depth, "wgt": 2 * c.depth})
        microword = Instruction(Opcode.LOAD, base | {"row_bytes": MICROWORD_BYTES, "dram": 0, "space": Space.PROG})
        drain = Instruction(
            Opcode.VECTOR, {k: 1 for k in ("prog_len", "h", "w", "n", "block", "wait_load", "wait_mxu")}
        )
        cases: list[tuple[str, list[Instruction], Callable[[], NDArray[np.uint8]], int]] = [
            ("scratchpad byte 0x35", [load], self._memory, 0x1000 + at),
            ("program store byte 0x35", [prog], self._memory, 0x1000 + at),
            ("code tables byte 0xb", [table], self._memory, 0x1000 + 11),
            ("code tables byte 0x29", [table], self._memory, 0x1000 + 41),
            ("memory byte 0x1034", [Instruction(Opcode.STORE, base)], lambda: state.spad, at - 1),
            ("accumulator rows", [multiply, microword, drain], lambda: state.spad, 4),
        ]
        for place, program, store, byte in cases:
            text = await self._mismatch(program, store, byte)
            assert f"instruction 0 ({program[0].opcode.name}" in text, text
            assert place in text, f"{place} is not named: {text}"
            assert "should be" in text.split(place)[1], text

    def _memory(self) -> NDArray[np.uint8]:
        return self.env.scoreboard.memory.data

    async def _mismatch(
        self, instructions: list[Instruction], store: Callable[[], NDArray[np.uint8]], byte: int
    ) -> str:
        """What the scoreboard says of the program when a bit of the machine's `store` is wrong."""
        memory = Memory(1 << 14)
        memory.data[0x1000:] = np.random.default_rng(byte).integers(0, 256, memory.size - 0x1000, np.uint8)
        program = [*instructions, Instruction(Opcode.HALT, {})]
        memory.place(0, Microword({"src_a": SourceA.ACC}).encode())
        memory.place(0x100, b"".join(i.encode() for i in program))
        job = Job("report", byte, memory, 0x100, program, Expected(Trap.NONE, len(instructions), 4))
        scoreboard = self.env.scoreboard
        said: list[str] = []
        compare = type(scoreboard).compare

        async def watched(seen: Retirement) -> None:
            try:
                await compare(scoreboard, seen)
            except Mismatch as mismatch:
                said.append(str(mismatch))

        scoreboard.compare = watched
        self.env.memory.driver.load(job.image(), job)
        scoreboard.begin(job)
        store()[byte] ^= 0x55
        launch = LaunchSequence(self.env, job)
        await launch.start(self.env.registers.sequencer)
        await launch.clear()
        store()[byte] ^= 0x55
        assert said, f"{instructions} passed"
        return said[0]
