"""Sequences over several agents: what a host may do to a chip at a bad moment. They run on the virtual sequencer."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge
from pyuvm import uvm_sequence

from tests.uvm.environment import ChipEnvironment
from tests.uvm.job import Job
from tests.uvm.sequences import LIMIT, LaunchSequence, ProgramSequence
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.sim.rtl.registers.register_map import REGISTERS

LAST = 12  # instructions that are left when a running program is disturbed no more: it must not end in between


class VirtualSequence(uvm_sequence):
    """A sequence over the whole environment. jobs: the programs that it runs. seed: of what it draws."""

    def __init__(self, name: str, jobs: Iterable[Job], seed: int = 0) -> None:
        super().__init__(name)
        self.jobs, self.rng = list(jobs), random.Random(seed)

    @property
    def env(self) -> ChipEnvironment:
        """What the virtual sequencer knows."""
        env: ChipEnvironment = self.sequencer.env
        return env

    async def program(self, job: Job) -> None:
        """One whole program, compared."""
        await ProgramSequence(self.env, job).start(self.env.registers.sequencer)


class ResetInMidProgram(VirtualSequence):
    """Reset falls at any time while a program runs, for any time; the next program knows nothing of it."""

    async def body(self) -> None:
        env, dut = self.env, cocotb.top
        for job in self.jobs:
            env.memory.driver.load(job.image(), job)
            env.scoreboard.begin(job)
            await Begin(env, job).start(env.registers.sequencer)
            await ClockCycles(dut.clk, self.rng.randrange(1, 2500))
            env.scoreboard.abandon()
            await FallingEdge(dut.clk)
            dut.rst_n.value = 0
            await ClockCycles(dut.clk, self.rng.randrange(1, 6))
            env.model.reset()
            assert not dut.m_axi_arvalid.value, "an address is offered in reset"
            assert not dut.m_axi_awvalid.value, "an address is offered in reset"
            assert not dut.irq.value, "an interrupt in reset"
            await FallingEdge(dut.clk)
            dut.rst_n.value = 1
            await ClockCycles(dut.clk, 4)
            sequence = ProgramSequence(env, job)
            await ReadAll(env, job).start(env.registers.sequencer)
            await sequence.start(env.registers.sequencer)


class Begin(LaunchSequence):
    """A start, and no more."""

    async def body(self) -> None:
        await self.begin()


class ReadAll(LaunchSequence):
    """Every register is read: the model knows what reset leaves in them."""

    async def body(self) -> None:
        for name, register in REGISTERS.items():
            if any(f.readable for f in register.fields):
                await self.read(name)
        assert await self.fields("STATUS") == {"running": 0, "done": 0, "trapped": 0, "idle": 1}


class Disturbed(ProgramSequence):
    """A program during which a host writes registers: addresses and counts for later, and starts that are ignored."""

    def __init__(self, env: ChipEnvironment, job: Job, rng: random.Random, starts: bool) -> None:
        super().__init__(env, job)
        self.rng, self.starts = rng, starts
        self.writes = 0

    async def meanwhile(self) -> None:
        dut, scoreboard, model = cocotb.top, self.env.scoreboard, self.env.model
        before = scoreboard.compared
        while not self.over and scoreboard.compared - before < len(self.job.instructions) - LAST:
            await ClockCycles(dut.clk, self.rng.randrange(1, 200))
            if self.over or scoreboard.compared - before >= len(self.job.instructions) - LAST:
                return
            self.writes += 1
            if self.starts and self.rng.random() < 0.5:
                await self.write("CONTROL", REGISTERS["CONTROL"].pack(start=1))
                assert (await self.fields("STATUS"))["running"], "a start while busy changes something"
                continue
            name = self.rng.choice(["PROG_BASE", "PROG_COUNT", "WATCHDOG", "IRQ_ENABLE", "TRAP", "STATUS", "CYCLES"])
            if name == "WATCHDOG":  # it counts at once
                await self.write(name, self.job.watchdog + self.rng.randrange(1 << 20))
            elif name == "IRQ_ENABLE":
                await self.change(model, name, done=self.rng.randrange(2))
                assert not dut.irq.value, "an interrupt while the program runs"
                await self.change(model, name, done=1)
            elif name == "PROG_COUNT":  # within this program: one that is read too late ends it, or never does
                await self.write(name, self.rng.randrange(len(self.job.instructions)))
            else:
                await self.write(name, self.rng.getrandbits(32))


class DisturbedPrograms(VirtualSequence):
    """Start while busy, and CSR writes while running."""

    async def body(self) -> None:
        writes = 0
        for number, job in enumerate(self.jobs):
            sequence = Disturbed(self.env, job, self.rng, starts=number % 2 == 0)
            await sequence.start(self.env.registers.sequencer)
            writes += sequence.writes
        assert writes >= 5 * len(self.jobs), f"{writes} disturbances alone"


class Again(LaunchSequence):
    """The program that the registers name, with one write."""

    async def begin(self) -> None:
        await self.write("CONTROL", REGISTERS["CONTROL"].pack(start=1))


class BackToBack(VirtualSequence):
    """Programs with one write between an interrupt and the next start: on the memory that the one before left, without
    clear."""

    async def body(self) -> None:
        env = self.env
        for job in self.jobs:
            memory = job.image()
            env.memory.driver.load(memory, job)
            for turn in range(3):
                here = replace(job, memory=memory)
                env.scoreboard.begin(here)
                kind = Again if turn else LaunchSequence
                await kind(env, here).start(env.registers.sequencer)
                result = await env.scoreboard.finish(memory, job.expected)
                assert result.trap is Trap.NONE


class EachInterruptAlone(VirtualSequence):
    """One enable at a time, both ends of a program: the line rises for what is enabled and for nothing else."""

    async def body(self) -> None:
        for job in self.jobs:
            for enabled in ("done", "trapped"):
                await Enabled(self.env, job, enabled).start(self.env.registers.sequencer)


class Enabled(ProgramSequence):
    """A program with one interrupt enabled; STATUS is asked for its end."""

    def __init__(self, env: ChipEnvironment, job: Job, enabled: str) -> None:
        super().__init__(env, job)
        self.enabled = enabled

    async def end(self) -> None:
        dut, model = cocotb.top, self.env.model
        other = "trapped" if self.enabled == "done" else "done"
        await self.change(model, "IRQ_ENABLE", **{other: 0, self.enabled: 1})
        ends = "done" if self.job.expected.trap is Trap.NONE else "trapped"
        for _ in range(LIMIT // 20):
            status = await self.fields("STATUS")
            if status["done"] or status["trapped"]:
                break
            assert not dut.irq.value or self.enabled == ends, "an interrupt of what is not enabled"
        assert status[ends], status
        await ClockCycles(dut.clk, 2)
        assert int(dut.irq.value) == (self.enabled == ends), f"{ends}, {self.enabled} enabled: irq is {dut.irq.value}"
        await self.change(model, "IRQ_ENABLE", **{other: 1, self.enabled: 0})
        await ClockCycles(dut.clk, 2)
        assert int(dut.irq.value) == (other == ends), f"{ends}, {other} enabled: irq is {dut.irq.value}"
