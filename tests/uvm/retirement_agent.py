"""Passive agent on the trace port: which instructions the chip retires, with their signatures."""

from __future__ import annotations

from dataclasses import dataclass

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from pyuvm import uvm_agent, uvm_analysis_port, uvm_monitor

from triptych.golden.quartdepth.chip.isa import Engine


@dataclass(frozen=True)
class Retirement:
    """One instruction that an engine has retired, as the trace port shows it."""

    engine: Engine
    pc: int
    signature: int


class RetirementMonitor(uvm_monitor):
    """Publishes every retirement on `port`, those of one cycle in the order of the engines."""

    def build_phase(self) -> None:
        self.port = uvm_analysis_port("port", self)

    async def run_phase(self) -> None:
        dut = cocotb.top
        while True:
            await RisingEdge(dut.news)
            await FallingEdge(dut.clk)  # news may fall again before: it is combinational
            while dut.news.value == 1:
                retired = int(dut.retire.value)
                pcs, signatures = int(dut.retire_pc.value), int(dut.retire_sig.value)
                for engine in Engine:
                    if retired >> engine & 1:
                        pc, signature = (v >> 32 * engine & 0xFFFFFFFF for v in (pcs, signatures))
                        self.port.write(Retirement(engine, pc, signature))
                await FallingEdge(dut.clk)


class RetirementAgent(uvm_agent):
    """The monitor alone."""

    def build_phase(self) -> None:
        self.monitor = RetirementMonitor.create("monitor", self)
