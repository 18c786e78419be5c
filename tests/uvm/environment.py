"""Everything around one chip: memory, registers, retirements, scoreboard, coverage, and their connections."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from pyuvm import ConfigDB, uvm_env, uvm_test

from tests.uvm.coverage import Coverage
from tests.uvm.memory_agent import MemoryAgent
from tests.uvm.register_agent import RegisterAgent
from tests.uvm.retirement_agent import RetirementAgent
from tests.uvm.scoreboard import Scoreboard
from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config


class ChipEnvironment(uvm_env):
    """Agents, scoreboard and coverage of one chip."""

    def build_phase(self) -> None:
        self.memory = MemoryAgent("memory", self)
        self.registers = RegisterAgent("registers", self)
        self.retirements = RetirementAgent("retirements", self)
        self.scoreboard = Scoreboard("scoreboard", self)
        self.coverage = Coverage("coverage", self)

    def connect_phase(self) -> None:
        ConfigDB().set(None, "*", "MEMORY_DRIVER", self.memory.driver)
        self.retirements.monitor.port.connect(self.scoreboard.fifo.analysis_export)
        self.scoreboard.port.connect(self.coverage.analysis_export)


class ChipTest(uvm_test):
    """Reset, then `stimulus`; derived tests say what that is. The environment variable UVM_OPTIONS holds a JSON object
    of what the test may choose, `config` at least."""

    def build_phase(self) -> None:
        self.options: dict[str, Any] = json.loads(os.environ["UVM_OPTIONS"])
        self.config: ChipConfig = chip_config(self.options["config"])
        ConfigDB().set(None, "*", "CONFIG", self.config)
        self.env = ChipEnvironment("env", self)

    async def run_phase(self) -> None:
        self.raise_objection()
        dut = cocotb.top
        Clock(dut.clk, 10, "ns").start()
        dut.rst_n.value = 0
        await ClockCycles(dut.clk, 3)
        dut.rst_n.value = 1
        await ClockCycles(dut.clk, 2)
        await self.stimulus()
        self.drop_objection()

    async def stimulus(self) -> None:
        """What the test does."""
        raise NotImplementedError  # a test is a subclass; pyuvm's metaclass leaves no room for ABC

    def report_phase(self) -> None:
        self.logger.info(f"{self.env.scoreboard.compared} instructions compared")
