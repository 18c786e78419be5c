"""AXI4 memory behind the chip: latency, stalls, error responses and silence are knobs of every program."""

from __future__ import annotations

import random
from collections.abc import Iterator

import cocotb
from cocotb.triggers import ClockCycles, Event
from cocotbext.axi import AxiBus, AxiSlave
from pyuvm import uvm_agent, uvm_driver

from tests.uvm.job import MemoryKnobs
from triptych.golden.quartdepth.chip.memory import Fault, Memory


class ErrorResponse(Exception):
    """Makes the AXI model answer SLVERR."""


class MemoryDriver(uvm_driver):
    """Slave on the chip's AXI4 master. Answers from a `Memory`; its fault ranges answer SLVERR, or never until
    `release`. Addresses beyond it answer SLVERR."""

    def build_phase(self) -> None:
        dut = cocotb.top
        self.clock = dut.clk
        self.memory = Memory(64)
        self.knobs = MemoryKnobs()
        self.random = random.Random(0)
        self.released = Event()
        self.next_read = -1
        bus = AxiBus.from_prefix(dut, "m_axi")
        self.slave = AxiSlave(bus, dut.clk, dut.rst_n, target=self, reset_active_level=False)
        read, write = self.slave.read_if, self.slave.write_if
        read.log.disabled = write.log.disabled = True
        self.channels = (read.ar_channel, read.r_channel, write.aw_channel, write.w_channel, write.b_channel)
        for channel in self.channels:
            channel.log.disabled = True

    def load(self, memory: Memory, knobs: MemoryKnobs) -> None:
        """Put another memory there; nothing may be outstanding."""
        self.memory, self.knobs = memory, knobs
        self.random = random.Random(knobs.seed)
        self.released.clear()
        for channel in self.channels:
            channel.set_pause_generator(self._pauses() if knobs.stall else None)
            channel.pause = False

    def release(self) -> None:
        """Silent ranges answer from now on."""
        self.released.set()

    def _pauses(self) -> Iterator[bool]:
        """Streaks of held and of free cycles, `stall` of them held."""
        while True:
            pause = self.random.random() < self.knobs.stall
            for _ in range(self.random.choice((1, 1, 1, 2, 3, 8))):
                yield pause

    async def read(self, address: int, length: int) -> bytes:
        """Called by the AXI model for every beat."""
        if address != self.next_read and self.knobs.latency:
            await ClockCycles(self.clock, self.random.randint(1, self.knobs.latency))
        self.next_read = address + length
        await self._fault(address, length)
        return self.memory.data[address : address + length].tobytes()

    async def write(self, address: int, data: bytes) -> None:
        """Called by the AXI model for every run of enabled bytes of a beat."""
        if self.knobs.latency and self.random.random() < 0.1:
            await ClockCycles(self.clock, self.random.randint(1, self.knobs.latency))
        await self._fault(address, len(data))
        self.memory.place(address, data)

    async def _fault(self, address: int, length: int) -> None:
        for start, end, fault in self.memory.faults:
            if address + length > start and address < end:
                if fault is Fault.HANG:
                    await self.released.wait()
                raise ErrorResponse
        if address + length > self.memory.size:
            raise ErrorResponse


class MemoryAgent(uvm_agent):
    """The memory; the AXI model itself asserts that no burst crosses 4 KiB and that the last beat says so."""

    def build_phase(self) -> None:
        self.driver = MemoryDriver("driver", self)
