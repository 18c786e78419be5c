"""Everything around one chip: memory, registers, retirements, scoreboard, coverage, and their connections."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from pyuvm import ConfigDB, uvm_env, uvm_sequencer, uvm_test

from tests.uvm.bus_monitor import BusCoverage
from tests.uvm.configuration import EnvironmentConfig
from tests.uvm.coverage import Coverage
from tests.uvm.memory_agent import MemoryAgent
from tests.uvm.register_agent import RegisterAgent
from tests.uvm.register_model import RegisterModel, RegisterPredictor
from tests.uvm.retirement_agent import RetirementAgent
from tests.uvm.scoreboard import Scoreboard
from triptych.golden.quartdepth.chip.config import chip_config


class VirtualSequencer(uvm_sequencer):
    """What sequences over several agents run on: it has no driver, and knows the environment."""

    env: ChipEnvironment


class ChipEnvironment(uvm_env):
    """Agents, scoreboard, register model and coverage of one chip; its `EnvironmentConfig` is under ENVIRONMENT."""

    def build_phase(self) -> None:
        self.settings: EnvironmentConfig = ConfigDB().get(self, "", "ENVIRONMENT")
        ConfigDB().set(self, "*", "CONFIG", self.settings.chip)
        ConfigDB().set(self, "*", "CONFIG_REGISTERS", self.settings.registers)
        ConfigDB().set(self, "*", "CONFIG_MEMORY", self.settings.memory)
        self.memory = MemoryAgent.create("memory", self)
        self.registers = RegisterAgent.create("registers", self)
        self.retirements = RetirementAgent.create("retirements", self)
        self.scoreboard = Scoreboard.create("scoreboard", self)
        self.coverage = Coverage.create("coverage", self)
        self.bus_coverage = BusCoverage.create("bus_coverage", self)
        self.model = RegisterModel.create("model")
        self.predictor = RegisterPredictor.create("predictor", self)
        self.predictor.model = self.model
        self.virtual = VirtualSequencer.create("virtual", self)
        self.virtual.env = self

    def connect_phase(self) -> None:
        ConfigDB().set(None, "*", "MEMORY_DRIVER", self.memory.driver)
        self.retirements.monitor.port.connect(self.scoreboard.fifo.analysis_export)
        if self.settings.registers.watches:
            self.registers.monitor.port.connect(self.predictor.analysis_export)
        if self.settings.covers:
            self.scoreboard.port.connect(self.coverage.analysis_export)
            self.memory.monitor.port.connect(self.bus_coverage.analysis_export)


class ChipTest(uvm_test):
    """Reset, then `stimulus`; derived tests say what that is. The environment variable UVM_OPTIONS holds a JSON object
    of what the test may choose, `config` at least."""

    def build_phase(self) -> None:
        self.options: dict[str, Any] = json.loads(os.environ["UVM_OPTIONS"])
        settings = EnvironmentConfig.create("environment")
        settings.chip = self.config = chip_config(self.options["config"])
        ConfigDB().set(self, "env", "ENVIRONMENT", settings)
        self.env = ChipEnvironment.create("env", self)

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
