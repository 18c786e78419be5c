"""Sequences: one program from reset or clear to its interrupt, streams of them, the registers."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import cocotb
from cocotb.triggers import ClockCycles, First, RisingEdge

from tests.uvm.environment import ChipEnvironment
from tests.uvm.job import Expected, Job
from tests.uvm.register_agent import RegisterSequence
from triptych.golden.quartdepth.chip.config import SPAD_BANKS, ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Trap
from triptych.sim.rtl.registers.register_map import REGISTERS

LIMIT = 2_000_000  # cycles of one program


@dataclass(frozen=True)
class Outcome:
    """What the registers say after a program. sums: cycles of all classes, by engine."""

    ended: Expected
    cycles: int
    sums: dict[Engine, int]
    retired: dict[Engine, int]
    signatures: dict[Engine, tuple[int, int]]


class LaunchSequence(RegisterSequence):
    """Starts the program that lies in memory and waits for its interrupt; silent memory then answers, a trap stands.
    Derived sequences say what goes on meanwhile, until `over`."""

    def __init__(self, env: ChipEnvironment, job: Job) -> None:
        super().__init__(job.name)
        self.env, self.job = env, job
        self.over = False

    async def body(self) -> None:
        await self.begin()
        meanwhile = cocotb.start_soon(self.meanwhile())
        await self.end()
        self.over = True
        await meanwhile

    async def meanwhile(self) -> None:
        """What else happens while the program runs: nothing."""

    async def begin(self) -> None:
        """Everything up to the start."""
        job = self.job
        await self.write("PROG_BASE", job.base)
        await self.write("PROG_COUNT", len(job.instructions))
        await self.write("WATCHDOG", job.watchdog)
        await self.write("IRQ_ENABLE", REGISTERS["IRQ_ENABLE"].pack(done=1, trapped=1))
        await self.write("CONTROL", REGISTERS["CONTROL"].pack(start=1))

    async def end(self) -> None:
        """Waits for the interrupt."""
        job, dut = self.job, cocotb.top
        await ClockCycles(dut.clk, 4)  # a start ends what `done` of the program before says
        if not dut.irq.value:
            await First(RisingEdge(dut.irq), ClockCycles(dut.clk, LIMIT))
        assert dut.irq.value == 1, f"{job.name}, seed {job.seed}: neither done nor trapped after {LIMIT} cycles"

    async def clear(self) -> None:
        """After a trap: whatever is outstanding is answered, and nothing is left of the trap."""
        self.env.memory.driver.release()
        await self.write("CONTROL", REGISTERS["CONTROL"].pack(clear=1))
        for _ in range(1000):
            status = await self.fields("STATUS")
            if status["idle"]:
                break
        assert status == {"running": 0, "done": 0, "trapped": 0, "idle": 1}, f"after clear: {status}"
        assert not cocotb.top.irq.value
        assert await self.fields("TRAP") == {"cause": 0, "engine": 0}


class ProgramSequence(LaunchSequence):
    """Puts one program into memory, runs it, and has everything compared."""

    async def body(self) -> None:
        env, job = self.env, self.job
        memory = job.image()
        env.logger.info(f"{job.name}, seed {job.seed}: {len(job.instructions)} instructions, {job.behaviour}")
        env.memory.driver.load(memory, job)
        env.scoreboard.begin(job)
        await super().body()
        here = f"{job.name}, seed {job.seed}"
        outcome = await self._outcome()
        result = await env.scoreboard.finish(memory, outcome.ended)
        golden = Expected(result.trap, result.pc, result.engine)
        seen = outcome.ended
        assert golden == job.expected, f"{here}: the machine ends with {golden}, meant was {job.expected}"
        if seen.trap is Trap.NONE:  # after HALT the registers of the trap are zero
            seen = Expected(seen.trap, result.pc, result.engine)
        text = f"the chip ends with {outcome.ended}, the machine with {golden} ({result.detail})"
        assert seen == golden, f"{here}: {text}"
        for engine in Engine:
            name = engine.name
            total = outcome.sums[engine]
            assert total == outcome.cycles, f"{here}: classes of {name} sum to {total} of {outcome.cycles} cycles"
            assert outcome.retired[engine] == result.counts[engine], f"{here}: RETIRED_{name}"
            right = env.scoreboard.signatures[engine]
            assert outcome.signatures[engine] == right, f"{here}: SIG_{name} or SIG_SUM_{name}"
        env.coverage.ended(golden.trap, golden.engine)
        env.coverage.memory(job.behaviour)
        if seen.trap is not Trap.NONE:
            await self.clear()

    async def _outcome(self) -> Outcome:
        trap, pc = await self.fields("TRAP"), await self.fields("TRAP_PC")
        status = await self.fields("STATUS")
        trapped = trap["cause"] != Trap.NONE
        assert (status["running"], status["done"], status["trapped"]) == (0, not trapped, trapped), status
        classes = {e: [n for n in REGISTERS if n.startswith(f"{e.name}_")] for e in Engine}
        return Outcome(
            Expected(Trap(trap["cause"]), pc["index"], trap["engine"]),
            await self.read("CYCLES"),
            {e: sum([await self.read(n) for n in names]) for e, names in classes.items()},
            {e: await self.read(f"RETIRED_{e.name}") for e in Engine},
            {e: (await self.read(f"SIG_{e.name}"), await self.read(f"SIG_SUM_{e.name}")) for e in Engine},
        )


class StreamSequence(RegisterSequence):
    """Programs one after the other on a chip that is never reset."""

    def __init__(self, env: ChipEnvironment, jobs: Iterable[Job]) -> None:
        super().__init__("stream")
        self.env, self.jobs = env, jobs

    async def body(self) -> None:
        for job in self.jobs:
            await ProgramSequence(self.env, job).start(self.sequencer)


class RegistersSequence(RegisterSequence):
    """Every register against the map: what the sizes say, resets, fields that keep what is written and those that do
    not."""

    def __init__(self, config: ChipConfig) -> None:
        super().__init__("registers")
        self.config = config

    async def body(self) -> None:
        c = self.config
        sizes = {"depth": c.depth, "cols": c.cols, "rows": c.rows, "banks": SPAD_BANKS, "queue": c.queue}
        assert await self.fields("SIZES") == sizes
        assert await self.fields("SPAD") == {"words": c.spad_words}
        assert await self.fields("STORES") == {"prog_words": c.prog_words, "tables": c.tables}
        for name, register in REGISTERS.items():
            value = await self.fields(name)
            for f in register.fields:
                if f.readable and f.reset is not None:
                    assert value[f.name] == f.reset, f"{name}.{f.name} after reset"
        rng = random.Random(5)
        for name, register in REGISTERS.items():
            kept = sum(f.mask for f in register.fields if f.writable and f.readable)
            if name == "CONTROL":
                continue  # strobes: the programs use them
            before = await self.read(name)
            for word in (0, (1 << register.width) - 1, rng.getrandbits(register.width)):
                await self.write(name, word)
                wanted = (before & ~kept) | (word & kept)
                got = await self.read(name)
                assert got == wanted, f"{name} is {got:#x} after writing {word:#x}, should be {wanted:#x}"
            await self.write(name, before)
