"""Configuration objects: what a test decides about the environment, and the environment about its agents."""

from __future__ import annotations

from pyuvm import uvm_object

from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config


class AgentConfig(uvm_object):
    """active: the agent drives its interface; otherwise it watches alone. watches: it has a monitor."""

    def __init__(self, name: str = "agent") -> None:
        super().__init__(name)
        self.active = True
        self.watches = True


class EnvironmentConfig(uvm_object):
    """chip: sizes of the chip under test. covers: functional coverage is sampled. registers, memory: of its agents."""

    def __init__(self, name: str = "environment") -> None:
        super().__init__(name)
        self.chip: ChipConfig = chip_config("tiny")
        self.covers = True
        self.registers = AgentConfig.create("registers")
        self.memory = AgentConfig.create("memory")
