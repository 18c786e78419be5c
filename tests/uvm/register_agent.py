"""AXI4-Lite master for the chip's registers, as a UVM agent on the generated register map."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import (
    ConfigDB,
    uvm_agent,
    uvm_analysis_port,
    uvm_driver,
    uvm_monitor,
    uvm_sequence,
    uvm_sequence_item,
    uvm_sequencer,
)

from tests.uvm.configuration import AgentConfig
from tests.uvm.register_model import Access, RegisterModel
from triptych.sim.rtl.registers.register_map import REGISTERS


class RegisterItem(uvm_sequence_item):
    """One access. register: by name. value: what to write, or None to read; `result` is what was read."""

    def __init__(self, name: str = "access") -> None:
        super().__init__(name)
        self.register = REGISTERS["ID"]
        self.value: int | None = None
        self.result = 0


class RegisterDriver(uvm_driver):
    """Drives one access at a time; any response but OKAY is an error."""

    def build_phase(self) -> None:
        dut = cocotb.top
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst_n, reset_active_level=False)
        self.master.read_if.log.disabled = self.master.write_if.log.disabled = True

    async def pause(self) -> None:
        """Before each access: nothing."""

    async def run_phase(self) -> None:
        while True:
            item: RegisterItem = await self.seq_item_port.get_next_item()
            await self.pause()
            length = item.register.width // 8
            if item.value is None:
                answer = await self.master.read(item.register.address, length)
                item.result = int.from_bytes(answer.data, "little")
            else:
                answer = await self.master.write(item.register.address, item.value.to_bytes(length, "little"))
            assert answer.resp == 0, f"{item.register.name}: response {answer.resp!r}"
            self.seq_item_port.item_done()


class HesitantDriver(RegisterDriver):
    """Lets some cycles pass before each access; the factory puts it in the other's place where a test asks for it."""

    async def pause(self) -> None:
        await ClockCycles(cocotb.top.clk, random.Random(self.accesses).randrange(8) + 1)
        self.accesses += 1

    def build_phase(self) -> None:
        super().build_phase()
        self.accesses = 0


class RegisterMonitor(uvm_monitor):
    """Publishes every access on `port`, from the pins alone. One access of a direction is under way at a time."""

    def build_phase(self) -> None:
        self.port = uvm_analysis_port("port", self)

    async def run_phase(self) -> None:
        cocotb.start_soon(self._writes())
        await self._reads()

    async def _writes(self) -> None:
        dut = cocotb.top
        while True:
            await RisingEdge(dut.s_axil_awvalid)
            await FallingEdge(dut.clk)
            address = int(dut.s_axil_awaddr.value)
            while dut.s_axil_wvalid.value != 1:
                await FallingEdge(dut.clk)
            data, strobes = int(dut.s_axil_wdata.value), int(dut.s_axil_wstrb.value)
            if dut.s_axil_bvalid.value != 1:
                await RisingEdge(dut.s_axil_bvalid)
            self.port.write(Access(True, address, data, strobes))

    async def _reads(self) -> None:
        dut = cocotb.top
        while True:
            await RisingEdge(dut.s_axil_arvalid)
            await FallingEdge(dut.clk)
            address = int(dut.s_axil_araddr.value)
            if dut.s_axil_rvalid.value != 1:
                await RisingEdge(dut.s_axil_rvalid)
                await FallingEdge(dut.clk)
            self.port.write(Access(False, address, int(dut.s_axil_rdata.value)))


class RegisterAgent(uvm_agent):
    """Sequencer and driver where it is active, monitor where it watches: `AgentConfig`, under CONFIG_REGISTERS."""

    def build_phase(self) -> None:
        self.settings: AgentConfig = ConfigDB().get(self, "", "CONFIG_REGISTERS")
        if self.settings.active:
            self.sequencer = uvm_sequencer.create("sequencer", self)
            self.driver = RegisterDriver.create("driver", self)
        if self.settings.watches:
            self.monitor = RegisterMonitor.create("monitor", self)

    def connect_phase(self) -> None:
        if self.settings.active:
            self.driver.seq_item_port.connect(self.sequencer.seq_item_export)


class RegisterSequence(uvm_sequence):
    """A sequence that reads and writes registers by name: the front door of the register model."""

    async def write(self, register: str, value: int) -> None:
        """Write a whole register."""
        await self._access(register, value)

    async def change(self, model: RegisterModel, register: str, **fields: int) -> None:
        """Write some fields of a register, the others as its mirror has them."""
        await self.write(register, model.changed(register, **fields))

    async def read(self, register: str) -> int:
        """Read a whole register."""
        return (await self._access(register, None)).result

    async def fields(self, register: str) -> dict[str, int]:
        """Read a register's fields."""
        return REGISTERS[register].unpack(await self.read(register))

    async def _access(self, register: str, value: int | None) -> RegisterItem:
        item = RegisterItem.create(register)
        item.register, item.value = REGISTERS[register], value
        await self.start_item(item)
        await self.finish_item(item)
        return item
