"""AXI4 memory behind the chip: how it behaves, its error responses and its silence belong to every program."""

from __future__ import annotations

import random

import cocotb
from pyuvm import ConfigDB, uvm_agent, uvm_driver

from tests.kit.axi_memory import AxiSubordinate
from tests.uvm.bus_monitor import BusMonitor
from tests.uvm.configuration import AgentConfig
from tests.uvm.job import Job
from triptych.golden.quartdepth.chip.memory import Fault, Memory


class MemoryDriver(uvm_driver):
    """Subordinate on the chip's AXI4 manager. Answers from a `Memory`; its fault ranges answer with an error, or never
    until `release`. Addresses beyond it answer with an error."""

    def build_phase(self) -> None:
        dut = cocotb.top
        self.memory = Memory(64)
        self.silent = True
        self.port = AxiSubordinate(
            dut, dut.clk, dut.rst_n, self, random.Random(0), suffixes=("", ""), offers=dut.bus_offers
        )

    def load(self, memory: Memory, job: Job) -> None:
        """Put another memory there, that behaves as the job says; nothing may be outstanding."""
        assert not self.port.outstanding, "the chip has not waited for its answers"
        self.memory, self.silent = memory, True
        self.port.rng.seed(job.seed)
        self.port.set(job.behaviour)

    def release(self) -> None:
        """Silent ranges answer from now on."""
        self.silent = False

    def read(self, address: int, length: int) -> bytes:
        """Called by the AXI model for every beat."""
        return self.memory.data[address : address + length].tobytes()

    def write(self, address: int, data: bytes) -> None:
        """Called by the AXI model for every beat or enabled byte of it."""
        self.memory.place(address, data)

    def fault(self, address: int, length: int) -> Fault | None:
        """What is wrong with this place now; who was silent answers with an error in the end."""
        for start, end, fault in self.memory.faults:
            if address + length > start and address < end:
                return Fault.HANG if fault is Fault.HANG and self.silent else Fault.ERROR
        return Fault.ERROR if address + length > self.memory.size else None


class MemoryAgent(uvm_agent):
    """The memory where it is active, and a monitor of the bus where it watches: `AgentConfig`, under CONFIG_MEMORY."""

    def build_phase(self) -> None:
        self.settings: AgentConfig = ConfigDB().get(self, "", "CONFIG_MEMORY")
        if self.settings.active:
            self.driver = MemoryDriver.create("driver", self)
        if self.settings.watches:
            self.monitor = BusMonitor.create("monitor", self)
