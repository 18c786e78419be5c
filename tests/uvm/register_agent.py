"""AXI4-Lite master for the chip's registers, as a UVM agent on the generated register map."""

from __future__ import annotations

import cocotb
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from pyuvm import uvm_agent, uvm_driver, uvm_sequence, uvm_sequence_item, uvm_sequencer

from triptych.sim.rtl.registers.register_map import REGISTERS


class RegisterItem(uvm_sequence_item):
    """One access. value: what to write, or None to read; `result` is what was read."""

    def __init__(self, register: str, value: int | None = None) -> None:
        super().__init__(register)
        self.register = REGISTERS[register]
        self.value = value
        self.result = 0


class RegisterDriver(uvm_driver):
    """Drives one access at a time; any response but OKAY is an error."""

    def build_phase(self) -> None:
        dut = cocotb.top
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst_n, reset_active_level=False)
        self.master.read_if.log.disabled = self.master.write_if.log.disabled = True

    async def run_phase(self) -> None:
        while True:
            item: RegisterItem = await self.seq_item_port.get_next_item()
            length = item.register.width // 8
            if item.value is None:
                answer = await self.master.read(item.register.address, length)
                item.result = int.from_bytes(answer.data, "little")
            else:
                answer = await self.master.write(item.register.address, item.value.to_bytes(length, "little"))
            assert answer.resp == 0, f"{item.register.name}: response {answer.resp!r}"
            self.seq_item_port.item_done()


class RegisterAgent(uvm_agent):
    """Sequencer and driver."""

    def build_phase(self) -> None:
        self.sequencer = uvm_sequencer("sequencer", self)
        self.driver = RegisterDriver("driver", self)

    def connect_phase(self) -> None:
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)


class RegisterSequence(uvm_sequence):
    """A sequence that reads and writes registers by name."""

    async def write(self, register: str, value: int) -> None:
        """Write a whole register."""
        await self._access(RegisterItem(register, value))

    async def read(self, register: str) -> int:
        """Read a whole register."""
        return (await self._access(RegisterItem(register))).result

    async def fields(self, register: str) -> dict[str, int]:
        """Read a register's fields."""
        return REGISTERS[register].unpack(await self.read(register))

    async def _access(self, item: RegisterItem) -> RegisterItem:
        await self.start_item(item)
        await self.finish_item(item)
        return item
